"""Whether the last `make demo` learnt what it should: mean IoU of at least 0.80, and no class under 0.55.

python -m bench.demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MEAN, EACH = 0.80, 0.55


def main() -> None:
    """Exit with a message if a figure in out/demo/summary.json is too low."""
    summary = json.loads(Path("out/demo/summary.json").read_text(encoding="utf-8"))
    low = {name: round(iou, 3) for name, iou in summary["iou"].items() if iou < EACH}
    if summary["miou"] < MEAN or low:
        sys.exit(f"the demo learnt too little: mean IoU {summary['miou']:.3f} (expected {MEAN}), below {EACH}: {low}")
    print(f"the demo learnt: mean IoU {summary['miou']:.3f}, worst class {min(summary['iou'].values()):.3f}")


if __name__ == "__main__":
    main()
