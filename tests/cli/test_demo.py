"""The whole story in one command, on a network and scenes far too small to learn anything."""

import json
import signal

import pytest
import runs
from media import read_video, write_video


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    config = runs.write_config(folder / "tiny.yaml", epochs=1)
    write_video(folder / "clip.mp4", count=5)
    ended = runs.seg(folder, "demo", "--config", config, "-o", folder / "out", "--video", folder / "clip.mp4")
    assert ended.code == 0, ended.stderr
    return folder / "out", ended


def test_the_summary_names_figures_and_files(demo):
    out, ended = demo
    summary = json.loads((out / "summary.json").read_text())
    figures = json.loads((out / "figures.json").read_text())
    assert summary["miou"] == figures["mean_iou"]
    assert summary["iou"] == {name: unit["iou"] for name, unit in figures["units"].items()}
    assert set(summary["iou"]) == {"background", "road", "lane", "vehicle", "pole"}
    for kind, path in summary["files"].items():
        assert (out / path).exists(), kind
        assert str(path) in ended.stdout
    _, frames = read_video(out / "clip.overlay.mp4")
    assert len(frames) == 100 == len(list((out / "masks").iterdir()))
    assert len(read_video(out / "video.overlay.mp4")[1]) == 5


def test_another_demo_replaces_only_a_demo(demo, tmp_path):
    out, _ = demo
    config = runs.write_config(tmp_path / "tiny.yaml")
    ended = runs.seg(tmp_path, "demo", "--config", config, "-o", out)
    assert (ended.code, "--overwrite" in ended.stderr) == (2, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    ended = runs.seg(tmp_path, "demo", "--config", config, "-o", tmp_path / "mine", "--overwrite")
    assert (ended.code, "thesis.txt" in ended.stderr) == (2, True)
    assert (tmp_path / "mine/thesis.txt").exists()


def test_a_video_that_cannot_be_painted_is_said_before_training(demo, tmp_path):
    out, _ = demo
    config = runs.write_config(tmp_path / "tiny.yaml")
    (tmp_path / "no.mp4").write_bytes(b"not a video")
    for video, word in ((tmp_path / "no.mp4", "no.mp4"), (out / "clip.mp4", "move it elsewhere")):
        ended = runs.seg(tmp_path, "demo", "--config", config, "-o", out, "--overwrite", "--video", video)
        assert (ended.code, word in ended.stderr) == (2, True), ended.stderr
    assert (out / "clip.mp4").exists()


def interruptible(*given):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
    runs.before_call(*given)


def test_ctrl_c_in_a_later_step_ends_it(tmp_path):
    config = runs.write_config(tmp_path / "tiny.yaml", epochs=1)
    given = ("export.onnx_file", "check_parity", 1, 2)
    ended = runs.seg(tmp_path, "demo", "--config", config, "-o", tmp_path / "out", hook=interruptible, given=given)
    assert ended.code == 130, ended.stderr
    assert not (tmp_path / "out/demo.onnx").exists()
