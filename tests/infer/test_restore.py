"""Restoration: what each task shows the network and takes from it, and `seg restore` as a user types it."""

import signal

import cv2
import numpy as np
import pytest
from media import picture, read_video, truncate, write_video
from onnx_models import expected_restored, save_bands, save_restore
from PIL import Image

from infer import RestoreJob, Restorer, Segmenter, open_source, run
from infer.restorer import read_mask, take
from infer.sinks import RestoredFolder
from seg.errors import SegError
from seg.frame import Frame
from seg.geometry import fit_frame

INVERT = {"scale": -1.0, "offset": (255, 255, 255)}
TINT = {"offset": (40, -10, -60)}  # reddish


@pytest.fixture(scope="module")
def restoring(tmp_path_factory):
    """A file of any size that inverts what it sees."""
    return save_restore(tmp_path_factory.mktemp("model") / "invert.onnx", **INVERT)


@pytest.fixture
def invert(restoring):
    return Restorer(restoring, threads=1)


@pytest.fixture
def folder(tmp_path):
    """An empty folder for outputs."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def hole(height, width):
    mask_HW = np.zeros((height, width), dtype=np.uint8)
    mask_HW[height // 3 : height // 2, width // 4 :] = 1
    return mask_HW


def listing(folder):
    return sorted(entry.name for entry in folder.iterdir())


def luma(rgb_HWC):
    return cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY).astype(int)


@pytest.mark.parametrize("size", [(48, 64), (31, 17), (1, 1), (200, 7)])
def test_the_whole_answer_at_any_size(invert, size):
    rgb = picture(3, *size)
    restored = invert(rgb, "denoise")
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, 255 - rgb)


def test_a_watermark_is_where_the_answer_is_far_from_the_frame(invert):
    rgb = np.full((60, 80, 3), 120, np.uint8)  # whose answer is 135: as near as detail is
    rgb[20:40, 30:60] = 30  # whose answer is 225
    restored = invert(rgb, "watermark")
    assert restored.dtype == np.uint8
    assert (restored[25:35, 35:55] == 225).all()
    np.testing.assert_array_equal(restored[:14], rgb[:14])
    np.testing.assert_array_equal(restored[:, 70:], rgb[:, 70:])
    answer = np.full_like(rgb, 120)
    np.testing.assert_array_equal(take(rgb, answer, "watermark")[25:35, 35:55], answer[25:35, 35:55])


@pytest.mark.parametrize("size", [(48, 64), (31, 17)])
def test_inpainting_shows_grey_and_replaces_what_is_missing_alone(invert, size):
    rgb, mask = picture(3, *size), hole(*size)
    before = rgb.copy()
    restored = invert(rgb, "inpaint", mask)
    np.testing.assert_array_equal(rgb, before)  # the frame itself is left as it is
    np.testing.assert_array_equal(restored[mask == 0], rgb[mask == 0])
    assert (restored[mask != 0] == 255 - 128).all()  # the network saw 128
    np.testing.assert_array_equal(invert(rgb, "inpaint", mask > 0), restored)
    np.testing.assert_array_equal(invert(rgb, "inpaint", mask.astype(np.int64) * 7), restored)


def test_missing_pixels_are_what_training_erases():
    from infer.restorer import ERASED
    from train import corrupt

    assert corrupt.ERASED == ERASED


@pytest.mark.parametrize("grey", [True, False])
def test_colourising_takes_chroma_and_keeps_luma(tmp_path, grey):
    tint = Restorer(save_restore(tmp_path / "tint.onnx", **TINT), threads=1)
    rgb = picture(3, 61, 47)
    if grey:
        rgb = np.repeat(luma(rgb)[..., None], 3, axis=2).astype(np.uint8)
    coloured = tint(rgb, "colourise")
    assert np.abs(luma(coloured) - luma(rgb)).max() <= 1
    # the network saw the luma alone, so its answer is that with the tint, where nothing is cut off
    shown = np.repeat(luma(rgb)[..., None], 3, axis=2).astype(np.uint8)
    answer = expected_restored(shown, **TINT)
    inside_HW = (luma(rgb) > 80) & (luma(rgb) < 200)
    assert inside_HW.mean() > 0.3
    chroma, wanted = (cv2.cvtColor(one, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(int) for one in (coloured, answer))
    assert np.abs(chroma - wanted)[inside_HW].max() <= 1
    assert (coloured[inside_HW][:, 0].astype(int) - coloured[inside_HW][:, 2] > 90).all()


def test_luma_is_kept_where_the_colour_does_not_fit(tmp_path):
    """Next to white and black there is little room for colour: it gets paler there, not darker or lighter."""
    blue = Restorer(save_restore(tmp_path / "blue.onnx", scale=0.0, offset=(0, 0, 255)), threads=1)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    coloured = blue(ramp, "colourise")
    assert np.abs(luma(coloured) - luma(ramp)).max() <= 1
    assert (coloured[0, 20:236, 2] > coloured[0, 20:236, 0]).all()
    np.testing.assert_array_equal(coloured[0, [0, 255]], [[0, 0, 0], [255, 255, 255]])


def test_a_fixed_size_is_stretched_and_back(tmp_path):
    restorer = Restorer(save_restore(tmp_path / "fixed.onnx", dynamic=False, **INVERT), threads=1)
    rgb, mask = picture(3, 90, 101), hole(90, 101)
    expected = fit_frame(255 - fit_frame(rgb, (48, 64)), (90, 101))
    np.testing.assert_array_equal(restorer(rgb, "denoise"), expected)
    restored = restorer(rgb, "inpaint", mask)
    np.testing.assert_array_equal(restored[mask == 0], rgb[mask == 0])
    assert np.abs(restored[36:44, 40:90].astype(int) - 127).max() <= 1
    assert np.abs(luma(restorer(rgb, "colourise")) - luma(rgb)).max() <= 1


def test_views_and_frames_are_taken(invert):
    rgb = picture(1)
    for view in (rgb[:, ::-1], rgb[::2]):
        for task in ("denoise", "colourise"):
            np.testing.assert_array_equal(invert(view, task), invert(view.copy(), task))
    np.testing.assert_array_equal(invert(Frame(rgb, 0, 0, "test"), "denoise"), 255 - rgb)


@pytest.mark.parametrize(
    ("corruption", "tasks"),
    [
        ("noise", ("denoise",)),
        ("pixels", ("denoise",)),
        ("grey,blocks", ("inpaint", "colourise")),
        ("watermark", ("watermark",)),
        ("", ()),
    ],
)
def test_only_tasks_that_it_was_trained_for(tmp_path, corruption, tasks):
    path = save_restore(tmp_path / "m.onnx", corruption=corruption)
    restorer = Restorer(path, threads=1)
    assert restorer.tasks == tasks
    rgb = picture(0)
    for task in ("denoise", "inpaint", "watermark", "colourise"):
        mask = hole(48, 64) if task == "inpaint" else None
        if task in tasks:
            assert restorer(rgb, task, mask).shape == rgb.shape
            continue
        with pytest.raises(SegError, match=rf"m\.onnx: was not trained for {task}.*it was trained") as caught:
            restorer(rgb, task, mask)
        trained = f"with {corruption.replace(',', ', ')}" if corruption else "without any corruption"
        assert f"it was trained {trained}" in str(caught.value)


def test_what_is_refused(invert, restoring, tmp_path):
    rgb = picture(0)
    with pytest.raises(SegError, match="no task named 'colorize'; did you mean 'colourise'"):
        invert(rgb, "colorize")
    with pytest.raises(SegError, match="inpaint needs a mask"):
        invert(rgb, "inpaint")
    with pytest.raises(SegError, match="a mask is for inpaint; denoise restores the whole frame"):
        invert(rgb, "denoise", hole(48, 64))
    with pytest.raises(SegError, match=r"mask of the frame's size 48x64 \(height x width\), got 48x63"):
        invert(rgb, "inpaint", hole(48, 63))
    with pytest.raises(SegError, match="expected a uint8 RGB array"):
        invert(rgb.astype(np.float32), "denoise")
    with pytest.raises(SegError, match=r"bands\.onnx: segments frames \(profile frame\).*`seg infer`"):
        Restorer(save_bands(tmp_path / "bands.onnx"))
    with pytest.raises(SegError, match=r"invert\.onnx: restores frames and knows no classes.*`seg restore`"):
        Segmenter(restoring)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGBA"])
def test_masks_from_files(tmp_path, mode):
    mask = hole(30, 40)
    if mode == "P":  # black is not the first colour of its palette
        image = Image.fromarray(1 - mask)
        image.putpalette([255, 0, 0, 0, 0, 0])
    elif mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16))
    else:
        image = Image.fromarray(mask * np.uint8(255)).convert(mode)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask > 0)


def test_the_pipeline_takes_a_job(invert, video, tmp_path):
    with open_source(video) as source:
        summary = run(RestoreJob(invert, "denoise"), source, [RestoredFolder(tmp_path / "out")])
    assert (summary.frames, summary.problem, summary.outputs) == (12, None, (tmp_path / "out",))
    (_, answer), *_ = RestoreJob(invert, "denoise").stream([Frame(picture(0), 0, 0, "test")])
    assert set(answer.timings) == {"decode", "preprocess", "network", "postprocess"}


def test_a_video_becomes_a_video(seg_restore, restoring, tmp_path):
    times = [0, 40, 41, 300, 333, 1000]
    video = write_video(tmp_path / "drive.mp4", count=6, times_ms=times)
    result = seg_restore(restoring, video, "--task", "denoise", "--threads", 1)
    assert (result.returncode, result.stderr) == (0, "")
    assert "6 frames in" in result.stdout
    assert "lines, denoise; cpu" in result.stdout
    assert result.stdout.splitlines()[-1] == str(tmp_path / "drive.restored.mp4")
    made, frames = read_video(tmp_path / "drive.restored.mp4")
    assert made == times
    for frame, original in zip(frames, read_video(video)[1], strict=True):
        assert np.abs(frame.astype(int) - (255 - original)).mean() < 4
    again = seg_restore(restoring, video, "--task", "denoise")
    assert_refused(again, "drive.restored.mp4", "--overwrite")
    assert seg_restore(restoring, video, "--task", "denoise", "--overwrite").returncode == 0


def assert_refused(result, *words, code=2):
    assert result.returncode == code, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("seg: ")
    for word in words:
        assert str(word) in line


def test_one_mask_for_a_whole_video(seg_restore, restoring, video, folder, tmp_path):
    Image.fromarray(hole(48, 64)).save(tmp_path / "mask.png")
    given = (restoring, video, "--task", "inpaint", "--mask", tmp_path / "mask.png", "--output", folder / "frames")
    result = seg_restore(*given)
    assert result.returncode == 0, result.stderr
    assert listing(folder / "frames") == [f"{index:06d}.png" for index in range(12)]
    with open_source(video) as source:
        for frame in source:
            restored = np.array(Image.open(folder / "frames" / f"{frame.index:06d}.png"))
            missing = hole(48, 64) != 0
            np.testing.assert_array_equal(restored[~missing], frame.rgb_HWC[~missing])
            assert (restored[missing] == 127).all()


def test_an_image_becomes_a_picture_beside_it(seg_restore, restoring, tmp_path):
    rgb = picture(4, 33, 51)
    Image.fromarray(rgb).save(tmp_path / "photo.v2.png")
    result = seg_restore(restoring, tmp_path / "photo.v2.png", "--task", "denoise")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "photo.v2.restored.png")), 255 - rgb)
    assert listing(tmp_path) == ["photo.v2.png", "photo.v2.restored.png"]


@pytest.fixture
def pictures(tmp_path):
    """A folder of images of several sizes."""
    (tmp_path / "frames").mkdir()
    for index, size in enumerate([(20, 30), (31, 17), (20, 30)]):
        Image.fromarray(picture(index, *size)).save(tmp_path / "frames" / f"f{index}.png")
    return tmp_path / "frames"


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_a_folder_or_glob_becomes_a_folder(seg_restore, restoring, pictures, tmp_path, pattern):
    result = seg_restore(restoring, pictures / pattern, "--task", "denoise")
    assert result.returncode == 0, result.stderr
    made = tmp_path / "frames.restored"
    assert listing(made) == ["f0.png", "f1.png", "f2.png"]
    for name in listing(made):
        np.testing.assert_array_equal(np.array(Image.open(made / name)), 255 - np.array(Image.open(pictures / name)))
    # it is replaced as a whole, as long as it holds nothing else
    assert_refused(seg_restore(restoring, pictures, "--task", "denoise"), "frames.restored", "--overwrite")
    assert seg_restore(restoring, pictures, "--task", "denoise", "--overwrite").returncode == 0
    (made / "thesis.txt").write_text("precious")
    refused = seg_restore(restoring, pictures, "--task", "denoise", "--overwrite")
    assert_refused(refused, "thesis.txt", "`seg restore` did not write")
    refused = seg_restore(restoring, pictures, "--task", "denoise", "--overwrite", "--output", pictures)
    assert_refused(refused, "never replaced")


def test_a_folder_may_become_a_video(seg_restore, restoring, pictures, folder):
    given = ("--task", "denoise", "--output", folder / "o.mp4", "--fps", 10)
    result = seg_restore(restoring, pictures, *given)
    assert result.returncode == 0, result.stderr
    assert read_video(folder / "o.mp4")[0] == [0, 100, 200]


def test_masks_of_seg_infer_and_restored_frames_are_told_apart(seg_restore, seg_infer, model, restoring, video, folder):
    assert seg_infer(model, video, "--masks", folder / "masks").returncode == 0
    given = (restoring, video, "--task", "denoise", "--output", folder / "masks", "--overwrite")
    assert_refused(seg_restore(*given), "`seg restore` did not write")


def test_a_picture_that_cannot_be_read_is_told_at_the_end(seg_restore, restoring, pictures, folder):
    truncate(pictures / "f0.png", pictures / "broken.png")
    result = seg_restore(restoring, pictures, "--task", "denoise", "--output", folder / "o")
    assert_refused(result, "1 of 4 images could not be read", "broken.png", "hold the 3 frames")
    assert listing(folder / "o") == ["f0.png", "f1.png", "f2.png"]


def test_a_truncated_video_keeps_its_frames_and_tells(seg_restore, restoring, folder, tmp_path):
    half = truncate(write_video(tmp_path / "whole.avi", count=60, size=(144, 192)), tmp_path / "half.avi", 0.5)
    result = seg_restore(restoring, half, "--task", "denoise", "--output", folder / "o.mp4")
    frames = len(read_video(folder / "o.mp4")[1])
    assert 0 < frames < 60
    assert_refused(result, "half.avi", f"ended early: {frames} frames decoded")


def test_mistakes_leave_nothing(seg_restore, model, restoring, video, pictures, folder, tmp_path):
    Image.fromarray(hole(20, 30)).save(tmp_path / "mask.png")
    Image.fromarray(hole(20, 30)).save(tmp_path / "mask.jpg")
    few = save_restore(tmp_path / "few.onnx", corruption="noise")
    inpaint = ("--task", "inpaint", "--mask", tmp_path / "mask.png", "--output")
    for arguments, words in [
        ((restoring, video, *inpaint, folder / "o.mp4"), ("frame's size 48x64", "got 20x30")),
        ((restoring, pictures, *inpaint, folder / "o"), ("frame's size 31x17", "got 20x30")),  # at the second image
        ((restoring, video, "--task", "inpaint"), ("--mask",)),
        ((restoring, video, "--task", "inpaint", "--mask", tmp_path / "mask.jpg"), ("mask.jpg", "JPEG")),
        ((restoring, video, "--task", "inpaint", "--mask", tmp_path / "none.png"), ("none.png", "no such file")),
        ((restoring, video, "--task", "denoise", "--mask", tmp_path / "mask.png"), ("mask is for inpaint",)),
        ((few, video, "--task", "colourise"), ("few.onnx", "corruption.grey", "trained with noise", "--task denoise")),
        ((restoring, video, "--task", "denoize"), ("did you mean 'denoise'",)),
        ((model, video, "--task", "denoise"), ("bands.onnx", "seg infer")),
        (("drive", video, "--task", "denoise"), ("drive.onnx", "seg infer")),
        ((restoring, folder / "none.mp4", "--task", "denoise"), ("no such file",)),
        ((restoring, video, "--task", "denoise", "--output", folder / "o.avi"), (".mp4 or .mov or .mkv",)),
        ((restoring, pictures, "--task", "denoise", "--output", folder / "o.png"), (".mp4 or .mov or .mkv",)),
        ((restoring, pictures / "f0.png", "--task", "denoise", "--output", folder / "o"), (".png or .jpg",)),
        ((restoring, video, "--task", "denoise", "--output", video, "--overwrite"), ("never replaced",)),
    ]:
        assert_refused(seg_restore(*arguments), *words)
    given = (restoring, pictures, *inpaint, tmp_path / "mask.png", "--overwrite")
    assert_refused(seg_restore(*given), "mask.png")
    assert read_mask(tmp_path / "mask.png").any()
    assert listing(folder) == [".o.seg-job", "o.seg-partial"]  # of the mask that does not fit the second image
    assert listing(folder / "o.seg-partial") == ["f0.png"]
    assert listing(pictures) == ["f0.png", "f1.png", "f2.png"]


def test_infer_says_to_use_restore(seg_infer, restoring, video, folder):
    result = seg_infer(restoring, video, "--overlay", folder / "o.mp4")
    assert_refused(result, "invert.onnx", "knows no classes", "seg restore")
    assert listing(folder) == []


def test_ctrl_c_keeps_whole_frames(seg_restore, restoring, pictures, folder, monkeypatch):
    from infer.sinks import RestoredFolder

    real, calls = RestoredFolder._picture, []

    def interrupted(self, frame, restoration):
        calls.append(frame)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, frame, restoration)

    monkeypatch.setattr(RestoredFolder, "_picture", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = seg_restore(restoring, pictures, "--task", "denoise", "--output", folder / "o")
    finally:
        signal.signal(signal.SIGINT, before)
    assert_refused(result, "stopped by Ctrl-C", "(2 frames)", code=130)
    assert listing(folder / "o") == ["f0.png", "f1.png"]
