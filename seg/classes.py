"""Ontologies: the classes that a network tells apart, their ids, colours and which of them are thin."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from seg.errors import SegError
from seg.paths import configs, expand
from seg.strict import Strict, nearest, parse, read_yaml

IGNORE = 255
"""The label of a pixel that neither trains nor counts, everywhere."""

Byte = Annotated[int, Field(ge=0, le=255)]


class ClassInfo(Strict):
    """One class: its name, RGB colour, and whether its objects are only a few pixels wide (lane, pole)."""

    name: str
    color: tuple[Byte, Byte, Byte]
    thin: bool = False


class Ontology(Strict):
    """An ordered list of classes; a class's id is its position, 0..C-1."""

    name: str
    classes: tuple[ClassInfo, ...] = Field(min_length=2, max_length=64)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Ontology:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"class names repeat: {list(self.names)}")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Ontology:
        """Label files write sets of classes as `road | lane`, and pixels that say nothing as `ignore`."""
        for name in self.names:
            if name.strip() == "ignore" or "|" in name or not name.strip():
                raise ValueError(
                    f"a class cannot be named {name!r}: label files say `ignore` for no class, and `a | b` for one of several"
                )
        return self

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(info.name for info in self.classes)

    @cached_property
    def palette_C3(self) -> npt.NDArray[np.uint8]:
        """Colours, uint8 RGB, one row a class."""
        return np.array([info.color for info in self.classes], dtype=np.uint8)

    def id_of(self, name: str) -> int:
        """The id of a class; SegError naming the nearest class if there is none of that name."""
        try:
            return self.names.index(name)
        except ValueError:
            raise SegError(f"ontology {self.name!r} has no class {name!r}; {nearest(name, list(self.names))}") from None


def load_ontology(name: str | Path) -> Ontology:
    """An ontology by the name of a shipped one (`drive`, `camvid11`, `cityscapes19`) or by a YAML file's path."""
    path = expand(str(name))
    if path.suffix not in {".yaml", ".yml"}:
        path = configs() / "classes" / f"{name}.yaml"
        if not path.is_file():
            known = [entry.stem for entry in (configs() / "classes").glob("*.yaml")]
            raise SegError(f"no ontology named {str(name)!r}; {nearest(str(name), known)}")
    return parse(Ontology, read_yaml(path), path)
