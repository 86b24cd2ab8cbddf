"""What pretraining without labels is worth where labels are few: CamVid, with and without, three seeds each.

    python -m bench.few_labels --commands --runs runs/few > few.sh
    sh few.sh
    python -m bench.few_labels --runs runs/few --plot docs/images/few-labels.png --overwrite

Both arms have as many steps (`bench/label_study.py`) and the same labelled frames, which are spread evenly over the train
frames in the order of their names. They differ in where the encoder and its code begin: at random weights, or at those
of one run of `configs/pretrain/camvid.yaml`, which saw all train frames and no label. The commands go on where they were
stopped.
"""

from __future__ import annotations

from bench.label_study import Study, claim_outputs, conclude, line, parser
from seg.errors import SegError
from seg.paths import configs, expand

PRETRAINING = configs() / "pretrain/camvid.yaml"

TARGET = 3.0
"""Points of mean IoU that pretraining is to gain at the smallest share."""


class FewLabels(Study):
    """Budgets are percents of the train frames."""

    budgets = (10, 25, 100)
    arms = ("scratch", "pretrained")

    def labelled(self, budget: int, arm: str = "scratch", seed: int = 0) -> list[str]:
        """Evenly spread, the same for both arms and all seeds."""
        return [self.data.name(index) for index in self.data.spread(round(budget * len(self.data) / 100))]

    def start(self, arm: str) -> list[str]:
        """The pretrained encoder, or nothing."""
        return [f"init={self.runs / 'pretrained'}"] if arm == "pretrained" else []

    def commands(self) -> list[str]:
        """The pretraining, then the runs."""
        train = self.data.files(0)[0].parent
        roots = [f"data.train.0.root={train}", f"data.val.0.root={train.parent / 'val'}"]
        return [line("pretrain", PRETRAINING, roots, self.runs / "pretrained"), *super().commands()]


def main() -> None:
    """Print the commands, or the table of what they left."""
    args = parser(__doc__, "runs/few").parse_args()
    try:
        claim_outputs(args)
        study = FewLabels(expand(args.data), args.runs)
        points = conclude(study, args)
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    smallest = study.budgets[0]
    gain = study.gain_at(points, smallest)
    if gain is not None:
        print(f"\npretraining at {smallest} %: {gain:+.1f} points (target: {TARGET:+g} at least)")


if __name__ == "__main__":
    main()
