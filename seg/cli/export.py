"""`seg export`: a trained run becomes an ONNX file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from seg.cli.datasets import Cache, frames_of
from seg.cli.sizes import parse_size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from export import ExportOptions
    from export.parity import Parity
    from export.storage import Storage
    from seg.model.checkpoint import CheckpointMeta
    from seg.spec import ModelSpec, Profile

FRAMES = 8
CALIBRATION = 64
"""Frames whose values set the scales of integers."""

Int8 = Annotated[
    bool, typer.Option("--int8", help="Eight-bit integers, if the validation's labels allow it: see --calibration.")
]
Calibration = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE", help="With --int8: a video, folder or glob whose values set the scales [training frames]."
    ),
]
Symmetric = Annotated[
    bool, typer.Option("--symmetric", help="With --int8: no zero points, as TensorRT wants; slower on processors.")
]

Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help="Profiles logits and argmax: what the program that feeds the file subtracts from 0..1 [0,0,0].",
    ),
]
Std = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="Likewise: what it divides by after that, for each colour [1,1,1].")
]
Bgr = Annotated[bool, typer.Option("--bgr", help="Likewise: its planes are blue, green, red.")]


def export(
    run: Annotated[Path, typer.Argument(help="A run directory or checkpoint folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to make.")],
    profile: Annotated[
        str | None,
        typer.Option(
            help="frame (uint8 in and out; the default), logits (float, Autoware) or argmax (float in, Isaac ROS); "
            "restore (frames in and out) is the one of a run of `seg pretrain`."
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="The network's size (default: its validation's).")
    ] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Take frames of any size.")] = False,
    weights: Annotated[
        str, typer.Option(help="How the file stores them: float32, or float16 at half the size and the same speed.")
    ] = "float32",
    no_novelty: Annotated[
        bool, typer.Option("--no-novelty", help="Leave a calibrated run's novelty out of the file; code and hash stay.")
    ] = False,
    mean: Mean = None,
    std: Std = None,
    bgr: Bgr = False,
    frames: Annotated[
        Path | None, typer.Option(help="A folder of pictures to compare answers on (default: validation frames).")
    ] = None,
    cache: Cache = None,
    int8: Int8 = False,
    calibration: Calibration = None,
    symmetric: Symmetric = False,
    name: Annotated[str | None, typer.Option(help="The model's name in its contract (default: the run's).")] = None,
    licence: Annotated[str | None, typer.Option(help="The licence of the weights, for the contract.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Export a run's best network to one ONNX file that needs nothing else, checked on real frames."""
    from export import ExportOptions, Feed, export_run
    from seg.errors import SegError
    from seg.files import claim

    claim(output, overwrite=overwrite)
    _check(output, profile, weights)
    if not int8 and (calibration or symmetric):
        raise SegError("--calibration and --symmetric say how to make integers; give --int8 too")
    options = ExportOptions(
        cast("Profile | None", profile),
        parse_size(size),
        dynamic,
        cast("Storage", weights),
        name,
        licence,
        not no_novelty,
        Feed(_colours("--mean", mean, 0.0), _colours("--std", std, 1.0), bgr),
    )
    pictures = _folder_frames(frames) if frames is not None else _validation_frames(run, cache)
    if int8:
        _export_int8(run, output, pictures, calibration, options, symmetric, overwrite)
        return
    spec, parity = export_run(run, output, pictures, options, overwrite=overwrite)
    typer.echo(_told(output, spec, parity))


def _check(output: Path, profile: str | None, weights: str) -> None:
    """SegError for a file name, a profile or a storage that there is not."""
    from seg.errors import SegError

    if output.suffix != ".onnx":
        raise SegError(
            f"--output: expected a name that ends with .onnx, by which other commands know a model, got {output}"
        )
    if profile not in (None, "frame", "logits", "argmax", "restore"):
        raise SegError(
            f"--profile: expected frame, logits or argmax, got {profile!r}; a run of `seg pretrain` needs none (restore)"
        )
    if weights not in ("float32", "float16"):
        raise SegError(f"--weights: expected float32 or float16, got {weights!r}")


def _colours(option: str, text: str | None, default: float) -> tuple[float, float, float]:
    """Three numbers between commas, for red, green and blue."""
    from seg.errors import SegError

    try:
        red, green, blue = map(float, text.split(",")) if text is not None else (default,) * 3
    except ValueError:
        red = green = blue = math.nan
    if not all(map(math.isfinite, (red, green, blue))) or (option == "--std" and min(red, green, blue) <= 0):
        least = " above 0" if option == "--std" else ""
        raise SegError(f"{option}: expected three numbers{least}, such as 0.5,0.5,0.5, got {text!r}")
    return red, green, blue


