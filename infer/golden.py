"""Reference answers for the vehicle's own program: what went into the network and what came out, as plain arrays.

A wrong colour order, a shifted resize or a wrong way back still look plausible on a screen; only numbers tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infer.segmenter import Segmenter
from seg.errors import SegError
from seg.files import atomic_folder, claim_folder, followed, sha256
from seg.frame import Frame

INDEX = "golden.json"

ALLOWED = {
    "classes": "0.1 % of the pixels may be of another class: ties, which another runtime's sums decide otherwise",
    "confidence": "by 2 of 255; where another library resized the frame by more, in 1 % of the pixels",
    "logits": "by 0.001 of the largest magnitude",
    "novelty": "by 0.001",
    "code": "by 0.001 of the largest magnitude",
    "hash": "in no bit, but for ties; its low 32 bits count",
    "input": "by 1 grey level (1/255 in floats of 0..1) where the frame was resized, else not at all",
    "map": "as classes",
}
"""How far a program may be off in float32; in bfloat16, float16 or integers further."""


def write_golden(
    segmenter: Segmenter, model: Path, source: Iterable[Frame], folder: Path, count: int, *, overwrite: bool = False
) -> list[Path]:
    """Write, for the first frames of a source, everything between a frame and its class map.

    For each frame a folder, `000` and so on, of NumPy's .npy files: `frame` uint8 RGB (H, W, 3), `input` as the contract asks
    for it, each output of the network by its name, and `map`, uint8 (H, W), the class map at the frame's size.
    `golden.json` says of which model they are, what computed them, and how far a program may be off.

    Args:
        segmenter: answers the frames.
        model: its file, which is hashed.
        source: frames.
        folder: to be made; one that `seg golden` made may be replaced.
        count: how many frames, at least 1.
        overwrite: whether it may.

    Returns:
        The frames' folders.

    Raises:
        SegError: if the folder is in use, or the source has no frame.
    """
    claim_folder(folder, _made(folder).__contains__, "seg golden", overwrite=overwrite)
    with atomic_folder(followed(folder)) as temporary:
        names: list[str] = []
        for frame in islice(source, count):
            names.append(f"{len(names):03}")
            (temporary / names[-1]).mkdir()
            for name, array in _arrays(segmenter, frame.rgb_HWC).items():
                np.save(temporary / names[-1] / f"{name}.npy", array)
        if not names:
            raise SegError(f"{folder}: the source has no frame; nothing was written")
        index = {
            "model": model.name,
            "sha256": sha256(model),
            "computed_by": segmenter.choice,
            "frames": names,
            "arrays": ["frame", "input", *_outputs(segmenter), "map"],
            "allowed": {name: ALLOWED[name] for name in ("input", *_outputs(segmenter), "map") if name in ALLOWED},
        }
        (temporary / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return [folder / name for name in names]


def _arrays(segmenter: Segmenter, rgb_HWC: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    fed = segmenter.prepare(rgb_HWC)
    return {"frame": rgb_HWC, "input": fed, **segmenter.run(fed), "map": segmenter(rgb_HWC).classes}


def _outputs(segmenter: Segmenter) -> list[str]:
    return [tensor.name for tensor in segmenter.spec.outputs]


def _made(folder: Path) -> set[Path]:
    """What `seg golden` wrote there, by the index that it left; nothing without one."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        frames = [folder / str(name) for name in index["frames"]]
        arrays = [frame / f"{name}.npy" for frame in frames for name in index["arrays"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {folder / INDEX, *frames, *arrays}
