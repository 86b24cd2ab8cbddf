"""Sinks: right pictures, the source's times, whole files or none."""

import json
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from media import atoms, picture, read_video
from onnx_models import expected_classes, make_spec
from PIL import Image

from infer.encode import MaskVideo, OverlayVideo
from infer.segmenter import Segmentation
from infer.sinks import MaskFolder, OverlayImage, Painter, Stats
from seg.draw import overlay
from seg.errors import SegError
from seg.frame import Frame

SPEC = make_spec()
PALETTE = SPEC.as_ontology().palette_C3
FPS = Fraction(25)
TIMES = [0, 40, 41, 300, 333, 1000]


def answer(index, size=(48, 64), time_ms=None, source="video.mp4"):
    rgb = picture(index, *size)
    frame = Frame(rgb, index, (40 * index if time_ms is None else time_ms) * 1_000_000, source)
    classes = expected_classes(rgb)
    return frame, Segmentation(classes, np.full(size, 51, np.uint8), 0.5, timings={"network": 0.25})


def fill(sink, count=6, **options):
    with sink:
        for index in range(count):
            sink.write(*answer(index, **options))


def leftovers(folder):
    return sorted(entry.name for entry in folder.iterdir())


class BrokenError(Exception):
    pass


def stop(sink, index, error):
    """One frame, then an error inside the block."""
    with sink:
        sink.write(*answer(index))
        raise error


def sinks_in(folder):
    return [
        OverlayVideo(folder / "o.mp4", Painter(SPEC), FPS),
        OverlayImage(folder / "o.png", Painter(SPEC)),
        MaskFolder(folder / "masks", SPEC),
        MaskVideo(folder / "m.mkv", FPS),
        Stats(folder / "s.jsonl", SPEC),
    ]


@pytest.mark.parametrize("which", range(5))
def test_contract_of_every_sink(tmp_path, which):
    sink = sinks_in(tmp_path)[which]
    with sink:
        sink.write(*answer(0))
        assert not sink.path.exists()  # nothing under the final name before the end
    assert sink.kept
    assert leftovers(tmp_path) == [sink.path.name]


@pytest.mark.parametrize("which", range(5))
def test_an_error_leaves_the_part_under_its_own_name(tmp_path, which):
    sink = sinks_in(tmp_path)[which]
    with pytest.raises(BrokenError):
        stop(sink, 0, BrokenError)
    assert not sink.kept
    assert leftovers(tmp_path) == ([] if isinstance(sink, OverlayImage) else [sink.partial.name])
    fill(sinks_in(tmp_path)[which], count=1)  # which does not stand in the way
    assert leftovers(tmp_path) == [sink.path.name]


@pytest.mark.parametrize("which", range(5))
def test_ctrl_c_finishes_what_there_is(tmp_path, which):
    sink = sinks_in(tmp_path)[which]
    with pytest.raises(KeyboardInterrupt):
        stop(sink, 0, KeyboardInterrupt)
    assert sink.kept
    assert leftovers(tmp_path) == [sink.path.name]


@pytest.mark.parametrize("which", range(5))
def test_no_frame_no_file(tmp_path, which):
    with sinks_in(tmp_path)[which] as sink:
        pass
    assert not sink.kept
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("which", range(5))
def test_an_error_keeps_the_older_output(tmp_path, which):
    fill(sinks_in(tmp_path)[which], count=1)
    with pytest.raises(SegError, match="overwrite"):
        sinks_in(tmp_path)[which]
    (made,) = tmp_path.iterdir()
    before = [(entry.name, entry.stat().st_size) for entry in ([made] if made.is_file() else made.iterdir())]
    kind = type(sinks_in(tmp_path / "other")[which])
    extra = {"OverlayVideo": (Painter(SPEC), FPS), "OverlayImage": (Painter(SPEC),), "MaskVideo": (FPS,)}
    again = kind(made, *extra.get(kind.__name__, (SPEC,)), overwrite=True)
    with pytest.raises(BrokenError):
        stop(again, 3, BrokenError)
    assert [(entry.name, entry.stat().st_size) for entry in ([made] if made.is_file() else made.iterdir())] == before


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_overlay_video(tmp_path, suffix):
    path = tmp_path / f"o{suffix}"
    with OverlayVideo(path, Painter(SPEC), FPS) as sink:
        for index, time_ms in enumerate(TIMES):
            sink.write(*answer(index, time_ms=time_ms))
    times, frames = read_video(path)
    assert times == TIMES
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    for index, frame in enumerate(frames):
        rgb = picture(index)
        painted = overlay(rgb, expected_classes(rgb), PALETTE, 0.5, skip=(0,))
        assert np.abs(frame.astype(int) - painted).mean() < 8
    if suffix != ".mkv":
        names = atoms(path)
        assert names.index("moov") < names.index("mdat")


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_to_even(tmp_path, size):
    fill(OverlayVideo(tmp_path / "o.mp4", Painter(SPEC), FPS), size=size, count=3)
    times, frames = read_video(tmp_path / "o.mp4")
    assert times == [0, 40, 80]
    assert frames[0].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)