def _export_int8(
    run: Path,
    output: Path,
    pictures: list[npt.NDArray[np.uint8]],
    calibration: str | None,
    options: ExportOptions,
    symmetric: bool,
    overwrite: bool,
) -> None:
    """The run's validation frames judge; its training frames calibrate, unless a source is named."""
    from export import export_int8
    from seg.data.open import open_data
    from seg.errors import SegError
    from seg.model.checkpoint import PretrainMeta, find_checkpoint, load_meta

    meta = load_meta(find_checkpoint(run))
    if isinstance(meta, PretrainMeta):
        raise SegError(f"--int8: labels are its judge; {run} was made by `seg pretrain` and knows no classes")
    judges = open_data(meta.config.data.val, meta.ontology)
    seen = _training_frames(meta) if calibration is None else _source_frames(calibration)
    spec, _, judgement = export_int8(
        run, output, pictures, seen, judges, options, symmetric=symmetric, overwrite=overwrite
    )
    worst, lost = max(judgement.units.items(), key=lambda item: item[1])
    kept = f"; float32 still: {', '.join(judgement.kept)}" if judgement.kept else ""
    typer.echo(
        f"{output}: {spec.size.kind} {spec.size.height}x{spec.size.width}, {output.stat().st_size / 1e6:.1f} MB, int8; "
        f"calibrated on {len(seen)} frames; on {len(judges)} labelled ones mean IoU {_points(judgement.exact.mean_iou)} -> "
        f"{_points(judgement.rounded.mean_iou)}, most lost by {worst}: {100 * lost:.2f} points{kept}"
    )


def _points(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.2f}"


def _told(output: Path, spec: ModelSpec, parity: Parity) -> str:
    """What was made, and how far its answers are from the network's."""
    from export.parity import value_name

    if spec.profile == "restore":
        how = f"by up to {parity.value:.0f} grey level{'' if parity.value == 1 else 's'}; undoes "
        how += ", ".join(spec.corruptions) or "no corruption: it was trained for none"
    else:
        value = "" if parity.value is None else f", {value_name(spec)} by up to {parity.value:.2g}"
        value += "" if parity.novelty is None else f", novelty by up to {parity.novelty:.2g}"
        how = f"({parity.differing_without_tie:.4%} other than ties){value}"
    return (
        f"{output}: {spec.size.kind} {spec.size.height}x{spec.size.width}, {output.stat().st_size / 1e6:.1f} MB; on "
        f"{parity.frames} real frames {parity.differing:.4%} of pixels differ from the network {how}"
    )


def _folder_frames(folder: Path) -> list[npt.NDArray[np.uint8]]:
    from seg.data.images import read_rgb
    from seg.errors import SegError

    suffixes = {".png", ".jpg", ".jpeg"}
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise SegError(f"--frames {folder}: no PNG or JPEG files there")
    return [read_rgb(path) for path in paths[:: max(1, len(paths) // FRAMES)][:FRAMES]]


def _training_frames(meta: CheckpointMeta) -> list[npt.NDArray[np.uint8]]:
    from seg.data.open import open_data

    data = open_data(meta.config.data.train, meta.ontology, cache=meta.config.data.cache)
    return [data.frame(index) for index in data.spread(CALIBRATION)]


def _source_frames(text: str) -> list[npt.NDArray[np.uint8]]:
    """Frames spread over a source whose length nobody knows: whenever there are too many, every second is kept."""
    from seg.errors import SegError
    from seg.sources.open import open_source

    kept: list[npt.NDArray[np.uint8]] = []
    step = 1
    with open_source(text) as source:
        if source.kind in ("camera", "stream"):
            raise SegError(f"--calibration {source.name}: does not end; record some of it, and give the file")
        for frame in source:
            if frame.index % step:
                continue
            kept.append(frame.rgb_HWC)
            if len(kept) == 2 * CALIBRATION:
                kept, step = kept[::2], 2 * step
        if source.problem is not None:
            raise SegError(f"--calibration {source.problem}")
    return kept


def _validation_frames(run: Path, cache: Path | None) -> list[npt.NDArray[np.uint8]]:
    from seg.model.checkpoint import find_checkpoint, load_meta

    data = frames_of(run, load_meta(find_checkpoint(run)), "val", cache, option="--frames")
    return [data.frame(index) for index in data.spread(FRAMES)]
