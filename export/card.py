"""A model card: what stands in an ONNX file and in its figures, with what only a person can say about it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from seg.errors import SegError
from seg.files import claim, sha256, spare, write_text
from seg.metrics import Report
from seg.spec import ModelSpec, Origin, TensorSpec
from seg.strict import Strict, parse, read_yaml


class TrainingData(Strict):
    """A data set that the network learned from: its name, where it comes from, and under which licence."""

    name: str
    source: str
    licence: str


class Failure(Strict):
    """What the network gets wrong, and a picture of it (a path from the folder of the notes)."""

    text: str
    picture: str | None = None


class CardNotes(Strict):
    """What a person writes: the network in a paragraph, what it is for, its speed, its data, its known failures."""

    summary: str
    use: str
    speed: str
    data: tuple[TrainingData, ...] = Field(min_length=1)
    failures: tuple[Failure, ...] = Field(min_length=1)
    remake: str


class Figures(Report):
    """What `seg eval --json` writes: a report, of which file (its SHA-256), on which data, at which (height, width) if one."""

    model: str
    sha256: str | None
    data: str
    size: tuple[int, int] | None = None


def write_card(
    file: Path, spec: ModelSpec, notes_file: Path, figures_files: Sequence[Path], output: Path, *, overwrite: bool
) -> None:
    """Write the model card of an ONNX file as Markdown.

    Args:
        file: the ONNX file.
        spec: the contract that it carries.
        notes_file: YAML of `CardNotes`.
        figures_files: what `seg eval FILE --json` wrote, at least one.
        output: the card to make.
        overwrite: whether it may be replaced.

    Raises:
        SegError: for a file that restores frames (a card is about classes), notes or figures that cannot be read, figures
            of another file, a picture that is not there.
    """
    if spec.profile == "restore":
        raise SegError(
            f"{file}: restores frames and knows no classes, which a card's figures are of; see `seg restore`"
        )
    claim(output, overwrite=overwrite)
    spare(output, (path.resolve() for path in (file, notes_file, *figures_files)))
    notes = parse(CardNotes, read_yaml(notes_file), notes_file)
    notes = notes.model_copy(update={"failures": tuple(_placed(one, notes_file, output) for one in notes.failures)})
    if not figures_files:
        raise SegError(f"a card needs figures; make some with `seg eval {file} --json FIGURES.json`")
    digest = sha256(file)
    figures = [_read_figures(path, file, digest) for path in figures_files]
    write_text(output, "\n\n".join(_sections(file, digest, spec, notes, figures)) + "\n")


def _placed(failure: Failure, notes_file: Path, output: Path) -> Failure:
    """The failure with its picture as seen from the card's folder; SegError where there is none."""
    if failure.picture is None:
        return failure
    picture = notes_file.parent / failure.picture
    if not picture.is_file():
        raise SegError(f"{notes_file}: no picture {failure.picture} as seen from {notes_file.parent}")
    seen = os.path.relpath(picture.resolve(), output.parent.resolve())
    return failure.model_copy(update={"picture": Path(seen).as_posix()})


def _read_figures(path: Path, file: Path, digest: str) -> Figures:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegError(f"{path}: cannot be read ({error}); expected what `seg eval --json` writes") from None
    figures = parse(Figures, data, path)
    if figures.sha256 != digest:
        raise SegError(f"{path}: figures of another file; measure this one with `seg eval {file} --json {path}`")
    return figures


def _sections(file: Path, digest: str, spec: ModelSpec, notes: CardNotes, figures: Sequence[Figures]) -> list[str]:
    protocols = dict.fromkeys(one.protocol for one in figures)
    return [
        f"# {spec.name}",
        notes.summary.strip(),
        _facts(file, digest, spec),
        "## Use",
        notes.use.strip(),
        "## Data",
        "\n".join(
            [
                "| data set | source | licence |",
                "|---|---|---|",
                *(f"| {one.name} | {one.source} | {one.licence} |" for one in notes.data),
            ]
        ),
        f"Trained for {spec.training.steps:,} steps on {', '.join(spec.training.data)}; "
        f"SHA-256 of the frames' names and sizes `{spec.training.data_hash}`. {_origins(spec.training.origins)}",
        "## Figures",
        *(_table(one) for one in figures),
        *(f"> {protocol}" for protocol in protocols),
        "## Speed",
        notes.speed.strip(),
        "## Known failures",
        *(_failure(failure) for failure in notes.failures),
        "## Making it again",
        notes.remake.strip(),
    ]


def _origins(origins: Sequence[Origin] | None) -> str:
    if origins is None:
        return "What it began with was not recorded."
    if not origins:
        return "It began with random weights."
    # no chain: of a mean of several, some began with others' weights and some stood side by side
    named = (f"`{one.run}` ({', '.join(one.data) or 'data not known'})" for one in origins)
    return f"Its weights come from these trainings, oldest first: {', '.join(named)}."


def _facts(file: Path, digest: str, spec: ModelSpec) -> str:
    size = spec.size
    network = spec.network
    stored = network.get("weights", "float32")
    rows = {
        "file": f"`{file.name}`, {file.stat().st_size / 1e6:.1f} MB, SHA-256 `{digest}`",
        "weights": f"stored as {stored}, computed in {'int8' if stored == 'int8' else 'float32'}; SHA-256 of the checkpoint "
        f"`{spec.training.weights_hash}`",
        "licence": spec.licence,
        "network": ", ".join(f"{key} `{value}`" for key, value in network.items() if key != "weights"),
        "size": f"{size.kind}, {size.height}x{size.width} (height x width)",
        "input": _tensor(spec.inputs[0]),
        "outputs": "; ".join(_tensor(tensor) for tensor in spec.outputs),
        "classes": ", ".join(f"{index} {info.name}" for index, info in enumerate(spec.classes)),
        "made with": ", ".join(f"{name} {number}" for name, number in spec.versions.items()),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


def _tensor(tensor: TensorSpec) -> str:
    return f"`{tensor.name}` {tensor.dtype} {tensor.layout} {tuple(tensor.shape)}: {tensor.meaning}"


def _table(figures: Figures) -> str:
    values = {"mean IoU": figures.mean_iou, **figures.iou, "pixel accuracy": figures.pixel_accuracy}
    cells = ["-" if value is None else f"{100 * value:.1f}" for value in values.values()]
    names = [name.replace("|", "\\|") for name in values]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|", f"| {' | '.join(cells)} |"]
    return f"IoU in percent of this file on {figures.data}:\n\n" + "\n".join(lines)


def _failure(failure: Failure) -> str:
    text = f"- {failure.text.strip()}"
    return f"{text}\n\n  ![{failure.text.strip()}]({failure.picture})" if failure.picture else text
