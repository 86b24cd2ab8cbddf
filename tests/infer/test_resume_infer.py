"""A killed run: what it wrote plays, and another goes on with it until every frame is there once."""

import json
import signal

import av
import numpy as np
import pytest
import runs
from media import read_video, write_video
from onnx_models import save_bands, save_restore
from PIL import Image

COUNT, RATE = 60, 25
KILLS = [
    ("infer.segmenter", "Segmenter.__call__", 1),
    ("infer.segmenter", "Segmenter.__call__", 40),
    ("infer.encode", "OverlayVideo._encode", 1),
    ("infer.encode", "OverlayVideo._encode", 26),
    ("infer.encode", "OverlayVideo._encode", 55),
    ("infer.encode", "MaskVideo._encode", 54),
    ("infer.sinks", "MaskFolder._picture", 37),
    ("infer.sinks", "statistics", 53),
    ("infer.pipeline", "_finish", 1),
    ("infer.encode", "_Video._close", 1),
    ("infer.encode", "indexed", 1),
    ("infer.encode", "MaskVideo._complete", 1),
]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A model, a video with sound's worth of time, and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("job")
    model = save_bands(folder / "m.onnx")
    video = write_video(folder / "v.mp4", count=COUNT)
    assert runs.seg(folder, *command(model, video, folder / "whole")).code == 0
    return model, video, folder / "whole"


def command(model, video, folder, *more):
    folder.mkdir(exist_ok=True)
    outputs = ["--overlay", folder / "o.mp4", "--mask-video", folder / "m.mkv", "--masks", folder / "masks"]
    return "infer", model, video, *outputs, "--stats", folder / "s.jsonl", *more


