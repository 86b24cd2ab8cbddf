"""The trained networks that ship inside the package, and what a command or program means by MODEL."""

from __future__ import annotations

from pathlib import Path

from seg.errors import SegError
from seg.strict import nearest

FOLDER = Path(__file__).parent / "models"
"""Where they are: NAME.onnx, each with its model card, NAME.md."""

DEFAULT = "drive"
"""The one that runs where no model is named."""


def shipped_names() -> list[str]:
    """The names of the shipped networks, sorted."""
    return sorted(path.stem for path in FOLDER.glob("[!.]*.onnx"))  # an export's temporary begins with a dot


def resolve_model(model: str | Path | None = None) -> Path:
    """The path that `model` means: what exists under that name, or a shipped network; None for the shipped `drive`.

    A path that is no bare name (it has a folder or a suffix) is returned as it is: whoever opens it says what is wrong.

    Raises:
        SegError: for a bare name that neither exists nor is shipped, with the nearest one that is.
    """
    name = DEFAULT if model is None else str(model)
    path, shipped = Path(name), FOLDER / f"{name}.onnx"
    is_bare = path.name == name and not path.suffix
    if model is not None and (path.exists() or not is_bare):
        return path
    if shipped.is_file():
        return shipped
    known = nearest(name, shipped_names()) if shipped_names() else "this installation holds none"
    raise SegError(f"{name}: no such file, and no shipped network of that name; {known}")
