"""A reader of any folder of pictures and label pictures."""

from __future__ import annotations

from pathlib import Path

from seg.classes import Ontology
from seg.config import FolderData
from seg.data.base import FileReader
from seg.data.images import files_below
from seg.data.published import chosen, read_names
from seg.errors import SegError
from seg.labels import load_label_set
from seg.paths import expand


class FolderReader(FileReader):
    """Pictures and labels found by a pattern each, all of them or those that a split file names.

    Raises:
        SegError: if the root or the split file is missing, no picture or no label fits its pattern, the split file
            names a frame that is not there, or `include` and `exclude` leave none.
    """

    def __init__(self, source: FolderData, ontology: Ontology) -> None:
        root = expand(source.root)
        if not root.is_dir():
            raise SegError(f"folder: no folder {root}; set `root` to the folder that `images` and `masks` start from")
        frames, labels = _match(root, source.images), _match(root, source.masks)
        for pattern, found in ((source.images, frames), (source.masks, labels)):
            if not found:
                raise SegError(f"folder: no file fits {root / pattern}; {_seen(root, pattern)}")
        if source.split_file is not None:
            split_file = root / expand(source.split_file)  # an absolute one stays as it is
            names = list(dict.fromkeys(read_names(split_file)))
            absent = [name for name in names if name not in frames]
            if absent:
                raise SegError(
                    f"{split_file}: names {len(absent)} frames that do not fit {root / source.images}: "
                    f"{', '.join(absent[:3])}"
                )
            frames = {name: frames[name] for name in names}
            labels = {name: labels[name] for name in names if name in labels}
        frames, labels = chosen(frames, labels, source)
        label_set = load_label_set(source.labels, ontology)
        super().__init__(f"folder/{root.name}", label_set, frames, labels, limit=source.limit)


def _seen(root: Path, pattern: str) -> str:
    """What there is where the files of `pattern` were looked for, for a message."""
    folder = _folder(root, pattern)
    if not folder.is_dir():
        return f"there is no folder {folder}"
    some = [path.relative_to(folder).as_posix() for path in files_below(folder) if not path.name.startswith(".")][:3]
    return f"{folder} holds {', '.join(sorted(some))}, ..." if some else f"{folder} holds no file"


def _folder(root: Path, pattern: str) -> Path:
    """The folder that all files of `pattern` lie in."""
    return root / pattern.partition("{name}")[0].rpartition("/")[0]


def _match(root: Path, pattern: str) -> dict[str, Path]:
    """The files that fit `pattern`, by what stands for `{name}`, which may contain `/`; what follows it, in any case.

    Raises:
        SegError: if two files fit with one name (`a.png` and `a.PNG`).
    """
    before, after = pattern.split("{name}")
    found: dict[str, Path] = {}
    for path in files_below(_folder(root, pattern)):
        text = path.relative_to(root).as_posix()
        name = text[len(before) : len(text) - len(after)]
        fits = text.startswith(before) and text.lower().endswith(after.lower())
        if not fits or not name or path.name.startswith("."):
            continue
        if name in found:
            raise SegError(f"{found[name]} and {path} have one name; keep one of them")
        found[name] = path
    return found
