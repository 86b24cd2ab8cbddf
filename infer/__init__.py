"""An ONNX file and frames become masks. Never imports torch, train or export.

from infer import Segmenter

segmenter = Segmenter()    # the shipped network `drive`; Segmenter("camvid11"), Segmenter("my-model.onnx")
answer = segmenter(frame)  # uint8 RGB, (H, W, 3), any size
answer.classes             # uint8, (H, W): ids of segmenter.spec.classes

An autoencoder's file gives frames back: `Restorer("restore.onnx")(frame, "denoise")`.
`Watch(segmenter).stream(source)` says which frames are novel, and when the camera is frozen.
A table of codes that `seg embed` wrote is read by `Codes("drives.parquet")`, and searched by a `FrameIndex` of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infer.codes import Codes
    from infer.index import FrameIndex
    from infer.pipeline import Summary, run
    from infer.restorer import Restoration, RestoreJob, Restorer
    from infer.segmenter import Segmentation, Segmenter
    from infer.watch import Watch, Watched
    from seg.sources.base import Source
    from seg.sources.open import open_source

__all__ = [
    "Codes",
    "FrameIndex",
    "Restoration",
    "RestoreJob",
    "Restorer",
    "Segmentation",
    "Segmenter",
    "Source",
    "Summary",
    "Watch",
    "Watched",
    "open_source",
    "run",
]

_HOMES = {
    "Codes": "infer.codes",
    "FrameIndex": "infer.index",
    "Restoration": "infer.restorer",
    "RestoreJob": "infer.restorer",
    "Restorer": "infer.restorer",
    "Segmentation": "infer.segmenter",
    "Segmenter": "infer.segmenter",
    "Source": "seg.sources.base",
    "Summary": "infer.pipeline",
    "Watch": "infer.watch",
    "Watched": "infer.watch",
    "open_source": "seg.sources.open",
    "run": "infer.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a program that has its own camera never loads the video library."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
