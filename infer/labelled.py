"""Class maps for the frames of a labelled data set, through the threads that answer a video's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import numpy.typing as npt

from infer.segmenter import Segmenter
from seg.data.base import LabelledData, Sample
from seg.frame import Frame


def segmented(segmenter: Segmenter, data: LabelledData) -> Iterator[tuple[Sample, npt.NDArray[np.uint8]]]:
    """Each sample with its class map, uint8 (H, W) at the frame's own size, in order; read ahead by the segmenter's threads."""
    ahead: deque[Sample] = deque()

    def frames() -> Iterator[Frame]:
        for index in range(len(data)):
            sample = data.sample(index)
            ahead.append(sample)
            yield Frame(sample.frame_HWC, index, 0, data.name(index))

    with closing(segmenter.stream(frames())) as answers:
        for _, answer in answers:
            yield ahead.popleft(), answer.classes
