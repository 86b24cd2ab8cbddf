"""Files made of synthetic scenes: a contact sheet and a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg.classes import load_ontology
from seg.config import SyntheticData
from seg.data.images import write_png
from seg.data.open import open_data
from seg.data.synthetic import SyntheticScenes
from seg.draw import grid, overlay
from seg.files import atomic
from seg.paths import local

CLIP_FRAMES = 100
FPS = 25


def write_sheet(scenes: SyntheticData, path: Path, count: int = 6) -> None:
    """A PNG of the first scenes with their labels painted on beside them."""
    data = open_data([scenes], load_ontology("drive"))
    pictures = []
    for index in range(min(count, len(data))):
        sample = data.sample(index)
        painted = overlay(sample.frame_HWC, sample.label_HW, data.space.palette_S3, 0.6, skip=[0])
        pictures += [sample.frame_HWC, painted]
    write_png(path, grid(pictures, 4))


def write_clip(scenes: SyntheticData, index: int, path: Path) -> None:
    """An H.264 video of a drive through scene `index`, at twice the scenes' size."""
    import av

    height, width = 2 * scenes.size[0], 2 * scenes.size[1]
    with atomic(path) as temporary, av.open(local(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        for frame_HWC, _ in SyntheticScenes((stream.height, stream.width), scenes.seed, scenes.style).clip(
            index, CLIP_FRAMES, FPS
        ):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
