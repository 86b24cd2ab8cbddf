"""`seg compress` and `seg decompress`: a frame as its quantised, entropy-coded code, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seg.cli.datasets import Cache, frames_of, pictures_in
from seg.errors import SegError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

FRAMES = 64
"""How many training frames the axes of a run's codes are measured on."""


def compress(
    run: Annotated[
        Path,
        typer.Argument(help="A run or checkpoint of `seg pretrain`, or of `seg train` with a reconstruction decoder."),
    ],
    image: Annotated[Path, typer.Argument(help="The frame, a picture file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to make, such as frame.code.")],
    step: Annotated[
        float, typer.Option(help="How coarsely the code is rounded: larger is fewer bytes and less quality.")
    ] = 8.0,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures to measure the run's codes on (default: its training frames)."),
    ] = None,
    cache: Cache = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Compress a picture to the code of an autoencoder: `seg compress runs/pretrained frame.png -o frame.code`.

    The first call for a run measures how its codes are distributed, and leaves that beside its weights, in
    coding.safetensors. Who decompresses needs both.
    """
    from seg.files import atomic
    from seg.model.coding import check_step, is_prepared, load_coder
    from seg.sources.upright import read_upright
    from train.likeness import psnr

    check_step(step)
    _claim(output, image, overwrite)
    rgb_HWC, _ = read_upright(image)
    if not is_prepared(run):
        _prepare(run, images, cache)
    elif images is not None:
        raise SegError(f"--images {images}: the codes of {run} are measured already; leave it out")
    coder = load_coder(run)
    data = coder.encode(rgb_HWC, step)
    made_HWC = coder.decode(data).frame_HWC
    with atomic(output) as temporary:
        temporary.write_bytes(data)
    decibels = float(psnr(_tensor(made_HWC), _tensor(rgb_HWC)))
    bits = 8 * len(data) / (rgb_HWC.shape[0] * rgb_HWC.shape[1])
    typer.echo(f"{output}: {len(data):,} bytes, {bits:.3f} bits a pixel; decompressed, its PSNR is {decibels:.2f} dB")


def decompress(
    run: Annotated[Path, typer.Argument(help="The run or checkpoint that the frame was compressed with.")],
    code: Annotated[Path, typer.Argument(help="A file that `seg compress` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to make of the frame.")],
    classes: Annotated[
        Path | None,
        typer.Option(help="For a run of `seg train`: a PNG of class ids with the classes' colours to make besides."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Make the frame of a file of `seg compress` again: `seg decompress runs/pretrained frame.code -o frame.png`."""
    from seg.data.images import write_png
    from seg.model.checkpoint import CheckpointMeta, find_checkpoint, load_meta
    from seg.model.coding import load_coder

    meta = load_meta(find_checkpoint(run))
    if classes is not None and not isinstance(meta, CheckpointMeta):
        raise SegError(f"--classes {classes}: {run} was made by `seg pretrain` and knows no classes; leave it out")
    if classes is not None and classes.resolve() == output.resolve():
        raise SegError(f"{classes}: named for two outputs; choose another name for one of them")
    for path in (output, classes):
        if path is not None:
            _claim(path, code, overwrite, ".png")
    if not code.is_file():
        raise SegError(f"{code}: no such file; expected one that `seg compress` made")
    coder = load_coder(run)
    received = coder.decode(code.read_bytes(), code)
    write_png(output, received.frame_HWC)
    height, width, _ = received.frame_HWC.shape
    typer.echo(f"{output}: {width}x{height}")
    if classes is not None:
        _write_classes(classes, coder.classes(received), meta.ontology.palette_C3)
        typer.echo(f"{classes}: the classes of {meta.ontology.name}")


def _claim(output: Path, given: Path, overwrite: bool, suffix: str = "") -> None:
    from seg.files import claim

    if suffix and output.suffix.lower() != suffix:
        raise SegError(f"{output}: expected a name that ends with {suffix}")
    if output.resolve() == given.resolve():
        raise SegError(f"{output}: is an input and is never replaced; choose another name")
    claim(output, overwrite=overwrite)


def _prepare(run: Path, images: Path | None, cache: Path | None) -> None:
    from rich.console import Console
    from rich.progress import track

    from seg.model.checkpoint import find_checkpoint, load_meta
    from seg.model.coding import prepare

    meta = load_meta(find_checkpoint(run))
    data = frames_of(run, meta, "train", cache) if images is None else pictures_in(images, meta)
    indices = data.spread(FRAMES)
    progress = Console(stderr=True)
    frames = (
        data.frame(index) for index in track(indices, "measuring the run's codes", console=progress, transient=True)
    )
    path = prepare(run, frames)
    typer.echo(f"{path}: how the codes of {len(indices)} frames are distributed; who decompresses needs it too")


def _tensor(rgb_HWC: npt.NDArray[np.uint8]) -> Tensor:
    import torch

    return torch.tensor(rgb_HWC).permute(2, 0, 1)[None]


def _write_classes(path: Path, classes_HW: npt.NDArray[np.uint8], palette_C3: npt.NDArray[np.uint8]) -> None:
    """An index PNG, as `seg infer --masks` writes them."""
    from PIL import Image

    from seg.files import atomic

    picture = Image.fromarray(classes_HW)
    picture.putpalette(palette_C3.tobytes())
    with atomic(path) as temporary:
        picture.save(temporary, format="PNG")
