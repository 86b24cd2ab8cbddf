"""`seg restore`: frames through an autoencoder that was trained to undo what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from seg.cli.infer import (
    Precision,
    Resumed,
    check_resume,
    default_overlay,
    identity,
    protect_inputs,
    sound_of,
    told_aside,
)
from seg.cli.running import run_and_tell, warnings_as_lines

if TYPE_CHECKING:
    from infer.restorer import Task
    from infer.sink import Sink
    from seg.sources.base import Source


def restore(
    model: Annotated[Path, typer.Argument(help="An ONNX file that `seg export` made of a run of `seg pretrain`.")],
    source: Annotated[
        str, typer.Argument(help="A video, an image, a folder or glob of images, a camera's index, or a stream's URL.")
    ],
    task: Annotated[str, typer.Option(help="denoise, inpaint, watermark or colourise.")],
    mask: Annotated[
        Path | None,
        typer.Option(help="For inpaint: a picture of the frames' size, not black where pixels are missing."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="A video (.mp4, .mov, .mkv), a picture (.png, .jpg) for one image, or a folder of PNGs."),
    ] = None,
    provider: Annotated[str, typer.Option(help="cpu, cuda, tensorrt, openvino or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the network.")] = None,
    precision: Precision = None,
    resume: Resumed = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    fps: Annotated[float | None, typer.Option(help="Frames a second where a folder becomes a video [25].")] = None,
) -> None:
    """Restore a video or images: `seg restore restore.onnx noisy.mp4 --task denoise`.

    Without --output it stands beside the source: NAME.restored.png for an image, a folder NAME.restored of PNGs for a
    folder or glob, NAME.restored.mp4 for all else.
    """
    from infer.restorer import RestoreJob, Restorer, read_mask
    from infer.resume import Job
    from seg.files import sha256
    from seg.shipped import resolve_model
    from seg.sources.open import open_source

    with warnings_as_lines():
        restorer = Restorer(model, provider, threads, streams=None, precision=precision)
    restoring = RestoreJob(restorer, cast("Task", task), None if mask is None else read_mask(mask))
    with open_source(source, fps) as frames:
        check_resume(resume, frames, realtime=False, fail_novel=None)
        output = output or default_output(frames)
        for path in (model, mask):
            if path is not None:
                protect_inputs(frames, path, [output])
        sink = make_sink(output, frames, overwrite)
        protect_inputs(frames, model, [sink.partial])
        options = {"task": task, "mask": None if mask is None else sha256(mask), "precision": str(precision)}
        key, once = identity(frames, resolve_model(model), options), frames.kind in ("camera", "stream")
        with Job([sink], key, resume=resume, overwrite=overwrite, live=once) as job:
            told_aside(job.aside)
            name = f"{restorer.spec.name}, {task}; {restorer.choice}"
            run_and_tell(restoring, name, frames, [sink], begin=job.begin)


def default_output(source: Source) -> Path:
    """Beside the source, where the overlay of `seg infer` would stand, with `restored` in its name."""
    named = default_overlay(source).with_suffix("").with_suffix(".restored")
    return named.with_name(named.name + {"image": ".png", "folder": ""}.get(source.kind, ".mp4"))


def make_sink(path: Path, source: Source, overwrite: bool) -> Sink:
    """The sink that `path` names for this source: a video, a picture, or a folder of PNGs.

    Raises:
        SegError: where it exists already, cannot be written or has a suffix that does not fit.
    """
    from infer.encode import VIDEO_SUFFIXES, OverlayVideo
    from infer.sink import check_suffix
    from infer.sinks import PICTURE_SUFFIXES, OverlayImage, RestoredFolder, restored_picture

    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return OverlayVideo(path, restored_picture, source.fps, sound=sound_of(source), overwrite=overwrite)
    if source.kind == "image":
        return OverlayImage(path, restored_picture, overwrite=overwrite)
    if suffix and (source.kind != "folder" or suffix in PICTURE_SUFFIXES):
        check_suffix(path, VIDEO_SUFFIXES)  # neither a video's name nor a folder's
    return RestoredFolder(path, by_source=source.kind == "folder", overwrite=overwrite)
