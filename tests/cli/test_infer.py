"""`seg infer` as a user types it: outputs, defaults, and inputs that are never replaced."""

import hashlib
import json
import os
import re
import signal
from pathlib import Path

import av
import numpy as np
import pytest
from media import picture, read_video, sound_of, with_sound, write_video
from onnx_models import expected_classes, save_bands
from PIL import Image

from infer import open_source
from infer.segmenter import Segmenter
from infer.sinks import Stats
from seg import shipped
from seg.cli import main
from seg.cli.infer import default_overlay
from seg.sources.base import Source


@pytest.fixture
def model(tmp_path):
    return save_bands(tmp_path / "bands.onnx")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_outputs_together(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=4)
    outputs = ["o.mp4", "masks", "m.mkv", "s.jsonl"]
    flags = ["--overlay", "--masks", "--mask-video", "--stats"]
    pairs = [part for flag, name in zip(flags, outputs, strict=True) for part in (flag, tmp_path / "new" / name)]
    code, out, err = seg("infer", model, video, *pairs, "--threads", 1)
    assert (code, err) == (0, "")
    assert "4 frames in" in out
    assert "cpu" in out
    assert sorted(entry.name for entry in (tmp_path / "new").iterdir()) == sorted(outputs)
    assert all(str(tmp_path / "new" / name) in out for name in outputs)
    _, masks = read_video(tmp_path / "new" / "m.mkv", "gray")
    with Image.open(tmp_path / "new" / "masks" / "000003.png") as mask:
        np.testing.assert_array_equal(np.array(mask), masks[3])


def test_default_overlay_beside_a_video(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=3)
    code, out, _ = seg("infer", model, video)
    assert code == 0
    assert read_video(tmp_path / "drive.overlay.mp4")[0] == [0, 40, 80]
    assert "drive.overlay.mp4" in out
    code, _, err = seg("infer", model, video)
    assert code == 2
    assert "drive.overlay.mp4: exists already" in err
    assert seg("infer", model, video, "--overwrite")[0] == 0


def test_default_overlay_of_folders_without_a_name(tmp_path, monkeypatch):
    (tmp_path / "drive" / "left").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "drive" / "left")
    Image.fromarray(picture(0)).save(tmp_path / "drive" / "0.png")
    for path in ("..", "../../drive/left/.."):
        assert default_overlay(open_source(path)) == tmp_path / "drive.overlay.mp4"
    root = open_source(tmp_path / "drive")
    root.path = Path("/")
    assert default_overlay(root) == Path("folder.overlay.mp4")


def test_default_overlay_beside_an_image_and_a_folder(seg, model, tmp_path):
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.fromarray(picture(index)).save(tmp_path / "frames" / f"{index}.png")
    assert seg("infer", model, tmp_path / "frames" / "1.png")[0] == 0
    with Image.open(tmp_path / "frames" / "1.overlay.png") as made:
        assert made.size == (64, 48)
    (tmp_path / "frames" / "1.overlay.png").unlink()
    assert seg("infer", model, tmp_path / "frames", "--fps", 10)[0] == 0
    assert read_video(tmp_path / "frames.overlay.mp4")[0] == [0, 100, 200]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The package's folder, with a network for frames of its own size under each name."""
    folder = tmp_path / "models"
    folder.mkdir()
    save_bands(folder / "drive.onnx")
    save_bands(folder / "camvid11.onnx", profile="argmax")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_without_a_model_the_shipped_drive_runs(seg, models, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=2)
    code, out, err = seg("infer", video, "--mask-video", tmp_path / "named-none.mkv")
    assert (code, err) == (0, "")
    assert "2 frames in" in out
    assert seg("infer", models / "drive.onnx", video, "--mask-video", tmp_path / "named.mkv")[0] == 0
    masks = [read_video(tmp_path / f"{name}.mkv", "gray")[1] for name in ("named-none", "named")]
    np.testing.assert_array_equal(*masks)


