"""The table of codes beside JPEG: sizes are matched from below, and figures are those of the frames."""

import re

import cv2
import numpy as np
import pytest
import torch

from bench import compression
from seg.classes import load_ontology
from seg.config import EncoderConfig, ModelConfig, SyntheticData
from seg.data.open import open_data
from seg.model.autoencoder import Autoencoder
from seg.model.axes import measure_axes
from seg.model.coding import FrameCoder
from seg.model.network import SegmentationAutoencoder

SIZE = (64, 96)
ENCODER = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 8, "reconstruction_width": 16}


@pytest.fixture(scope="module")
def data():
    return open_data([SyntheticData(kind="synthetic", count=3, size=SIZE)], load_ontology("drive"))


def coder_of(network, data):
    pictures = [data.frame(index) for index in range(len(data))]
    with torch.no_grad():
        for _ in range(20):
            network.train()(torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2))
    return FrameCoder(network, SIZE, measure_axes(network.eval(), pictures), b"12345678")


def test_codes_beside_jpeg_with_class_maps(data):
    torch.manual_seed(0)
    model = ModelConfig(**ENCODER, decoder="linknet", decoder_options={"channels": 8}, reconstruction=True)
    coder = coder_of(SegmentationAutoencoder(5, model), data)
    figures = compression.measure(coder, data, [0, 2], [0.1, 100.0])
    fine, coarse = figures["rows"]
    assert figures["frames"] == 2
    assert fine["code"]["bytes"] == np.mean([len(coder.encode(data.frame(index), 0.1)) for index in (0, 2)])
    assert coarse["jpeg"]["larger"] == 2  # a JPEG has tables of 600 bytes
    assert coarse["jpeg"]["quality"] == 1
    assert fine["code"]["bytes"] > coarse["code"]["bytes"]
    made = {index: coder.decode(coder.encode(data.frame(index), 0.1)).frame_HWC for index in (0, 2)}
    expected = np.mean([cv2.PSNR(data.frame(index), frame_HWC) for index, frame_HWC in made.items()])
    assert fine["code"]["psnr"] == pytest.approx(expected, abs=1e-3)
    assert 0 <= figures["mean_iou_of_frames"] <= 1
    text = compression.table({"run": "tiny", **figures})
    assert re.search(r"^\| 100 \|.*\* \| 1 \|", text, re.MULTILINE)
    assert "its quality 1 is larger: " in text
    assert "step 100: 2 of 2 frames" in text
    assert compression.plot({"run": "tiny", **figures}).shape[1] == 2 * 960


def test_a_run_that_knows_no_classes(data):
    coder = coder_of(Autoencoder(EncoderConfig(**ENCODER)), data)
    figures = {"run": "tiny", **compression.measure(coder, data, [0], [1.0])}
    assert figures["mean_iou_of_frames"] is None
    assert "mIoU" not in compression.table(figures)
    assert compression.plot(figures).shape[1] == 960


def test_the_best_jpeg_that_is_no_larger(data):
    files = compression.jpegs(data.frame(0))
    assert len(files) == len(compression.QUALITIES)
    sizes = [file.size for file in files]
    assert compression.fitting(files, sizes[0] - 1) is None
    assert compression.fitting(files, 10**9) == 99
    between = compression.fitting(files, sizes[49] + 1)
    assert between >= 49
    assert sizes[between] <= sizes[49] + 1 < min(sizes[between + 1 :])
