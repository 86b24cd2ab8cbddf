"""`seg inspect`: a picture of what a run's encoder looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seg.cli.datasets import Cache, claim_beside, frames_of, pictures_in

CHANNELS = 24


def inspect(
    run: Annotated[
        Path, typer.Argument(help="A run directory of `seg pretrain` or `seg train`, or a checkpoint folder.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The PNG file to make (default RUN/inspect.png).")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help=f"How many code channels to show, the most active (default {CHANNELS}).")
    ] = None,
    patches: Annotated[
        int, typer.Option(min=1, max=12, help="How many patches to show of each channel, each of another frame.")
    ] = 6,
    frames: Annotated[int, typer.Option(min=1, help="How many frames to look at, evenly spread.")] = 50,
    images: Annotated[
        Path | None, typer.Option(help="A folder of pictures to look at (default: the run's validation frames).")
    ] = None,
    cache: Cache = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Draw what an encoder looks for: its first filters, what excites its code's channels, what each decodes to."""
    from rich.console import Console
    from rich.progress import track

    from seg.data.images import write_png
    from seg.draw import Picture
    from seg.errors import SegError
    from seg.geometry import fit_frame
    from seg.model import inspection
    from seg.model.checkpoint import load_trained
    from seg.model.inspection_page import describe, draw_page

    network, meta = load_trained(run)
    path = output or run / "inspect.png"
    if path.suffix.lower() != ".png":
        raise SegError(f"--output {path}: expected a name that ends with .png")
    width = network.projection.out_channels
    if channels is not None and channels > width:
        raise SegError(f"--channels {channels}: the code of {run} has {width} channels; give at most {width}")
    data = frames_of(run, meta, "val", cache) if images is None else pictures_in(images, meta)
    claim_beside(path, data, overwrite=overwrite)
    indices = data.spread(frames)

    def read(number: int) -> Picture:
        return fit_frame(data.frame(indices[number]), meta.size)

    filters = inspection.first_filters(network)
    progress = Console(stderr=True)  # what is printed is the figures alone
    numbers = track(range(len(indices)), description="looking at frames", console=progress, transient=True)
    activity = inspection.observe(network, map(read, numbers), patches)
    shown = activity.most_active(min(channels or CHANNELS, width))
    cut = inspection.cut_patches(activity, shown, read)
    reconstructs = network.reconstruction is not None
    decoded = {channel: inspection.decode_channel(network, activity, channel) for channel in shown if reconstructs}
    title = f"{meta.run}, step {meta.steps}, {meta.size[0]}x{meta.size[1]}".encode("ascii", "replace").decode()
    write_png(path, draw_page(title, filters, activity, cut, decoded))
    typer.echo(f"{path}: of the first filters' orientations, {describe(filters)}")
    if not reconstructs:
        typer.echo("what channels decode to is left out: the network has no reconstruction decoder")
