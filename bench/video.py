"""Frames a second of `seg infer` on a video, beside the loop everyone writes and `supervision.process_video`.

    python -m bench.video highway.mp4 --supervision ~/peer/bin/python

All run the same ONNX file on all cores and write a painted video; each is a process of its own, in turns, several rounds
long, on the clip as it is and enlarged to 1280x720 and 1920x1080. Their programs are in `bench/video_peers.py`;
`--supervision` names a Python that has supervision and onnxruntime, because supervision brings another OpenCV; `--int8` a
file of the same network that `seg export --int8` made.

Then the limit: the processor time that each stage takes alone, on one thread, together over what `seg infer` has (cores
times seconds); the time from starting the command to the mask of one picture; and, with `--parts memory`, the peak of memory
over 20,000 frames against 500.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2

from bench.video_stages import draw, stages
from infer.encode import OverlayVideo
from infer.segmenter import Segmenter
from seg.data.images import write_png
from seg.errors import SegError
from seg.files import claim, write_text
from seg.runtime import cores
from seg.shipped import resolve_model
from seg.sources.open import open_source

PEERS = Path(__file__).with_name("video_peers.py")
SIZES = ((720, 1280), (1080, 1920))
"""Height and width that the clip is enlarged to."""

LOOP = "the loop"
SUPERVISION = "supervision"
OURS = {
    "seg infer": [],
    "seg infer, OpenVINO": ["--provider", "openvino"],
    "seg infer, OpenVINO bfloat16": ["--provider", "openvino", "--precision", "bfloat16"],
}
INT8 = "seg infer, OpenVINO int8"
TARGETS = {
    ("seg infer", LOOP): 1.6,
    ("seg infer", SUPERVISION): 1.6,
    ("seg infer, OpenVINO bfloat16", LOOP): 2.5,
    (INT8, LOOP): 2.5,
}
PARTS = ("race", "limit", "first", "memory")
SHORT, LONG = 500, 20_000


def enlarged(clip: Path, size: tuple[int, int], folder: Path) -> Path:
    """The clip at another size (height, width), H.264."""
    path = folder / f"{size[1]}x{size[0]}.mp4"
    with open_source(clip) as source, OverlayVideo(path, lambda frame, _: frame.rgb_HWC, source.fps) as sink:
        for frame in source:
            larger = cv2.resize(frame.rgb_HWC, size[::-1], interpolation=cv2.INTER_CUBIC)
            sink.write(type(frame)(larger, frame.index, frame.time_ns, frame.source), None)
    return path


def contenders(model: Path, peer: Path | None, int8: Path | None = None) -> dict[str, list[str]]:
    """By name, the words of a command that wants a clip and an output after them."""
    found = {LOOP: [sys.executable, str(PEERS), "naive", str(model)]}
    if peer is not None:
        found[SUPERVISION] = [str(peer), str(PEERS), "supervision", str(model)]
    for name, options in OURS.items():
        words = dict(zip(options[::2], options[1::2], strict=True))
        try:
            Segmenter(model, words.get("--provider", "cpu"), precision=words.get("--precision"))
        except SegError as error:
            print(f"{name}: left out ({error})")
        else:
            found[name] = [sys.executable, "-m", "seg.cli", "infer", *options, str(model)]
    if int8 is not None:
        found[INT8] = [sys.executable, "-m", "seg.cli", "infer", "--provider", "openvino", str(int8)]
    return found


def frames_per_second(command: Sequence[str], clip: Path, out: Path) -> float:
    """Of one run, by its own account of frames and seconds, which both leave out starting and loading.

    Raises:
        SegError: where it fails.
    """
    ours = "seg.cli" in command
    words = [*command, str(clip), *(["--overlay"] if ours else []), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SegError(f"{' '.join(words)}: failed ({done.stderr.strip().splitlines()[-1:]})")
    out.unlink()
    if not ours:
        answer = json.loads(done.stdout.splitlines()[-1])
        return float(answer["frames"] / answer["seconds"])
    match = re.search(r"frames in [\d.]+ s, ([\d.]+) frames/s", done.stdout)
    assert match, done.stdout
    return float(match[1])


def race(commands: dict[str, list[str]], clip: Path, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Frames a second of each, one a round, in turns."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(frames_per_second(command, clip, folder / "out.mp4"))
    return found


def backends(model: Path, int8: Path | None) -> dict[str, Segmenter]:
    """What can run here, each on one thread; the first is ONNX Runtime in float32."""
    wanted = {
        "float32": (model, "cpu", None),
        "OpenVINO": (model, "openvino", None),
        "OpenVINO bfloat16": (model, "openvino", "bfloat16"),
        "OpenVINO int8": (int8, "openvino", None),
    }
    found = {}
    for name, (file, provider, precision) in wanted.items():
        if file is not None:
            with suppress(SegError):  # what does not load was told by the race
                found[name] = Segmenter(file, provider, threads=1, precision=precision)
    return found


def first_mask(model: Path, clip: Path, folder: Path, rounds: int) -> float:
    """Seconds from starting the command to its end, for one picture of 480x360; the median."""
    with open_source(clip) as source:
        write_png(folder / "one.png", cv2.resize(next(iter(source)).rgb_HWC, (480, 360)))
    words = [sys.executable, "-m", "seg.cli", "infer", str(model), str(folder / "one.png"), "--masks"]
    took = []
    for number in range(rounds):
        start = time.perf_counter()
        subprocess.run([*words, str(folder / f"masks{number}")], check=True, capture_output=True)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def peak_memory(model: Path, clip: Path, folder: Path, frames: int) -> float:
    """MB that `seg infer` holds at most over so many frames: the clip again and again."""
    looped = folder / f"{frames}.mkv"
    with open_source(clip) as source:
        packets = source.count or 1
    with av.open(str(clip)) as given, av.open(str(looped), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        step = round(1 / (given.streams.video[0].average_rate or Fraction(25)) / given.streams.video[0].time_base)
        for turn in range(-(-frames // packets)):
            given.seek(0)
            for packet in given.demux(video=0):
                if packet.dts is None:
                    continue
                packet.pts += turn * packets * step
                packet.dts += turn * packets * step
                packet.stream = stream
                made.mux(packet)
    words = [sys.executable, "-m", "seg.cli", "infer", str(model), str(looped), "--overlay", str(folder / "m.mp4")]
    child = subprocess.Popen([*words, "--overwrite"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SegError(f"{' '.join(words)}: failed")
    return usage.ru_maxrss / 1000


def table(clips: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: frames a second, median of the rounds; in brackets the median of the ratios to the loop."""
    lines = ["| program | " + " | ".join(clips) + " |", "|---" * (1 + len(clips)) + "|"]
    for name in next(iter(clips.values())):
        cells = [f"{statistics.median(found[name]):.1f} ({ratio(found, name, LOOP):.2f})" for found in clips.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for (ours, peer), wanted in TARGETS.items():
        reached = {clip: ratio(found, ours, peer) for clip, found in clips.items() if {ours, peer} <= found.keys()}
        said = ", ".join(f"{value:.2f} at {clip}" for clip, value in reached.items()) or "not measured"
        lines.append(f"\n{ours} against {peer}: {said} (target: {wanted} at least)")
    return "\n".join(lines)


def ratio(found: dict[str, list[float]], name: str, peer: str) -> float:
    """The median over the rounds of one's frames a second over another's."""
    return statistics.median(ours / theirs for ours, theirs in zip(found[name], found[peer], strict=True))


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="a video")
    parser.add_argument("--model", type=Path, help="an ONNX file of profile `frame` and fixed size (default: drive)")
    parser.add_argument("--supervision", type=Path, metavar="PYTHON", help="one that has supervision and onnxruntime")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip-only", action="store_true", help="leave the enlarged clips out")
    parser.add_argument("--int8", type=Path, metavar="FILE", help="the network in integers")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS[:3], help=f"memory takes long: {LONG} frames"
    )
    parser.add_argument("--plot", type=Path, help="write where the time goes, a PNG")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    try:
        for output in (args.json, args.plot):
            if output is not None:
                claim(output, overwrite=args.overwrite)
        figures = measure(args)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    if args.json is not None:
        write_text(args.json, json.dumps(figures, indent=1) + "\n")


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Everything, printed as it is found."""
    model = resolve_model(args.model)
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "race" in args.parts:
            clips = {"as it is": args.clip}
            if not args.clip_only:
                clips |= {f"{size[1]}x{size[0]}": enlarged(args.clip, size, folder) for size in SIZES}
            commands = contenders(model, args.supervision, args.int8)
            raced = {label: race(commands, clip, args.rounds, folder) for label, clip in clips.items()}
            print(table(raced))
            figures["frames_per_second"] = raced
        if "limit" in args.parts:
            found = stages(backends(model, args.int8), args.clip, folder)
            for name, parts in found.items():
                said = ", ".join(f"{stage} {ms:.1f}" for stage, ms in parts.items())
                print(f"\n{name}: ms of processor time a frame: {said}")
            alone = found["float32"]
            ours = race({"seg infer": contenders(model, None)["seg infer"]}, args.clip, args.rounds, folder)[
                "seg infer"
            ]
            reached = statistics.median(ours) * sum(alone.values()) / 1000 / cores()
            print(f"of what {cores()} cores can do: {reached:.2f} (target: 0.90 at least)")
            figures |= {"stages_ms": found, "limit": reached}
            if args.plot is not None:
                write_png(args.plot, draw(found))
        if "first" in args.parts:
            figures["first_s"] = first_mask(model, args.clip, folder, args.rounds)
            print(f"first mask after {figures['first_s']:.2f} s (target: 1.0 at most)")
        if "memory" in args.parts:
            short, long = (peak_memory(model, args.clip, folder, frames) for frames in (SHORT, LONG))
            print(f"peak memory {long:.0f} MB over {LONG} frames, {short:.0f} over {SHORT}: {long / short - 1:+.1%}")
            figures["peak_mb"] = {SHORT: short, LONG: long}
    return figures


if __name__ == "__main__":
    main()
