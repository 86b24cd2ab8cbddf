"""What textbooks say of autoencoders, measured on patches of CamVid's frames.

    python -m bench.patches --data ~/data/camvid
    python -m bench.patches pca sparse --data ~/data/camvid --json out/patches.json

It learns from patches of train frames; figures are of patches of val frames, but for `pca`, which is about the
patches that were learned from. Each claim takes one to three minutes of one core, and prints the table behind its
figure and the row: claim, figure, target, met.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.patches_codes import contractive, dropout, sparse
from bench.patches_data import Finding, Patches, cut
from bench.patches_pixels import copy, nonlinear, pca
from seg.errors import SegError
from seg.files import claim, write_text
from seg.paths import expand

CLAIMS: dict[str, Callable[[Patches], Finding]] = {
    "pca": pca,
    "nonlinear": nonlinear,
    "copy": copy,
    "sparse": sparse,
    "contractive": contractive,
    "dropout": dropout,
}


def main() -> None:
    """Measure the claims that are named, all of them by default; exit with 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"of {', '.join(CLAIMS)} (default: all)")
    parser.add_argument("--data", default="${SEG_DATA}/camvid", help="CamVid's root (default: camvid under SEG_DATA)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.claims) - CLAIMS.keys():
        parser.error(f"no claim named {', '.join(sorted(unknown))}; expected some of {', '.join(CLAIMS)}")
    torch.set_num_threads(args.threads)
    try:
        if args.json is not None:
            claim(args.json, overwrite=args.overwrite)
        patches = cut(expand(args.data))
        found = {}
        for name in args.claims or CLAIMS:
            started = time.process_time()
            found[name] = CLAIMS[name](patches)
            print(f"{found[name].markdown()}\n({name}: {time.process_time() - started:.0f} s of processor time)\n")
            sys.stdout.flush()
    except SegError as error:
        raise SystemExit(f"error: {error}") from None
    if args.json is not None:
        write_text(args.json, json.dumps({name: finding.record() for name, finding in found.items()}, indent=1) + "\n")
    if not all(finding.met for finding in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
