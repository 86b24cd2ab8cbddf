"""Pictures as they are meant to be seen: turned, mirrored, in the right colours; what cannot be shown whole is told."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from media import picture, read_video
from PIL import Image, ImageOps

from infer.sources import read_again
from seg.errors import SegError
from seg.sources.open import open_source


def only(path):
    with open_source(path) as source:
        (frame,) = source
    return frame.rgb_HWC, source.problem


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(10))  # 1 to 8 mean something
def test_the_orientation_of_exif(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(0)).save(path, exif=exif)
    with Image.open(path) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(only(path)[0], wanted)
    with open_source(tmp_path) as folder:
        np.testing.assert_array_equal(next(iter(folder)).rgb_HWC, wanted)
    ((_, again),) = read_again([(str(path), 0)])
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_is_damaged_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0)).save(tmp_path / "a.jpg", exif=exif)
    whole = (tmp_path / "a.jpg").read_bytes()
    at = whole.index(b"Exif\0\0") + 6
    for place, damage in ((0, b"XXXX"), (4, b"\xff" * 4), (10, b"\xff" * 12)):
        (tmp_path / "a.jpg").write_bytes(whole[: at + place] + damage + whole[at + place + len(damage) :])
        assert only(tmp_path / "a.jpg")[0].shape == (48, 64, 3)


TURNS = {(0, True, False): np.fliplr, (0, False, True): np.flipud, (90, True, False): lambda a: np.fliplr(np.rot90(a))}


@pytest.mark.parametrize("turn", TURNS)
def test_a_mirrored_video(tmp_path, turn):
    degrees, horizontally, vertically = turn
    path = tmp_path / "selfie.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees, hflip=horizontally, vflip=vertically)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
        out.mux(stream.encode(None))
    np.testing.assert_array_equal(only(path)[0], TURNS[turn](read_video(path)[1][0]))


@pytest.mark.parametrize(("height", "colours"), [(720, Colorspace.ITU709), (576, Colorspace.ITU601)])
def test_colours_of_a_video_that_does_not_name_them(tmp_path, height, colours):
    rgb_HWC = np.zeros((height, 64, 3), np.uint8)
    rgb_HWC[:, :32], rgb_HWC[:, 32:] = (200, 40, 40), (40, 200, 40)
    with av.open(str(tmp_path / "v.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(rgb_HWC, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=colours, dst_color_range=ColorRange.MPEG)
        frame.colorspace, frame.pts, frame.time_base = 2, 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert np.abs(only(tmp_path / "v.mkv")[0][:, [0, -1]].astype(int) - rgb_HWC[:, [0, -1]]).max() < 4


def test_floats_are_refused(tmp_path):
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "depth.tif")
    with pytest.raises(SegError, match=r"depth\.tif: holds 32-bit floats, .* save it with 8 bits or 16"):
        open_source(tmp_path / "depth.tif")


def test_16_bits_are_full_scale(tmp_path):
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "12_in_16.png")
    assert only(tmp_path / "12_in_16.png")[0].max() == 15


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_a_file_of_several_pictures_is_told(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    first, *others = [Image.fromarray(picture(index)) for index in range(0, 60, 20)]
    first.save(path, save_all=True, append_images=others)
    rgb_HWC, problem = only(path)
    assert np.abs(rgb_HWC.astype(int) - picture(0)).mean() < 6
    assert problem == f"{path}: holds 3 pictures and only the first is read; save each as a file"
    first.save(tmp_path / f"b.{suffix}", save_all=True, append_images=others)
    (tmp_path / "c.png").write_bytes(b"no picture")
    with open_source(tmp_path) as folder:
        assert len(list(folder)) == 2
    assert folder.problem.startswith("1 of 3 images could not be read (first: ")
    assert folder.problem.endswith(f"{problem} (and 1 more such file)")


def test_thumbnails_and_previews_are_no_pictures_of_their_own(tmp_path):
    whole, small = Image.fromarray(picture(0)), Image.fromarray(picture(0)[::4, ::4])
    whole.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    whole.save(tmp_path / "b.jpg", format="MPO", save_all=True, append_images=[whole])
    with Image.open(tmp_path / "b.jpg") as stored:
        assert stored.format == "MPO"
    assert [only(tmp_path / name)[1] for name in ("a.tif", "b.jpg")] == [None, None]
