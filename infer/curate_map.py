"""The codes of a table on a plane: points that are near each other are frames that are alike.

k-means finds the groups, t-SNE (van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008) the places, both
scikit-learn's, from fixed seeds. Shape suffixes: P points, K values of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infer.codes import Floats
from infer.index import FrameIndex
from infer.table import library

POINTS = 2000
"""The most rows that are drawn: t-SNE of so many takes some seconds."""

GROUPS = 8
_FEW = 8
"""Fewer points than this have no neighbourhoods for t-SNE to keep."""


@dataclass(frozen=True, slots=True)
class CodeMap:
    """Where rows stand.

    Attributes:
        rows_P: row numbers, int64, rising.
        xy_P2: 0..1 across and down, float32.
        group_P: the group of each, int64, from 0; group 0 has the most points.
        total: rows of the table, of which these are a part.
        method: how the places were found.
    """

    rows_P: npt.NDArray[np.int64]
    xy_P2: Floats
    group_P: npt.NDArray[np.int64]
    total: int
    method: str


def draw_map(index: FrameIndex, chosen: list[int]) -> CodeMap:
    """The map of rows spread evenly over the table, and of those that are chosen; SegError where scikit-learn is missing."""
    spread = np.linspace(0, index.rows - 1, min(POINTS, index.rows)).round().astype(np.int64)
    rows_P = np.union1d(spread, np.array(chosen, dtype=np.int64))
    code_PK = index.codes(rows_P)
    xy_P2, method = _places(code_PK)
    low, high = xy_P2.min(axis=0), xy_P2.max(axis=0)
    xy_P2 = (xy_P2 - low) / np.where(high > low, high - low, 1)
    return CodeMap(rows_P, xy_P2.astype(np.float32), _groups(code_PK), index.rows, method)


def _groups(code_PK: Floats) -> npt.NDArray[np.int64]:
    count = min(GROUPS, len(np.unique(code_PK, axis=0)))
    means = library("sklearn.cluster").KMeans(count, n_init=4, random_state=0)
    group_P = means.fit_predict(code_PK)
    order = np.argsort(-np.bincount(group_P, minlength=count), kind="stable")
    return np.asarray(np.argsort(order)[group_P], dtype=np.int64)


def _places(code_PK: Floats) -> tuple[Floats, str]:
    if len(code_PK) >= _FEW and code_PK.shape[1] >= 2:
        tsne = library("sklearn.manifold").TSNE
        places = tsne(init="pca", perplexity=min(30, (len(code_PK) - 1) / 3), random_state=0)
        return places.fit_transform(code_PK), "t-SNE"
    along_PR, lengths_R, _ = np.linalg.svd(code_PK - code_PK.mean(axis=0), full_matrices=False)
    found_PR = (along_PR * lengths_R)[:, :2]
    return np.pad(found_PR, ((0, 0), (0, 2 - found_PR.shape[1]))), "PCA"