def assert_whole(folder, expected):
    assert sorted(path.name for path in folder.iterdir()) == ["m.mkv", "masks", "o.mp4", "s.jsonl"]
    for name, pixels in (("o.mp4", "rgb24"), ("m.mkv", "gray")):
        (times, frames), (true_times, true_frames) = (read_video(path / name, pixels) for path in (folder, expected))
        assert times == true_times
        worst = max(np.abs(a.astype(int) - b).mean() for a, b in zip(frames, true_frames, strict=True))
        assert worst < (4 if name == "o.mp4" else 1e-9)  # H.264's frames behind a seam are coded anew
    for path in sorted((expected / "masks").iterdir()):
        assert np.array_equal(np.array(Image.open(path)), np.array(Image.open(folder / "masks" / path.name)))
    assert len(list((folder / "masks").iterdir())) == COUNT
    lines = [json.loads(line) for line in (folder / "s.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(COUNT))


@pytest.mark.parametrize(("module", "name", "number"), KILLS)
def test_killed_at_any_moment_it_goes_on(job, tmp_path, module, name, number):
    model, video, whole = job
    folder = tmp_path / "out"
    ended = runs.seg(tmp_path, *command(model, video, folder), hook=runs.before_call, given=(module, name, number))
    assert ended.code == -signal.SIGKILL
    if list(folder.glob("*.seg-partial*")):
        again = runs.seg(tmp_path, *command(model, video, folder))
        assert again.code == 2
        assert "give --resume to go on with it, or --overwrite to begin anew" in again.stderr
    again = runs.seg(tmp_path, *command(model, video, folder, "--resume"))
    assert again.code == 0, again.stderr
    assert_whole(folder, whole)


def test_what_was_written_plays_up_to_two_seconds_before(job, tmp_path):
    model, _, _ = job
    video = write_video(tmp_path / "long.mp4", count=200)
    folder = tmp_path / "out"
    for written in (60, 117, 190):
        arguments = command(model, video, folder, "--overwrite")
        runs.seg(tmp_path, *arguments, hook=runs.before_call, given=("infer.sinks", "statistics", written))
        for name, pixels in (("o.seg-partial.mp4", "rgb24"), ("m.seg-partial.mkv", "gray")):
            assert playable(folder / name, pixels) >= written - 2 * RATE
        assert len((folder / "s.seg-partial.jsonl").read_text().splitlines()) == written - 1


def playable(path, pixels):
    count = 0
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                frame.to_ndarray(format=pixels)
                count += 1
        except av.FFmpegError:
            pass
    return count


def test_killed_again_and_again(job, tmp_path):
    model, video, whole = job
    folder = tmp_path / "out"
    for number in (58, 33):  # of the frames that are new in each run
        ended = runs.seg(
            tmp_path,
            *command(model, video, folder, "--resume"),
            hook=runs.before_call,
            given=("infer.sinks", "statistics", number),
        )
        assert ended.code == -signal.SIGKILL
    # and while the kept frames are copied
    ended = runs.seg(
        tmp_path,
        *command(model, video, folder, "--resume"),
        hook=runs.before_call,
        given=("infer.encode", "_Video._copy", 2),
    )
    assert ended.code == -signal.SIGKILL
    assert runs.seg(tmp_path, *command(model, video, folder, "--resume")).code == 0
    assert_whole(folder, whole)


def test_sound_goes_on_too(job, tmp_path):
    model = job[0]
    video = tmp_path / "loud.mp4"
    write_with_sound(video)
    arguments = ["infer", model, video, "--overlay", tmp_path / "o.mp4"]
    ended = runs.seg(tmp_path, *arguments, hook=runs.before_call, given=("infer.encode", "OverlayVideo._encode", 58))
    assert ended.code == -signal.SIGKILL
    assert runs.seg(tmp_path, *arguments, "--resume").code == 0
    assert sound_of(tmp_path / "o.mp4") == sound_of(video)


def write_with_sound(path):
    from media import picture

    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=48_000)
        for index in range(COUNT):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
            heard = np.sin(np.arange(1920) * 0.05)[None].astype(np.float32)
            samples = av.AudioFrame.from_ndarray(heard, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48_000, 1920 * index
            container.mux(sound.encode(samples))
        for stream in (pictures, sound):
            container.mux(stream.encode(None))


def sound_of(path):
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [bytes(packet) for packet in packets if packet.size]


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_overlays_of_other_formats(job, tmp_path, suffix):
    model, video, whole = job
    arguments = ["infer", model, video, "--overlay", tmp_path / f"o{suffix}"]
    ended = runs.seg(tmp_path, *arguments, hook=runs.before_call, given=("infer.encode", "OverlayVideo._encode", 58))
    assert ended.code == -signal.SIGKILL
    assert "went on behind 25" in runs.seg(tmp_path, *arguments, "--resume").stdout
    (times, frames), (true_times, true_frames) = (
        read_video(path) for path in (tmp_path / f"o{suffix}", whole / "o.mp4")
    )
    assert times == true_times
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(frames, true_frames, strict=True)) < 4


def test_another_run_does_not_go_on_with_it(job, tmp_path, seg):
    model, video, _ = job
    folder = tmp_path / "out"
    runs.seg(tmp_path, *command(model, video, folder), hook=runs.before_call, given=("infer.sinks", "statistics", 40))
    other = save_bands(tmp_path / "other.onnx", step=60)
    for arguments, differs in (
        (command(other, video, folder, "--resume"), "model"),
        (command(model, video, folder, "--resume", "--alpha", 0.1), "alpha"),
        (command(model, write_video(tmp_path / "v.mp4", count=9), folder, "--resume"), "source, files"),
    ):
        code, _, err = seg(*arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert f"the unfinished run was another one ({differs} differ" in err
    assert runs.seg(tmp_path, *command(model, video, folder, "--resume")).code == 0


def test_an_error_is_gone_on_behind_as_well(job, tmp_path, seg, monkeypatch):
    """A disk that is full at the 45th line: one line says where the frames are, and the next run takes them."""
    from infer.sinks import Stats

    model, video, whole = job
    folder = tmp_path / "out"
    real, calls = Stats._write, []

    def full(self, frame, answer):
        calls.append(frame.index)
        if len(calls) == 45:
            raise OSError(28, "No space left on device")
        real(self, frame, answer)

    monkeypatch.setattr(Stats, "_write", full)
    code, _, err = seg(*command(model, video, folder))
    assert (code, err.count("\n")) == (2, 1)
    assert "No space left on device); what could be written is in s.seg-partial.jsonl" in err
    monkeypatch.undo()
    code, out, _ = seg(*command(model, video, folder, "--resume"))
    assert code == 0
    assert "went on behind 25 frames" in out
    assert_whole(folder, whole)


def test_two_runs_at_once_do_not_mix(job, tmp_path, seg, monkeypatch):
    from infer import resume

    model, video, _ = job
    real = resume.Job.__enter__
    said = []

    def enter(self):
        monkeypatch.setattr(resume.Job, "__enter__", real)
        said.append(seg(*command(model, video, tmp_path / "out", "--overwrite")))
        return real(self)

    monkeypatch.setattr(resume.Job, "__enter__", enter)
    assert seg(*command(model, video, tmp_path / "out"))[0] == 0
    assert said[0][0] == 2
    assert "another run is writing it now" in said[0][2]


def test_runs_that_share_one_output_do_not_mix(job, tmp_path, seg, monkeypatch):
    from infer import resume

    model, video, _ = job
    real, said = resume.Job.__enter__, []
    first = ["infer", model, video, "--overlay", tmp_path / "a.mp4", "--stats", tmp_path / "same.jsonl"]
    other = ["infer", model, video, "--overlay", tmp_path / "b.mp4", "--stats", tmp_path / "same.jsonl"]

    def enter(self):
        monkeypatch.setattr(resume.Job, "__enter__", real)
        said.append(seg(*other))
        return real(self)

    monkeypatch.setattr(resume.Job, "__enter__", enter)
    assert seg(*first)[0] == 0
    assert said[0][0] == 2
    assert "same.jsonl: another run is writing it now" in said[0][2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "same.jsonl"]


def test_names_that_have_a_stem_in_common_are_other_outputs(job, tmp_path):
    model, video, whole = job
    arguments = ["infer", model, video, "--overlay", tmp_path / "out.mp4"]
    ended = runs.seg(tmp_path, *arguments, hook=runs.before_call, given=("infer.encode", "OverlayVideo._encode", 58))
    assert ended.code == -signal.SIGKILL
    for flag, name in (("--masks", "out"), ("--stats", "out.json"), ("--stats", "out.jsonl"), ("--overlay", "out.mkv")):
        assert runs.seg(tmp_path, "infer", model, video, flag, tmp_path / name).code == 0
    assert "went on behind 25" in runs.seg(tmp_path, *arguments, "--resume").stdout
    assert read_video(tmp_path / "out.mp4")[0] == read_video(whole / "o.mp4")[0]


def test_a_part_that_nothing_tells_of_is_not_touched(job, tmp_path, seg):
    model, video, _ = job
    (tmp_path / "o.seg-partial.mp4").write_bytes(b"whose")
    for more, words in (([], "an unfinished run of it is there"), (["--resume"], "nothing tells what run")):
        code, _, err = seg("infer", model, video, "--overlay", tmp_path / "o.mp4", *more)
        assert code == 2
        assert words in err
    assert (tmp_path / "o.seg-partial.mp4").read_bytes() == b"whose"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_part_is_a_source_like_others_but_not_of_its_own_output(job, tmp_path, seg):
    model, video, _ = job
    part = tmp_path / "o.seg-partial.mp4"
    part.write_bytes(video.read_bytes())
    code, _, err = seg("infer", model, part, "--overlay", tmp_path / "o.mp4", "--overwrite")
    assert (code, err.count("\n")) == (2, 1)
    assert "is an input" in err
    assert part.read_bytes() == video.read_bytes()
    assert seg("infer", model, part, "--overlay", tmp_path / "other.mp4")[0] == 0


@pytest.mark.parametrize("called", [1, 20])
def test_ctrl_c_while_frames_are_passed_by_keeps_the_parts(job, tmp_path, called):
    model, video, whole = job
    folder = tmp_path / "out"
    runs.seg(tmp_path, *command(model, video, folder), hook=runs.before_call, given=("infer.sinks", "statistics", 58))
    ended = runs.seg(
        tmp_path,
        *command(model, video, folder, "--resume"),
        hook=runs.before_call,
        given=("infer.sink", "Sink.skip", called, signal.SIGINT),
    )
    assert ended.code == 130
    assert not (folder / "o.mp4").exists()
    again = runs.seg(tmp_path, *command(model, video, folder, "--resume"))
    assert "went on behind 25" in again.stdout
    assert_whole(folder, whole)


@pytest.mark.parametrize("written", [1, 5, 20])
def test_what_is_kept_is_kept_when_the_next_run_is_killed_soon(job, tmp_path, written):
    model, video, _ = job
    arguments = ["infer", model, video, "--overlay", tmp_path / "o.mp4"]
    runs.seg(tmp_path, *arguments, hook=runs.before_call, given=("infer.encode", "OverlayVideo._encode", 58))
    given = ("infer.encode", "OverlayVideo._encode", written)
    runs.seg(tmp_path, *arguments, "--resume", hook=runs.before_call, given=given)
    assert playable(tmp_path / "o.seg-partial.mp4", "rgb24") >= 25
    assert "went on behind 25" in runs.seg(tmp_path, *arguments, "--resume").stdout


def test_times_stay_where_sound_begins_before_the_pictures(job, tmp_path):
    model = job[0]
    video = tmp_path / "loud.mp4"
    write_with_sound(video)
    arguments = ["infer", model, video, "--overlay"]
    assert runs.seg(tmp_path, *arguments, tmp_path / "whole.mkv").code == 0
    for number in (58, 33):
        given = ("infer.encode", "OverlayVideo._encode", number)
        runs.seg(tmp_path, *arguments, tmp_path / "o.mkv", "--resume", hook=runs.before_call, given=given)
    assert runs.seg(tmp_path, *arguments, tmp_path / "o.mkv", "--resume").code == 0
    times, true = (np.array(read_video(tmp_path / name)[0]) for name in ("o.mkv", "whole.mkv"))
    assert np.abs(times - true).max() <= 1  # Matroska's millisecond


def test_what_a_camera_left_is_set_aside(job, tmp_path):
    from infer.resume import Job
    from infer.session import Session
    from infer.sinks import Stats

    sink = Stats(tmp_path / "s.jsonl", Session(job[0]).spec)
    for number in (1, 2):
        sink.partial.write_text(f"run {number}\n")
        with Job([sink], {}, live=True) as live:
            assert [path.name for path in live.aside] == [f"s.seg-partial{number}.jsonl"]
    assert (tmp_path / "s.seg-partial1.jsonl").read_text() == "run 1\n"


def test_with_nothing_to_go_on_with_it_begins(job, tmp_path):
    model, video, whole = job
    assert runs.seg(tmp_path, *command(model, video, tmp_path / "out", "--resume")).code == 0
    assert_whole(tmp_path / "out", whole)


def test_a_folder_of_pictures(job, tmp_path):
    model, _, whole = job
    (tmp_path / "in").mkdir()
    for path in sorted((whole / "masks").iterdir()):
        Image.open(path).convert("RGB").save(tmp_path / "in" / path.name)
    for picture in ("000007", "000030"):  # names that two formats share
        Image.open(tmp_path / "in" / f"{picture}.png").save(tmp_path / "in" / f"{picture}.jpg")
    arguments = ["infer", model, tmp_path / "in", "--masks", tmp_path / "masks"]
    ended = runs.seg(tmp_path, *arguments, hook=runs.before_call, given=("infer.sinks", "MaskFolder._picture", 33))
    assert ended.code == -signal.SIGKILL
    assert runs.seg(tmp_path, *arguments, "--resume").code == 0
    undisturbed = ["infer", model, tmp_path / "in", "--masks", tmp_path / "once"]
    assert runs.seg(tmp_path, *undisturbed).code == 0
    made, true = (sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("masks", "once"))
    assert made == true
    assert len(made) == COUNT + 2


def test_what_does_not_come_again(job, tmp_path, seg):
    model, video, whole = job
    code, _, err = seg("infer", model, video, "--realtime", "--resume", "--overlay", tmp_path / "o.mp4")
    assert code == 2
    assert "do not come again as they were" in err
    code, _, err = seg("infer", model, whole / "masks" / "000000.png", "--resume", "--overlay", tmp_path / "o.png")
    assert code == 2


def test_restore_is_gone_on_with_too(job, tmp_path):
    _, video, _ = job
    model = save_restore(tmp_path / "restore.onnx")
    arguments = ["restore", model, video, "--task", "denoise", "--output"]
    given = ("infer.encode", "OverlayVideo._encode", 58)
    ended = runs.seg(tmp_path, *arguments, tmp_path / "o.mp4", hook=runs.before_call, given=given)
    assert ended.code == -signal.SIGKILL
    before = (tmp_path / "o.seg-partial.mp4").read_bytes()
    again = runs.seg(tmp_path, *arguments, tmp_path / "o.mp4")
    assert again.code == 2
    assert "give --resume to go on with it, or --overwrite to begin anew" in again.stderr
    assert (tmp_path / "o.seg-partial.mp4").read_bytes() == before
    other = runs.seg(tmp_path, *arguments, tmp_path / "o.mp4", "--resume", "--precision", "float32")
    assert "the unfinished run was another one (precision differ" in other.stderr
    again = runs.seg(tmp_path, *arguments, tmp_path / "o.mp4", "--resume")
    assert "went on behind 25 frames" in again.stdout, again.stderr
    assert read_video(tmp_path / "o.mp4")[0] == read_video(video)[0]
    assert not list(tmp_path.glob("*.seg-*"))
