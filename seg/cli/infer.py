"""`seg infer`: an ONNX file and a source become overlays, masks and statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seg.cli.running import run_and_tell, warnings_as_lines
from seg.errors import SegError
from seg.files import spare

if TYPE_CHECKING:
    from infer.live import Live
    from infer.segmenter import Segmentation, Segmenter
    from infer.sinks import Sink
    from infer.stream import Streaming
    from seg.sources.base import Source


Precision = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16 (openvino), float16 (tensorrt) or int8 [the file's: float32 or int8]."),
]
NovelAbove = Annotated[
    float | None, typer.Option(help="Mark frames of more novelty, 0..1 [0.99, where the file answers novelty].")
]
FailNovel = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Exit with 3 if more than this share of frames, 0..1, is novel or frozen."),
]
Realtime = Annotated[
    bool,
    typer.Option("--realtime", help="The newest frame wins, others are dropped; a file is played as by a camera."),
]
DeadlineMs = Annotated[
    float | None, typer.Option(help="With --realtime: count the frames that take longer from capture to output.")
]
Smoothed = Annotated[
    bool,
    typer.Option("--smooth", help="Steady masks: what was seen before, moved along with the picture, counts too."),
]

Resumed = Annotated[
    bool, typer.Option("--resume", help="Go on where a killed run stopped; the same command, and this option.")
]


def infer(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] SOURCE",
            help="An ONNX file or a shipped network's name (default: drive); then a video, an image, a folder or glob "
            "of images, a camera's index, or a stream's URL.",
        ),
    ],
    overlay: Annotated[
        Path | None, typer.Option(help="Painted video (.mp4, .mov, .mkv), or picture (.png, .jpg) for one image.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of index PNGs, one a frame.")] = None,
    mask_video: Annotated[Path | None, typer.Option(help="Class ids as lossless grey video (.mkv).")] = None,
    stats: Annotated[Path | None, typer.Option(help="One JSON line a frame (.jsonl).")] = None,
    provider: Annotated[str, typer.Option(help="cpu, cuda, tensorrt, openvino or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the network.")] = None,
    precision: Precision = None,
    alpha: Annotated[float, typer.Option(min=0, max=1, help="Weight of the paint in the overlay.")] = 0.5,
    fps: Annotated[float | None, typer.Option(help="Frames a second of a folder of images [25].")] = None,
    novel_above: NovelAbove = None,
    fail_novel: FailNovel = None,
    realtime: Realtime = False,
    deadline_ms: DeadlineMs = None,
    smooth: Smoothed = False,
    resume: Resumed = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
) -> None:
    """Segment a video, images, a camera or a stream: `seg infer drive.mp4`, `seg infer my.onnx drive.mp4 --masks out`.

    Without any output named, the overlay is written beside the source, as NAME.overlay.mp4 or .png. Novel frames, and
    those of a frozen camera, have a red border in it.
    """
    from infer.resume import Job
    from infer.segmenter import Segmenter
    from infer.watch import Watch
    from seg.sources.open import open_source

    model, source = model_and_source(words)
    with warnings_as_lines():
        segmenter = Segmenter(model, provider, threads, streams=1 if realtime else None, precision=precision)
    with open_source(source, fps) as frames:
        check_resume(resume, frames, realtime, fail_novel)
        live = live_of(segmenter, frames, realtime, deadline_ms)
        answers: Streaming = smoothed(live or segmenter, segmenter, frames) if smooth else live or segmenter
        one_camera = frames.kind not in ("image", "folder")
        watch = Watch(segmenter, novel_above=novel_above, fail_novel=fail_novel, one_camera=one_camera, model=answers)
        if not (overlay or masks or mask_video or stats):
            overlay = default_overlay(frames)
        named = {"overlay": overlay, "masks": masks, "mask_video": mask_video, "stats": stats}
        protect_inputs(frames, model, [path for path in named.values() if path])
        sinks = make_sinks(segmenter, frames, named, alpha, overwrite)
        told = [*([live.told] if live else []), watch.told]
        protect_inputs(frames, model, [path for sink in sinks for path in (sink.path, sink.partial)])
        looks = {"precision": str(precision), "alpha": alpha, "smooth": smooth, "novel_above": str(novel_above)}
        once = realtime or frames.kind in ("camera", "stream")
        with Job(sinks, identity(frames, model, looks), resume=resume, overwrite=overwrite, live=once) as job:
            told_aside(job.aside)
            run_and_tell(watch, f"{segmenter.spec.name}; {segmenter.choice}", frames, sinks, told, job.begin)
        watch.check()


def told_aside(parts: list[Path]) -> None:
    """A line for each part of an older run that was renamed."""
    for part in parts:
        typer.echo(f"seg: warning: what a run before left is {part} now", err=True)


def identity(source: Source, model: Path, options: Mapping[str, object]) -> dict[str, object]:
    """What the outputs of a run depend on, so that another does not go on with it."""
    from seg.files import sha256

    files = sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.inputs())
    listed = hashlib.sha256(repr(files).encode()).hexdigest()
    return {"source": source.name, "files": listed, "fps": str(source.fps), "model": sha256(model), **options}


def check_resume(resume: bool, source: Source, realtime: bool, fail_novel: float | None) -> None:
    """SegError where a run cannot be gone on with: its frames do not come again, or all of them have to be judged."""
    if resume and (realtime or source.kind not in ("video", "folder")):
        raise SegError(f"--resume: the frames of {source.name} do not come again as they were; leave it out")
    if resume and fail_novel is not None:
        raise SegError("--resume: --fail-novel judges all frames of a run; leave one of them out")


def live_of(
    segmenter: Segmenter, source: Source, realtime: bool, deadline_ms: float | None
) -> Live[Segmentation] | None:
    """The segmenter in real time, if that is asked for.

    Raises:
        SegError: where the source has no time, or a deadline is given without real time.
    """
    from infer.live import Live

    if not realtime:
        if deadline_ms is not None:
            raise SegError("--deadline-ms: only --realtime has one")
        return None
    if source.kind in ("image", "folder"):
        raise SegError(f"--realtime: {source.name} has no time; it is for videos, cameras and streams")
    return Live(segmenter, deadline_ms, pace=source.kind == "video")


def smoothed(model: Streaming, segmenter: Segmenter, source: Source) -> Streaming:
    """The model, made steady; SegError for a single picture. A folder's pictures are taken to follow each other."""
    from infer.smooth import Smooth

    if source.kind == "image":
        raise SegError(f"--smooth: {source.name} is one picture; it is for frames that follow each other")
    return Smooth(model, segmenter.spec)


