"""A frozen camera: repeats are told from still scenes, from films at few frames a second, and found after coding."""

from itertools import pairwise

import av
import numpy as np
import pytest
from media import picture, read_video

from infer import open_source
from infer.frozen import RUN, FrozenCamera


def frozen(frames):
    camera = FrozenCamera()
    return [camera(rgb_HWC) for rgb_HWC in frames]


def noisy(count, sigma=0.5, size=(96, 128), seed=0):
    """One picture, each time with a sensor's noise."""
    random = np.random.default_rng(seed)
    scene = picture(0, *size).astype(float)
    return [np.rint(scene + random.normal(0, sigma, scene.shape)).clip(0, 255).astype(np.uint8) for _ in range(count)]


def test_a_picture_that_repeats_is_frozen_from_the_tenth_repeat_on():
    frames = [*noisy(5), *[picture(3, 96, 128)] * 15, *noisy(5)]
    assert RUN == 10
    # five live, one new, nine repeats of it; five more are frozen, and so is the first frame after them
    assert frozen(frames) == [False] * 15 + [True] * 6 + [False] * 4


def test_a_still_scene_with_noise_is_live():
    assert not any(frozen(noisy(40, sigma=0.3)))


def test_one_change_in_a_freeze_is_passed_over_and_two_are_not():
    still, coded = picture(3, 96, 128), picture(4, 96, 128)
    again = frozen([still] * 20 + [coded] * 20)
    assert again[RUN:] == [True] * 30
    assert not any(frozen([still] * 12 + noisy(2) + [still] * 5)[13:])


def test_a_film_of_few_frames_a_second_is_live():
    frames = [rgb for rgb in noisy(20, sigma=3) for _ in range(5)]  # 12 frames/s, played at 60
    assert not any(frozen(frames))


def test_a_buffer_that_is_filled_again_is_not_taken_for_a_repeat():
    buffer = np.empty((96, 128, 3), np.uint8)

    def filled():
        for rgb in noisy(30, sigma=3):
            buffer[:] = rgb
            yield buffer

    assert not any(frozen(filled()))


def test_frames_of_another_size_repeat_nothing():
    one, other = np.zeros((96, 128, 3), np.uint8), np.zeros((97, 129, 3), np.uint8)
    assert not any(frozen([one, other] * 20))


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (47, 64), (1080, 64)])
def test_any_size(size):
    assert frozen([np.zeros((*size, 3), np.uint8)] * (RUN + 1))[-1]


@pytest.mark.parametrize("crf", [18, 28])
def test_a_frozen_picture_is_found_after_coding_with_a_key_frame_a_second(tmp_path, crf):
    """Of a textured picture: each key frame codes it anew, with other losses."""
    rgb = noisy(1, sigma=25, size=(180, 320))[0]
    with av.open(str(tmp_path / "frozen.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for _ in range(75):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    _, frames = read_video(tmp_path / "frozen.mp4")
    assert any((a != b).any() for a, b in pairwise(frames[30:]))
    assert all(frozen(frames)[20:])


@pytest.mark.real_data
def test_a_real_drive_is_live(seg_data):
    with open_source(seg_data / "video" / "highway.mp4") as source:
        assert not any(frozen(frame.rgb_HWC for frame in source))