def test_a_shipped_network_by_name(seg, models, tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "1.png")
    assert seg("infer", "camvid11", tmp_path / "1.png", "--masks", tmp_path / "masks")[0] == 0
    with Image.open(tmp_path / "masks" / "1.png") as mask:
        np.testing.assert_array_equal(np.array(mask), expected_classes(picture(1)))


def test_a_shipped_network_is_never_replaced(seg, models, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=2)
    before = digest(models / "drive.onnx")
    code, _, err = seg("infer", video, "--stats", models / "drive.onnx", "--overwrite")
    assert code == 2
    assert "is an input" in err
    assert digest(models / "drive.onnx") == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["camvid", "drive.mp4"],
            "camvid: no such file, and no shipped network of that name; did you mean 'camvid11'?",
        ),
        (["drive"], "drive is a model; name what to run it on after it: seg infer drive drive.mp4"),
        (["my.onnx"], "my.onnx is a model; name what to run it on after it: seg infer my.onnx drive.mp4"),
        (["a.png", "b.png", "c.png", "d.png"], "expected [MODEL] SOURCE, got 4 words (a.png b.png c.png...); quote"),
        (["none.mp4"], "none.mp4: no such file or folder; expected a video, an image"),
        (["drive", "none.mp4"], "none.mp4: no such file or folder; expected a video, an image"),
    ],
)
def test_words_that_are_no_model_and_source(seg, models, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = seg("infer", *words)
    assert code == 2
    assert err.startswith(f"seg: {message}")
    assert err.count("\n") == 1


def test_masks_of_images_take_their_names(seg, model, tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "left.png")
    Image.fromarray(picture(2)).save(tmp_path / "right.jpg")
    assert seg("infer", model, tmp_path / "*t.*g", "--masks", tmp_path / "masks")[0] == 0
    assert sorted(entry.name for entry in (tmp_path / "masks").iterdir()) == ["left.png", "right.png"]
    with Image.open(tmp_path / "masks" / "left.png") as mask:
        np.testing.assert_array_equal(np.array(mask), expected_classes(picture(1)))


def test_inputs_are_never_replaced(seg, model, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(picture(0)).save(frames / "0.png")
    video = write_video(tmp_path / "drive.mp4", count=2)
    (tmp_path / "link.mp4").symlink_to(video)
    before = {path: digest(path) for path in (model, video, frames / "0.png")}
    for source, flag, output in [
        (video, "--overlay", video),
        (video, "--overlay", tmp_path / "link.mp4"),
        (video, "--stats", model),
        (frames, "--masks", frames),
        (frames / "0.png", "--overlay", frames / "0.png"),
        (frames / "0.png", "--masks", tmp_path),
    ]:
        code, _, err = seg("infer", model, source, flag, output, "--overwrite")
        assert code == 2
        assert "is an input" in err
    assert {path: digest(path) for path in before} == before


def test_two_outputs_of_one_name(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=2)
    code, _, err = seg("infer", model, video, "--overlay", tmp_path / "o.mkv", "--mask-video", tmp_path / "o.mkv")
    assert code == 2
    assert "two outputs" in err


def test_a_picture_is_refused_for_a_video(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=2)
    code, _, err = seg("infer", model, video, "--overlay", tmp_path / "o.png")
    assert code == 2
    assert ".mp4" in err


@pytest.mark.parametrize("fps", ["0", "nan", "inf", "-5"])
def test_what_is_no_frame_rate_is_one_line(seg, model, tmp_path, fps):
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    code, _, err = seg("infer", model, tmp_path, "--fps", fps, "--masks", tmp_path / "masks")
    assert code == 2
    assert err.startswith("seg: expected a frame rate of 0.001 to 1000")
    assert err.count("\n") == 1
    assert not (tmp_path / "masks").exists()


def test_auto_says_what_it_chose(seg, model, tmp_path):
    code, out, _ = seg("infer", model, write_video(tmp_path / "drive.mp4", count=2), "--provider", "auto")
    assert code == 0
    assert "auto chose" in out


def test_debug_shows_the_traceback(model, tmp_path):
    from seg.errors import SegError

    with pytest.raises(SegError):
        main(["--debug", "infer", str(model), str(tmp_path / "none.mp4")])


@pytest.fixture
def watching(tmp_path):
    """A model whose novelty is the mean brightness, and a folder of two black images and a grey one."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for index, brightness in enumerate([0, 90, 0]):
        Image.fromarray(np.full((48, 64, 3), brightness, np.uint8)).save(frames / f"{index}.png")
    return save_bands(tmp_path / "watching.onnx", novelty=True), frames


def test_novel_frames_are_told_and_marked(seg, watching, tmp_path):
    model, frames = watching
    code, out, err = seg("infer", model, frames, "--stats", tmp_path / "s.jsonl")
    assert (code, err) == (0, "")
    assert "1 of 3 frames (33.3 %) are novel: above 0.99\n" in out
    assert [json.loads(line)["novelty"] for line in (tmp_path / "s.jsonl").read_text().splitlines()] == [0, 90, 0]
    for name, border in [("0", 0), ("1", 230)]:
        assert seg("infer", model, frames / f"{name}.png", "--overlay", tmp_path / f"{name}.png")[0] == 0
        with Image.open(tmp_path / f"{name}.png") as made:
            assert made.getpixel((0, 47))[0] == border


def test_the_threshold_of_novelty(seg, watching, tmp_path):
    model, frames = watching
    _, out, _ = seg("infer", model, frames / "1.png", "--novel-above", 0.5, "--masks", tmp_path / "m")
    assert "1 of 1 frame (100.0 %) is novel: above 0.5\n" in out


def test_too_many_novel_frames_are_exit_3_with_all_outputs(seg, watching, tmp_path):
    model, frames = watching
    code, out, err = seg("infer", model, frames, "--fail-novel", 0.2, "--overlay", tmp_path / "o.mp4")
    assert (code, err) == (3, "seg: 1 of 3 frames (33.3 %) are novel or frozen, more than --fail-novel 0.2 allows\n")
    assert str(tmp_path / "o.mp4") in out
    assert len(read_video(tmp_path / "o.mp4")[0]) == 3
    assert seg("infer", model, frames, "--fail-novel", 0.34, "--masks", tmp_path / "m")[0] == 0


@pytest.mark.parametrize("option", ["--novel-above", "--fail-novel"])
def test_novelty_that_the_file_does_not_answer(seg, model, tmp_path, option):
    video = write_video(tmp_path / "drive.mp4", count=2)
    code, _, err = seg("infer", model, video, option, 0.5)
    assert code == 2
    assert f"{option}: bands (profile frame) answers no novelty; run `seg calibrate`" in err
    assert not (tmp_path / "drive.overlay.mp4").exists()


def test_a_frozen_camera_is_told_marked_and_counted(seg, watching, tmp_path):
    model, _ = watching
    with av.open(str(tmp_path / "stuck.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for _ in range(14):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint8), format="gray")))
        container.mux(stream.encode(None))
    outputs = ["--stats", tmp_path / "s.jsonl", "--overlay", tmp_path / "o.mp4"]
    code, out, err = seg("infer", model, tmp_path / "stuck.mkv", *outputs, "--fail-novel", 0.25)
    assert (code, err.split(",")[0]) == (3, "seg: 4 of 14 frames (28.6 %) are novel or frozen")
    assert "0 of 14 frames (0.0 %) are novel: above 0.99\n4 of 14 frames (28.6 %) are of a frozen camera" in out
    assert [json.loads(line)["frozen"] for line in (tmp_path / "s.jsonl").read_text().splitlines()][9:11] == [0, 1]
    _, painted = read_video(tmp_path / "o.mp4")
    assert [int(rgb[47, 32, 0]) > 128 for rgb in painted] == [False] * 10 + [True] * 4


@pytest.mark.real_data
def test_real_video(seg, model, seg_data, tmp_path):
    code, out, err = seg("infer", model, seg_data / "video" / "highway.mp4", "--stats", tmp_path / "s.jsonl")
    assert (code, err) == (0, "")
    assert "221 frames" in out
    assert "frozen" not in out
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 221


def test_in_real_time_every_frame_is_answered_or_dropped(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=12)
    options = ["--realtime", "--deadline-ms", 100_000, "--stats", tmp_path / "s.jsonl"]
    code, out, err = seg("infer", model, video, *options)
    assert (code, err) == (0, "")
    answered = [json.loads(line)["index"] for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert answered == sorted(set(answered))
    assert answered[-1] == 11  # nothing newer came
    assert f"{12 - len(answered)} of 12 frames dropped for newer ones" in out
    assert f"0 of {len(answered)} frames after their deadline of 100000 ms" in out
    assert all(f"latency, {stage}: p50 " in out for stage in ("decode", "wait", "network", "output", "all"))
    seconds = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[0])["seconds"]
    assert seconds["latency"] >= seconds["decode"] + seconds["wait"] + seconds["network"]


@pytest.mark.parametrize(
    ("number", "code", "word"), [("SIGINT", 130, "stopped by Ctrl-C"), ("SIGTERM", 143, "terminated")]
)
def test_a_run_that_is_stopped_tells_its_frames_and_what_was_wrong_with_them(
    seg, model, tmp_path, monkeypatch, number, code, word
):
    video = write_video(tmp_path / "drive.mp4", count=12)
    write = Stats._write

    def stop(sink, frame, answer):
        write(sink, frame, answer)
        if frame.index == 4:
            os.kill(os.getpid(), getattr(signal, number))

    monkeypatch.setattr(Stats, "_write", stop)
    monkeypatch.setattr(Source, "problem", "drive: 1 gap, 2.0 s together")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ended, out, err = seg("infer", model, video, "--stats", tmp_path / "s.jsonl")
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == code
    assert re.search(r"^5 frames in \d+\.\d s, \d+\.\d frames/s \(bands; cpu", out)
    kept = f"kept, finished: {tmp_path / 's.jsonl'} (5 frames)"
    assert err == f"seg: {word}; drive: 1 gap, 2.0 s together; {kept}\n"


def test_what_breaks_is_a_line_with_stage_and_frame(seg, model, tmp_path, monkeypatch):
    video = write_video(tmp_path / "drive.mp4", count=12)

    answer = Segmenter.__call__

    def broken(segmenter, frame):
        if frame.index == 7:
            raise RuntimeError("boom")
        return answer(segmenter, frame)

    monkeypatch.setattr(Segmenter, "__call__", broken)
    code, _, err = seg("infer", model, video, "--stats", tmp_path / "s.jsonl")
    assert (code, err) == (1, f"seg: network, frame 7 of {video}: RuntimeError: boom\n")
    assert not (tmp_path / "s.jsonl").exists()


def test_real_time_takes_a_source_that_has_time(seg, model, tmp_path):
    write_video(tmp_path / "drive.mp4", count=2)
    Image.fromarray(picture(0)).save(tmp_path / "f.png")
    for words, message in [
        ((tmp_path / "f.png", "--realtime"), "f.png has no time; it is for videos, cameras and streams"),
        ((tmp_path / "drive.mp4", "--deadline-ms", 10), "only --realtime has one"),
        ((tmp_path / "drive.mp4", "--realtime", "--deadline-ms", 0), "expected more than 0, got 0"),
    ]:
        code, _, err = seg("infer", model, *words)
        assert code == 2
        assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bands.onnx", "drive.mp4", "f.png"]


def test_steady_masks_are_for_frames_that_follow_each_other(seg, model, tmp_path):
    video = write_video(tmp_path / "drive.mp4", count=3)
    Image.fromarray(picture(0)).save(tmp_path / "f.png")
    code, _, err = seg("infer", model, video, "--smooth", "--stats", tmp_path / "s.jsonl")
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert all("smooth" in line["seconds"] for line in lines)
    code, _, err = seg("infer", model, tmp_path / "f.png", "--smooth")
    assert code == 2
    assert "is one picture; it is for frames that follow each other" in err


def test_the_sound_of_a_video_is_kept(seg, model, tmp_path):
    with_sound(tmp_path / "drive.mp4", count=5)
    assert seg("infer", model, tmp_path / "drive.mp4")[0] == 0
    assert len(sound_of(tmp_path / "drive.overlay.mp4")[1]) > 5
