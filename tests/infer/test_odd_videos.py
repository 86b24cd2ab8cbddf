"""Videos as they really come: deep, interlaced, tiny, huge, upright; the right picture at the same times."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media import picture, read_video
from onnx_models import save_bands

from infer import Segmenter, open_source, run
from infer.encode import MaskVideo, OverlayVideo
from infer.sinks import Painter


def encode(path, codec, pixels, size, count=3, interlaced=False):
    """`count` pictures of `size` (height, width), 40 ms apart."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        if interlaced:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


KINDS = {
    "10 bits": ("v.mkv", "ffv1", "yuv420p10le", (48, 64)),
    "12 bits, all colours": ("v.mkv", "ffv1", "yuv444p12le", (48, 64)),
    "grey": ("v.mkv", "ffv1", "gray", (48, 64)),
    "MPEG-2": ("v.mkv", "mpeg2video", "yuv420p", (48, 64)),
    "Motion JPEG": ("v.avi", "mjpeg", "yuvj420p", (48, 64)),
    "VP9": ("v.webm", "libvpx-vp9", "yuv420p", (48, 64)),
    "one pixel": ("v.mkv", "ffv1", "yuv444p", (1, 1)),
    "upright": ("v.mp4", "libx264", "yuv420p", (128, 36)),
    "odd": ("v.mkv", "ffv1", "yuv444p", (47, 63)),
}


@pytest.fixture
def segmenter(tmp_path):
    return Segmenter(save_bands(tmp_path / "m.onnx"), threads=1)


def paint(segmenter, video, folder):
    with open_source(video) as source:
        sinks = [
            OverlayVideo(folder / "o.mp4", Painter(segmenter.spec, alpha=0.0), source.fps),
            MaskVideo(folder / "m.mkv", source.fps),
        ]
        summary = run(segmenter, source, sinks)
    assert summary.problem is None
    return summary.frames, *read_video(folder / "o.mp4"), read_video(folder / "m.mkv", "gray")[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_picture_at_the_same_times(segmenter, tmp_path, kind):
    name, codec, pixels, size = KINDS[kind]
    video = encode(tmp_path / name, codec, pixels, size)
    times, pictures = read_video(video)
    frames, painted_times, painted, masks = paint(segmenter, video, tmp_path)
    assert frames == len(painted) == len(masks) == 3
    np.testing.assert_allclose(np.diff(painted_times), np.diff(times), atol=1)
    for index, (rgb, made, mask) in enumerate(zip(pictures, painted, masks, strict=True)):
        assert mask.shape == size
        assert made.shape[:2] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        assert np.abs(made[: size[0], : size[1]].astype(int) - rgb).mean() < 8
        wanted = picture(index, *size)
        wanted = wanted if kind != "grey" else np.repeat(cv2.cvtColor(wanted, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        assert np.abs(rgb.astype(int) - wanted).mean() < 12


def test_interlaced_frames_are_whole_frames(segmenter, tmp_path):
    video = encode(tmp_path / "v.mkv", "mpeg2video", "yuv420p", (64, 64), interlaced=True)
    frames, _, painted, _ = paint(segmenter, video, tmp_path)
    assert frames == 3
    assert painted[0].shape == (64, 64, 3)
    assert np.abs(painted[0].astype(int) - picture(0, 64, 64)).mean() < 12


def test_8k(segmenter, tmp_path):
    video = encode(tmp_path / "v.avi", "mjpeg", "yuvj420p", (4320, 7680), count=1)
    with open_source(video) as source:
        ((frame, answer),) = segmenter.stream(source)
    assert frame.rgb_HWC.shape == (4320, 7680, 3)
    assert answer.classes.shape == (4320, 7680)
