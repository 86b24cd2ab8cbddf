"""`seg embed`: frames become a table of codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seg.cli.infer import Precision, protect_inputs
from seg.cli.running import run_and_tell, warnings_as_lines
from seg.errors import SegError


def embed(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] SOURCE...",
            help="An ONNX file or a shipped network's name (default: drive); then videos, images, folders or globs of "
            "images.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table to write (.parquet).")],
    every: Annotated[int, typer.Option(min=1, help="Take each N-th frame of a source.")] = 1,
    provider: Annotated[str, typer.Option(help="cpu, cuda, tensorrt, openvino or auto.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the network.")] = None,
    precision: Precision = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table that exists.")] = False,
) -> None:
    """Write a table of codes: `seg embed my.onnx monday.mp4 tuesday.mp4 --out drives.parquet`.

    One row a frame: source, index, time, code, semantic hash, novelty, share of each class.
    """
    from infer.segmenter import Segmenter
    from infer.sources import Several
    from infer.table import ModelIdentity, Table, check_answers_codes
    from seg.files import sha256

    model, texts = model_and_sources(words)
    with warnings_as_lines():
        segmenter = Segmenter(model, provider, threads, streams=None, precision=precision)
    check_answers_codes(segmenter.spec, model)
    with Several(texts, every) as frames:
        protect_inputs(frames, model, [out])
        table = Table(out, ModelIdentity.of(segmenter.spec, sha256(model)), overwrite=overwrite)
        run_and_tell(segmenter, f"{segmenter.spec.name}; {segmenter.choice}", frames, [table])


def model_and_sources(words: list[str]) -> tuple[Path, list[str]]:
    """The model's path and the sources, from `[MODEL] SOURCE...`: the first word is a model if it ends in .onnx, or is a
    shipped network's name and no folder of ours.

    Raises:
        SegError: for a model without a source.
    """
    from seg.shipped import resolve_model, shipped_names

    first, *rest = words
    if not first.endswith(".onnx") and (first not in shipped_names() or Path(first).exists()):
        return resolve_model(), words
    if not rest:
        raise SegError(
            f"{first} is a model; name what to run it on after it: seg embed {first} drive.mp4 --out t.parquet"
        )
    return resolve_model(first), rest
