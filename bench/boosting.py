"""Gradient boosting on a table of codes: an example of another learner, and a measure of what codes hold.

python -m bench.boosting camvid.parquet                                    # which sequence is a frame of?
python -m bench.boosting camvid.parquet --share pedestrian --above 0.002   # are there more pedestrians than that?

It sees nothing but the code. The last part of each sequence is held out (`--held-out`), so that no frame is tested whose
neighbours in time were all learned from. The majority class is what answering the most frequent class would get.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score

Labels = npt.NDArray[np.str_] | npt.NDArray[np.bool_]


def last_parts(sequence: npt.NDArray[np.str_], share: float) -> npt.NDArray[np.bool_]:
    """Which rows are of the last part of their sequence; rows stand in the order of time."""
    held = np.zeros(len(sequence), dtype=np.bool_)
    for name in np.unique(sequence):
        rows = np.flatnonzero(sequence == name)
        held[rows[round(len(rows) * (1 - share)) :]] = True
    return held


def main() -> None:
    """Train on a table, print held-out accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="a Parquet file of `seg embed`")
    parser.add_argument(
        "--share", metavar="CLASS", help="predict whether this class's share of the frame is above a value"
    )
    parser.add_argument("--above", type=float, default=0.0, help="the value, 0..1")
    parser.add_argument(
        "--sequence", default=r"([^/_]+)_[^/]*$", help="the part of a source's name that is its sequence's"
    )
    parser.add_argument("--held-out", type=float, default=0.3)
    args = parser.parse_args()
    table = pq.read_table(args.table)  # what any other program would do: nothing of ours is needed to read it
    code = np.stack(table.column("code").to_numpy())
    names = table.column("source").to_pylist()
    sequence = np.array([found[1] if (found := re.search(args.sequence, name)) else name for name in names])
    if args.share and f"share_{args.share}" not in table.column_names:
        known = [name.removeprefix("share_") for name in table.column_names if name.startswith("share_")]
        parser.error(f"--share {args.share}: the table has {', '.join(known)}")
    target: Labels = table.column(f"share_{args.share}").to_numpy() > args.above if args.share else sequence
    asked = (
        f"share of {args.share} above {args.above:g}" if args.share else f"one of {len(np.unique(sequence))} sequences"
    )
    held = last_parts(sequence, args.held_out)
    if min(len(np.unique(target[~held])), len(np.unique(target[held]))) < 2:
        parser.error(f"{asked}: only one answer occurs among the frames learned from, or among those held out")
    learner = HistGradientBoostingClassifier(random_state=0).fit(code[~held], target[~held])
    answer, truth = learner.predict(code[held]), target[held]
    values, counts = np.unique(target[~held], return_counts=True)
    majority = np.full(len(truth), values[counts.argmax()])
    print(
        f"{asked}, from codes of {code.shape[1]} values; {np.sum(~held)} frames learned from, {np.sum(held)} held out"
    )
    print(f"accuracy {accuracy_score(truth, answer):.1%}, majority class {accuracy_score(truth, majority):.1%}")
    chance = balanced_accuracy_score(truth, majority)
    print(f"mean of the classes' accuracies {balanced_accuracy_score(truth, answer):.1%}, majority class {chance:.1%}")


if __name__ == "__main__":
    main()