def model_and_source(words: list[str]) -> tuple[Path, str]:
    """The model's path and the source, from what stands before the options' values: `[MODEL] SOURCE`.

    Raises:
        SegError: for another number of words, a model that is not there, or a model without a source.
    """
    from seg.shipped import resolve_model, shipped_names
    from seg.sources.base import without_secrets
    from seg.sources.open import local_path

    shown = [without_secrets(word) for word in words]
    if len(words) > 2:
        raise SegError(
            f"expected [MODEL] SOURCE, got {len(words)} words ({' '.join(shown[:3])}...); "
            'quote a pattern of files: "frames/*.jpg"'
        )
    source = words[-1]
    is_address = local_path(words[0]) is None or shown[0] != words[0]
    if len(words) == 2 and is_address and not Path(words[0]).exists():
        raise SegError(f"{shown[0]}: expected the model here, got a URL; the source comes after it")
    if len(words) == 1 and not Path(source).is_dir() and (source.endswith(".onnx") or source in shipped_names()):
        raise SegError(f"{shown[0]} is a model; name what to run it on after it: seg infer {shown[0]} drive.mp4")
    return resolve_model(words[0] if len(words) == 2 else None), source


def make_sinks(
    segmenter: Segmenter, source: Source, named: dict[str, Path | None], alpha: float, overwrite: bool
) -> list[Sink]:
    """The sinks that were named, statistics last; each checks that its path may be written.

    Raises:
        SegError: where a path exists already, cannot be written or has a suffix that does not fit.
    """
    from infer.encode import MaskVideo, OverlayVideo
    from infer.sinks import PICTURE_SUFFIXES, MaskFolder, OverlayImage, Painter, Stats

    sinks: list[Sink] = []
    spec, images = segmenter.spec, source.kind in ("image", "folder")
    if path := named["overlay"]:
        painter = Painter(spec, alpha)
        if source.kind == "image" and path.suffix.lower() in PICTURE_SUFFIXES:
            sinks.append(OverlayImage(path, painter, overwrite=overwrite))
        else:
            sinks.append(OverlayVideo(path, painter, source.fps, sound=sound_of(source), overwrite=overwrite))
    if path := named["masks"]:
        sinks.append(MaskFolder(path, spec, by_source=images, overwrite=overwrite))
    if path := named["mask_video"]:
        sinks.append(MaskVideo(path, source.fps, overwrite=overwrite))
    if path := named["stats"]:
        sinks.append(Stats(path, spec, overwrite=overwrite))
    return sinks


def sound_of(source: Source) -> Path | None:
    """The file whose sound goes with the source's frames: a video file's own, read a second time."""
    return source.path if source.kind == "video" and source.path is not None and source.path.is_file() else None


def default_overlay(source: Source) -> Path:
    """Beside the source: NAME.overlay.png for an image, NAME.overlay.mp4 for all else; cameras write where we are."""
    suffix = ".overlay.png" if source.kind == "image" else ".overlay.mp4"
    if source.path is None:
        return Path(source.kind + suffix)
    path = source.path.resolve() if source.path.name in ("", "..") else source.path  # "." has no name of its own
    if not path.name:  # the root of all folders
        return Path(source.kind + suffix)
    name = path.name if source.kind == "folder" else path.stem
    return path.with_name(name + suffix)


def protect_inputs(source: Source, model: Path, outputs: list[Path]) -> None:
    """SegError where an output would replace the model, a file of the source, or another output."""
    inputs = [path.resolve() for path in [model, *source.inputs()]]
    seen: set[Path] = set()
    for output in outputs:
        spare(output, inputs)
        resolved = output.resolve()
        if resolved in seen:
            raise SegError(f"{output}: named for two outputs; choose another name for one of them")
        seen.add(resolved)
