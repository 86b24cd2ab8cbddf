"""Tiny data sets in the published layouts, for the tests of readers and of the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from seg.classes import load_ontology
from seg.config import AnyData
from seg.data.base import LabelledData
from seg.data.open import open_data

HEIGHT, WIDTH = 4, 6


def write_frame(path: Path, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A frame of noise, different for each seed; returned as it was written."""
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return picture


def write_label(path: Path, value: int | tuple[int, int, int] = 3, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """A label picture of one id, or one colour."""
    shape = size if isinstance(value, int) else (*size, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)


def camvid_tree(root: Path, splits: dict[str, int], first_seed: int = 0) -> Path:
    """The 480x360 release's layout, with so many frames in each split, all different."""
    seed = first_seed
    for split, count in splits.items():
        for index in range(count):
            write_frame(root / split / f"{split}_{index}.png", seed)
            write_label(root / f"{split}annot" / f"{split}_{index}.png", value=index % 3 + 2)
            seed += 1
    return root


def source(**keys: Any) -> AnyData:
    """A data source of a config, from its keys."""
    adapted: AnyData = TypeAdapter(AnyData).validate_python({key: _text(value) for key, value in keys.items()})
    return adapted


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def load(ontology: str = "drive", **keys: Any) -> LabelledData:
    """One source, opened."""
    return open_data([source(**keys)], load_ontology(ontology))


def only_class(data: LabelledData, index: int) -> str:
    """The name of the one label value of an item."""
    values = np.unique(data.sample(index).label_HW)
    assert len(values) == 1
    return data.space.name(int(values[0]))
