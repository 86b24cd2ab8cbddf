"""Sizes on the command line."""

from __future__ import annotations

import re

from seg.errors import SegError


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`360x480` as (height, width); None stays None. SegError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or "0" in match.groups():
        raise SegError(f"--size: expected HEIGHTxWIDTH such as 360x480, got {text!r}")
    return int(match.group(1)), int(match.group(2))