def test_colours_survive(tmp_path):
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:32], rgb[32:] = (200, 30, 60), (10, 240, 90)
    bare = Segmentation(np.zeros((64, 64), np.uint8), None, None)
    with OverlayVideo(tmp_path / "o.mp4", Painter(SPEC), FPS) as sink:
        sink.write(Frame(rgb, 0, 0, ""), bare)
    _, (frame,) = read_video(tmp_path / "o.mp4")
    assert np.abs(frame[8:24, 8:56].astype(int) - rgb[8:24, 8:56]).mean() < 4
    assert np.abs(frame[40:56, 8:56].astype(int) - rgb[40:56, 8:56]).mean() < 4  # another matrix is 20 off


def test_times_that_stand_or_run_back_do_not_stop_the_video(tmp_path):
    with OverlayVideo(tmp_path / "o.mp4", Painter(SPEC), FPS) as sink:
        for index, time_ms in enumerate([0, 40, 40, 20, 80]):
            sink.write(*answer(index, time_ms=time_ms))
    times, _ = read_video(tmp_path / "o.mp4")
    assert len(times) == 5
    assert times == sorted(set(times))


def test_frames_of_another_size_are_fitted(tmp_path):
    sinks = [OverlayVideo(tmp_path / "o.mp4", Painter(SPEC), FPS), MaskVideo(tmp_path / "m.mkv", FPS)]
    for sink in sinks:
        with sink:
            sink.write(*answer(0))
            sink.write(*answer(1, size=(20, 30)))
        _, frames = read_video(sink.path)
        assert [frame.shape[:2] for frame in frames] == [(48, 64)] * 2


def test_mask_video_is_without_loss(tmp_path):
    fill(MaskVideo(tmp_path / "m.mkv", FPS), size=(47, 63))
    times, frames = read_video(tmp_path / "m.mkv", "gray")
    assert times == [0, 40, 80, 120, 160, 200]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, expected_classes(picture(index, 47, 63)))


def test_mask_folder(tmp_path):
    fill(MaskFolder(tmp_path / "masks", SPEC), count=3)
    assert leftovers(tmp_path / "masks") == ["000000.png", "000001.png", "000002.png"]
    with Image.open(tmp_path / "masks" / "000002.png") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.array(mask), expected_classes(picture(2)))
        np.testing.assert_array_equal(np.array(mask.convert("RGB")), PALETTE[expected_classes(picture(2))])


def test_masks_take_the_names_of_images(tmp_path):
    with MaskFolder(tmp_path / "masks", SPEC, by_source=True) as sink:
        for index, source in enumerate(["a/left.png", "a/right.jpg", "b/left.png"]):
            sink.write(*answer(index, source=source))
    assert leftovers(tmp_path / "masks") == ["left.png", "left_000002.png", "right.png"]


def test_mask_folder_replaces_masks_and_nothing_else(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    fill(MaskFolder(folder, SPEC), count=3)  # an empty folder is taken as it is
    with pytest.raises(SegError, match="overwrite"):
        MaskFolder(folder, SPEC)
    fill(MaskFolder(folder, SPEC, overwrite=True), count=1)
    assert leftovers(folder) == ["000000.png"]
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(SegError, match=r"thesis\.txt"):
        MaskFolder(folder, SPEC, overwrite=True)


def test_masks_go_where_a_link_leads(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "masks"
    link.symlink_to(tmp_path / "disk" / "out")
    for count in (3, 1):  # not there yet, and replaced
        fill(MaskFolder(link, SPEC, overwrite=True), count=count)
        assert link.is_symlink()
        assert leftovers(tmp_path / "disk") == ["out"]
        assert len(leftovers(tmp_path / "disk" / "out")) == count
    assert leftovers(tmp_path) == ["disk", "masks"]


def test_labels_that_somebody_drew_are_never_replaced(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "000000.png")
    with pytest.raises(SegError, match=r"000000\.png.*did not write"):
        MaskFolder(folder, SPEC, overwrite=True)


def test_stats(tmp_path):
    fill(Stats(tmp_path / "s.jsonl", SPEC), count=2)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [(line["index"], line["time"]) for line in lines] == [(0, 0.0), (1, 0.04)]
    assert sum(lines[0]["share"].values()) == pytest.approx(1, abs=1e-5)
    assert lines[0]["share"]["road"] == pytest.approx((expected_classes(picture(0)) == 1).mean(), abs=1e-6)
    assert lines[0]["confidence"] == pytest.approx(0.2)
    assert lines[0]["novelty"] == 0.5
    assert lines[0]["seconds"] == {"network": 0.25}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_overlay_image(tmp_path, suffix):
    fill(OverlayImage(tmp_path / f"o{suffix}", Painter(SPEC, alpha=0.3)), count=1)
    with Image.open(tmp_path / f"o{suffix}") as made:
        rgb = picture(0)
        expected = overlay(rgb, expected_classes(rgb), PALETTE, 0.3, skip=(0,))
        assert np.abs(np.array(made).astype(int) - expected).mean() < (0.01 if suffix == ".png" else 6)


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(SegError, match=r"\.mp4 or \.mov or \.mkv, got '\.webp'"):
        OverlayVideo(tmp_path / "o.webp", Painter(SPEC), FPS)
    with pytest.raises(SegError, match=r"\.mkv"):
        MaskVideo(tmp_path / "m.mp4", FPS)
    with pytest.raises(SegError, match="alpha"):
        Painter(SPEC, alpha=1.5)
    (tmp_path / "file").touch()
    with pytest.raises(SegError, match="is a file"):
        MaskFolder(tmp_path / "file", SPEC)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SegError, match="not writable"):
        Stats(tmp_path / "s.jsonl", SPEC)
