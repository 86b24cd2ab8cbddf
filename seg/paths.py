"""Where the shipped configs are, and how a config file names a place that differs from machine to machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from seg.errors import SegError


def configs() -> Path:
    """The folder of shipped configs: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def local(path: Path) -> str:
    """A file's name for FFmpeg, to which `10:30.mp4` alone would be a protocol and an address."""
    return str(path.absolute())


def expand(text: str) -> Path:
    """`~` and `${NAME}` or `${NAME:-default}` replaced from the environment, as a path.

    Raises:
        SegError: naming the variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name, default)
        if found is None:
            raise SegError(f"{text}: the environment variable {name} is not set; set it to your data folder")
        return found

    return Path(re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)).expanduser()
