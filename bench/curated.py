"""What choosing is worth: CamVid with K frames that `seg curate` would choose against K random ones, three seeds each.

    seg calibrate runs/few/10-scratch-0          # a network that knows a tenth of the labels; or any other
    seg export runs/few/10-scratch-0 -o first.onnx
    seg embed first.onnx $SEG_DATA/camvid/train -o camvid.parquet
    python -m bench.curated camvid.parquet --commands --runs runs/curated > curated.sh
    sh curated.sh
    python -m bench.curated camvid.parquet --runs runs/curated --plot curated.png

Both arms have as many steps (`bench/label_study.py`) and begin at random weights. The curated frames are the same for all
seeds, those of `seg curate --by different`; the random ones are drawn anew for each, since one draw may be lucky. The
commands go on where they were stopped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.label_study import Study, claim_outputs, conclude, parser
from infer.codes import Codes
from infer.curate import select
from infer.index import index_of
from seg.errors import SegError
from seg.paths import expand


class Curated(Study):
    """Budgets are numbers of frames.

    Args:
        root: CamVid's folder.
        runs: the folder of the run directories.
        table: of `seg embed`, with a row for each train frame.

    Raises:
        SegError: if the data set is not there, or the table is of other frames.
    """

    budgets = (40, 80)
    arms = ("random", "curated")

    def __init__(self, root: Path, runs: Path, table: Codes) -> None:
        super().__init__(root, runs)
        self._rows = [Path(source).stem for source in table.column("source")]
        if sorted(self._rows) != sorted(self.data.name(index) for index in range(len(self.data))):
            raise SegError(
                f"{table.path}: expected a row for each of the {len(self.data)} train frames of {root}, got "
                f"{len(self._rows)} rows (first: {self._rows[0]})"
            )
        with index_of(table) as index:
            self._chosen = {budget: [self._rows[row] for row in select(index, budget).rows] for budget in self.budgets}

    def labelled(self, budget: int, arm: str, seed: int) -> list[str]:
        """What `seg curate` chooses, or as many at random."""
        if arm == "curated":
            return self._chosen[budget]
        drawn = np.random.default_rng(seed).choice(sorted(self._rows), len(self._chosen[budget]), replace=False)
        return sorted(map(str, drawn))


def main() -> None:
    """Print the commands, or the table of what they left."""
    options = parser(__doc__, "runs/curated")
    options.add_argument("table", type=Path, help="of `seg embed`, with a row for each of CamVid's train frames")
    args = options.parse_args()
    try:
        claim_outputs(args)
        conclude(Curated(expand(args.data), args.runs, Codes(args.table)), args)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
