"""What bad input gets from `seg infer`: one line, a non-zero exit, nothing overwritten, nothing half-written."""

import resource
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from media import read_video, truncate, write_video
from onnx_models import save_bands
from PIL import Image

COMMAND = [sys.executable, "-m", "seg.cli", "infer"]


def in_a_process(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )


def listing(folder):
    return sorted(entry.name for entry in folder.iterdir())


def assert_one_line(result, *words, code=2):
    assert result.returncode == code, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("seg: ")
    for word in words:
        assert str(word) in lines[0]


@pytest.fixture
def folder(tmp_path):
    """An empty folder for outputs."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_missing_file(seg_infer, model, folder):
    assert_one_line(seg_infer(model, folder / "none.mp4"), "none.mp4", "no such file")
    assert listing(folder) == []


def test_a_file_that_is_no_video(seg_infer, model, folder, tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("these are words\n" * 100)
    assert_one_line(seg_infer(model, text, "--overlay", folder / "o.mp4"), "notes.mp4", "not a video")
    assert listing(folder) == []


@pytest.mark.parametrize(("suffix", "word"), [(".mkv", "not a video"), (".mp4", "empty.mp4")])
def test_a_video_of_no_frames(seg_infer, model, folder, tmp_path, suffix, word):
    empty = tmp_path / f"empty{suffix}"
    with av.open(str(empty), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
    assert_one_line(seg_infer(model, empty, "--overlay", folder / "o.mp4"), word)
    assert listing(folder) == []


def test_a_video_whose_frames_are_all_broken(seg_infer, model, video, folder, tmp_path):
    data = bytearray(video.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - start)
    (tmp_path / "broken.mp4").write_bytes(data)
    result = seg_infer(model, tmp_path / "broken.mp4", "--overlay", folder / "o.mp4")
    assert_one_line(result, "broken.mp4", "no frame in it can be decoded")
    assert listing(folder) == []


def test_sound_alone(seg_infer, model, folder, tmp_path):
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert_one_line(seg_infer(model, sound, "--overlay", folder / "o.mp4"), "no video in it")
    assert listing(folder) == []


def test_a_truncated_video_keeps_its_frames_and_tells(seg_infer, model, folder, tmp_path):
    half = truncate(write_video(tmp_path / "whole.avi", count=60, size=(144, 192)), tmp_path / "half.avi", 0.5)
    result = seg_infer(
        model, half, "--overlay", folder / "o.mp4", "--masks", folder / "m", "--stats", folder / "s.jsonl"
    )
    frames = len(read_video(folder / "o.mp4")[1])
    assert 0 < frames < 60
    assert_one_line(result, "half.avi", f"ended early: {frames} frames decoded")
    assert listing(folder) == ["m", "o.mp4", "s.jsonl"]
    assert len(listing(folder / "m")) == len((folder / "s.jsonl").read_text().splitlines()) == frames


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA"])
def test_grey_16_bit_and_alpha_images_work(seg_infer, model, folder, tmp_path, mode):
    grey_HW = np.full((30, 40), 75, np.uint8)  # the middle of band 1 of five
    grey_HW[:, 20:] = 230  # band 4
    made = {
        "L": grey_HW,
        "I;16": grey_HW.astype(np.uint16) << 8,
        "RGBA": np.dstack([grey_HW] * 3 + [np.full_like(grey_HW, 7)]),  # almost clear: what is under it counts
    }[mode]
    Image.fromarray(made).save(tmp_path / "picture.png")
    result = seg_infer(model, tmp_path / "picture.png", "--masks", folder / "m")
    assert result.returncode == 0, result.stderr
    with Image.open(folder / "m" / "picture.png") as mask:
        classes_HW = np.asarray(mask)
    assert classes_HW.shape == (30, 40)
    assert set(classes_HW[:, :18].ravel()) == {1}  # between the two, the edge is blurred by fitting to the network
    assert set(classes_HW[:, 22:].ravel()) == {4}


def test_truncated_image(seg_infer, model, folder, tmp_path):
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "whole.png")
    part = truncate(tmp_path / "whole.png", tmp_path / "part.png")
    assert_one_line(seg_infer(model, part, "--overlay", folder / "o.png"), "part.png", "cannot be read")
    assert listing(folder) == []


def test_truncated_and_foreign_models(seg_infer, model, video, folder, tmp_path):
    part = truncate(model, tmp_path / "part.onnx")
    assert_one_line(seg_infer(part, video, "--overlay", folder / "o.mp4"), "part.onnx", "truncated")
    foreign = save_bands(tmp_path / "foreign.onnx", metadata=False)
    assert_one_line(seg_infer(foreign, video, "--overlay", folder / "o.mp4"), "foreign.onnx", "not a model of this")
    assert listing(folder) == []


def test_provider_that_is_not_there(seg_infer, model, video, folder):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine may have it")
    result = seg_infer(model, video, "--provider", "cuda", "--overlay", folder / "o.mp4")
    assert_one_line(result, "cuda", "not there")
    assert listing(folder) == []


def test_existing_output_needs_overwrite(seg_infer, model, video, folder):
    for flag, name in [("--overlay", "o.mp4"), ("--mask-video", "m.mkv"), ("--stats", "s.jsonl")]:
        (folder / name).write_text("old")
        assert_one_line(seg_infer(model, video, flag, folder / name), name, "--overwrite")
        assert (folder / name).read_text() == "old"
    result = seg_infer(model, video, "--overlay", folder / "o.mp4", "--overwrite")
    assert result.returncode == 0, result.stderr
    assert len(read_video(folder / "o.mp4")[1]) == 12


@pytest.mark.parametrize(
    ("flag", "name", "limit"),
    [("--overlay", "o.mp4", 3000), ("--mask-video", "m.mkv", 600), ("--stats", "s.jsonl", 500), ("--masks", "m", 500)],
)
def test_a_full_disk(model, folder, tmp_path, flag, name, limit):
    """The system refuses to write more than `limit` bytes to a file: as a full disk does, in the middle of the work."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    (tmp_path / "frames").mkdir()
    for index in range(4):
        Image.fromarray(noise).save(tmp_path / "frames" / f"{index}.png")
    result = in_a_process(
        model,
        tmp_path / "frames",
        *(flag, folder / name),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert_one_line(result, name, "cannot be written")
    assert not (folder / name).exists()
    assert all(".seg-" in left for left in listing(folder))


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals_finish_the_files(model, folder, tmp_path, number, code, word):
    """In the middle of a folder of 5,000 images, once the first line of statistics is on the disk."""
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(frames / "00000.png")
    for index in range(1, 5000):
        (frames / f"{index:05d}.png").hardlink_to(frames / "00000.png")
    outputs = ["--overlay", folder / "o.mp4", "--stats", folder / "s.jsonl", "--mask-video", folder / "m.mkv"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, [model, frames, *outputs])],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not any(entry.name.endswith(".jsonl") and entry.stat().st_size for entry in folder.iterdir()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert len(stderr.strip().splitlines()) == 1
    assert word in stderr
    assert listing(folder) == ["m.mkv", "o.mp4", "s.jsonl"]
    written = len((folder / "s.jsonl").read_text().splitlines())
    assert f"({written} frames)" in stderr
    assert len(read_video(folder / "o.mp4")[1]) == len(read_video(folder / "m.mkv")[1]) == written < 5000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_before_the_first_frame(model, folder, number, code):
    """While the source is being opened: one line, and no file."""
    script = (
        "import os, signal, threading, sys\n"
        "import seg.sources.open\n"
        "from seg.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait(*_):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    threading.Event().wait(60)\n"
        "seg.sources.open.open_source = wait\n"
        "main(sys.argv[1:])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "infer", str(model), "x.mp4", "--overlay", str(folder / "o.mp4")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_one_line(result, code=code)
    assert listing(folder) == []
