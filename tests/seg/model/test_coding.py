"""A frame as a file and back: the axes of the code, what a file holds, and what files that are not whole get."""

import functools
import struct
import zlib

import numpy as np
import pytest
import torch

from seg.config import EncoderConfig, ModelConfig
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.model.autoencoder import Autoencoder
from seg.model.axes import load_axes, measure_axes, save_axes
from seg.model.coding import HEADER, MAGIC, FrameCoder
from seg.model.network import SegmentationAutoencoder

SIZE = (60, 92)
ENCODER = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 8, "reconstruction_width": 16}
IDENTITY = b"12345678"


def settled(network):
    """A network whose batch norms know the frames, so that its code and its pictures differ from place to place."""
    with torch.no_grad():
        for _ in range(20):
            network.train()(frames_tensor())
    return network.eval()


def frames(first=0, count=6):
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    return [scenes.frame(index)[0][: SIZE[0], : SIZE[1]].copy() for index in range(first, first + count)]


def frames_tensor():
    return torch.tensor(np.stack(frames())).permute(0, 3, 1, 2)


@functools.cache
def autoencoder():
    torch.manual_seed(0)
    return settled(Autoencoder(EncoderConfig(**ENCODER)))


@functools.cache
def coder():
    return FrameCoder(autoencoder(), SIZE, measure_axes(autoencoder(), frames()), IDENTITY)


@functools.cache
def segmenting(auxiliary):
    torch.manual_seed(0)
    config = ModelConfig(
        **ENCODER, decoder="linknet", decoder_options={"channels": 8}, reconstruction=True, auxiliary=auxiliary
    )
    network = settled(SegmentationAutoencoder(5, config))
    return FrameCoder(network, SIZE, measure_axes(network, frames()), IDENTITY)


def codes_of(network):
    with torch.no_grad():
        return network.encode(frames_tensor())


def test_axes_are_uncorrelated():
    axes, codes_BKHW = coder().axes, codes_of(autoencoder())
    code_KN = codes_BKHW.permute(1, 0, 2, 3).flatten(1).double().numpy()
    along_KN = axes.forward_KK.double().numpy() @ (code_KN - axes.mean_K.double().numpy()[:, None])
    covariance_KK = np.cov(along_KN, bias=True)
    deviation_K = np.sqrt(np.diag(covariance_KK))
    np.testing.assert_allclose(axes.deviation_K, deviation_K, rtol=1e-3, atol=1e-4 * deviation_K.max())
    assert (np.diff(axes.deviation_K) <= 0).all()
    off_KK = covariance_KK - np.diag(np.diag(covariance_KK))
    assert np.abs(off_KK).max() < 1e-4 * covariance_KK.max()
    correlation_KK = np.corrcoef(code_KN)  # there was something to undo
    assert np.abs(correlation_KK - np.eye(8)).max() > 0.3
    np.testing.assert_allclose(axes.forward_KK @ axes.back_KK, np.eye(8), atol=1e-4)


def test_rounding_costs_the_picture_alike_along_all_axes(monkeypatch):
    """A linear decoder, whose Jacobian is known."""
    network = Autoencoder(EncoderConfig(**ENCODER)).eval()
    torch.manual_seed(3)
    weights = torch.randn(8, 3, 8, 8) * torch.logspace(-1, 1, 8).view(-1, 1, 1, 1)
    codes = torch.randn(40, 1, 8, 30, 40)
    network.reconstruct = lambda code_BKHW, size: torch.nn.functional.conv_transpose2d(code_BKHW, weights, stride=8)
    network.features = lambda rgb_B3HW: [codes[int(rgb_B3HW[0, 0, 0, 0])]]
    pictures = [np.full((240, 320, 3), number, dtype=np.uint8) for number in range(40)]

    def squared_K(even):
        monkeypatch.setattr("seg.model.axes.EVEN", even)
        changed = measure_axes(network, pictures).back_KK.T @ weights.flatten(1)
        return changed.square().sum(1).numpy()

    # a place's 3 x 8 x 8 values, where 8 axes are off by 1 / 12 each, share an error of 1 squared grey level
    np.testing.assert_allclose(squared_K(0.0) * 8 / 12 / (3 * 8 * 8), 1, atol=0.1)
    # keeping directions that the picture does not need costs it nothing
    assert squared_K(0.5).max() * 8 / 12 / (3 * 8 * 8) < 1.05


def test_axes_are_the_same_each_time_and_are_kept(tmp_path):
    save_axes(tmp_path / "a.safetensors", coder().axes)
    save_axes(tmp_path / "b.safetensors", measure_axes(autoencoder(), frames()))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = load_axes(tmp_path / "a.safetensors", 8)
    assert all(torch.equal(value, vars(coder().axes)[name]) for name, value in vars(loaded).items())
    with pytest.raises(SegError, match="no axes of codes of 16 channels"):
        load_axes(tmp_path / "a.safetensors", 16)


def test_axes_of_nothing():
    with pytest.raises(SegError, match="no frames"):
        measure_axes(autoencoder(), [])
    network = Autoencoder(EncoderConfig(**ENCODER)).eval()
    with torch.no_grad():
        network.projection.weight.zero_()
    with pytest.raises(SegError, match="are alike"):
        measure_axes(network, frames())
    with torch.no_grad():
        network.projection.bias.fill_(torch.nan)
    with pytest.raises(SegError, match="not finite"):
        measure_axes(network, frames())


@pytest.mark.parametrize("step", [0.1, 1.0, 7.3, 100.0])
def test_what_is_received_is_the_rounded_code(step):
    rgb_HWC = frames(10, 1)[0]
    received = coder().decode(coder().encode(rgb_HWC, step))
    with torch.no_grad():
        code_1KHW = autoencoder().encode(torch.tensor(rgb_HWC).permute(2, 0, 1)[None])
        values_KHW = coder().axes.quantise(code_1KHW, float(np.float32(step)))
        assert torch.equal(received.code_1KHW, coder().axes.restore(values_KHW, float(np.float32(step))))
        picture_13HW = autoencoder().reconstruct(received.code_1KHW, SIZE)
    np.testing.assert_array_equal(received.frame_HWC, picture_13HW[0].permute(1, 2, 0).clamp(0, 255).round().byte())
    off_KHW = torch.tensordot(coder().axes.forward_KK, (received.code_1KHW - code_1KHW)[0], 1)
    assert off_KHW.abs().max() < 0.51 * step


def test_a_coarser_step_makes_a_smaller_file_of_a_worse_frame():
    rgb_HWC = frames(10, 1)[0]
    with torch.no_grad():
        whole_13HW = autoencoder()(torch.tensor(rgb_HWC).permute(2, 0, 1)[None]).frame_B3HW
    files = [coder().encode(rgb_HWC, step) for step in (0.1, 2.0, 20.0)]
    made = [torch.tensor(coder().decode(file).frame_HWC).permute(2, 0, 1) for file in files]
    errors = [float((picture_3HW - whole_13HW[0]).square().mean().sqrt()) for picture_3HW in made]
    assert len(files[0]) > len(files[1]) > len(files[2])
    assert errors[0] < 0.5  # what writing whole numbers costs
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] < 4


def test_a_frame_of_another_size_keeps_it():
    rgb_HWC = SyntheticScenes(seed=0, size=(75, 110)).frame(3)[0]
    received = coder().decode(coder().encode(rgb_HWC, 1.0))
    assert received.frame_HWC.shape == (75, 110, 3)
    assert received.code_1KHW.shape[1:] == coder().shape
    with pytest.raises(SegError, match="at most 65535 pixels a side, got 65536x1"):
        coder().encode(np.zeros((1, 65536, 3), dtype=np.uint8), 1.0)


@pytest.mark.parametrize("step", [0.0, 0.09, 101.0, float("nan")])
def test_steps_that_cannot_be_meant(step):
    with pytest.raises(SegError, match=r"expected 0\.1 \(fine\) to 100 \(coarse\)"):
        coder().encode(frames(0, 1)[0], step)


def test_the_header_is_as_it_is_described():
    file = coder().encode(frames(10, 1)[0], 2.5)
    assert file[:13] == b"sgfc\x01" + IDENTITY
    assert struct.unpack_from("<HHHHHf", file, 13) == (60, 92, 8, 8, 12, 2.5)
    assert HEADER.size == 31
    assert struct.unpack("<I", file[-4:])[0] == zlib.crc32(file[:-4])


def test_files_that_are_cut_or_damaged_are_refused():
    file = coder().encode(frames(10, 1)[0], 20.0)
    for length in range(len(file)):
        with pytest.raises(SegError, match=r"x\.code: (is cut short or damaged|is no frame's code)"):
            coder().decode(file[:length], "x.code")
    for place in range(len(file)):
        for bit in (1, 128):
            with pytest.raises(SegError, match=r"x\.code: is (cut short or damaged|no frame's code|of version)"):
                coder().decode(file[:place] + bytes([file[place] ^ bit]) + file[place + 1 :], "x.code")
    with pytest.raises(SegError, match="cut short or damaged"):
        coder().decode(file + b"\0")
    with pytest.raises(SegError, match="is no frame's code"):
        coder().decode(b"\x89PNG\r\n\x1a\n" + file)


def sealed(body):
    return body + struct.pack("<I", zlib.crc32(body))


def test_sound_files_of_something_else_are_refused():
    file = coder().encode(frames(10, 1)[0], 2.0)
    other = FrameCoder(autoencoder(), SIZE, coder().axes, b"abcdefgh")
    with pytest.raises(SegError, match=r"by another model \(3132333435363738, expected 6162636465666768\)"):
        other.decode(file)
    with pytest.raises(SegError, match="version 2 of the format, expected 1"):
        coder().decode(MAGIC + b"\x02" + file[5:])
    wide = FrameCoder(autoencoder(), (60, 192), coder().axes, IDENTITY)
    with pytest.raises(SegError, match=r"a code of \(8, 8, 12\) in steps of 2, expected one of \(8, 8, 24\)"):
        wide.decode(file)
    nan = file[:23] + struct.pack("<f", float("nan")) + file[27:-4]
    with pytest.raises(SegError, match="in steps of nan"):
        coder().decode(sealed(nan))
    # a library that read the same bytes otherwise
    changed = file[: HEADER.size] + bytes([file[HEADER.size] ^ 1]) + file[HEADER.size + 1 : -4]
    with pytest.raises(SegError, match="what is read is not what was written"):
        coder().decode(sealed(changed))


@pytest.mark.parametrize("auxiliary", [False, True])
def test_classes_of_a_fine_file_of_a_frame_that_is_received_whole(auxiliary, monkeypatch):
    """Where nothing is lost, the map is the network's own, but for what an auxiliary classifier adds."""
    made, rgb_HWC = segmenting(auxiliary), frames(10, 1)[0]
    received = made.decode(made.encode(rgb_HWC, 0.1))._replace(frame_HWC=rgb_HWC)
    with torch.no_grad():
        own_HW = made.network(torch.tensor(rgb_HWC).permute(2, 0, 1)[None]).logits_BCHW[0].argmax(0).numpy()
    classes_HW = made.classes(received)
    assert classes_HW.dtype == np.uint8
    assert classes_HW.shape == SIZE
    agree = (classes_HW == own_HW).mean()
    assert (agree > 0.98) != auxiliary
    monkeypatch.setattr("seg.model.coding.CODE_ALONE", 0.0)
    assert (made.classes(received) == own_HW).mean() > 0.98


def test_classes_depend_on_the_received_code_and_frame():
    made, first, second = segmenting(False), *frames(10, 2)
    received, other = (made.decode(made.encode(rgb_HWC, 1.0)) for rgb_HWC in (first, second))
    classes_HW = made.classes(received)
    assert (made.classes(received._replace(code_1KHW=other.code_1KHW)) != classes_HW).any()
    assert (made.classes(received._replace(frame_HWC=other.frame_HWC)) != classes_HW).any()
    large_HWC = np.repeat(np.repeat(received.frame_HWC, 2, axis=0), 2, axis=1)
    assert made.classes(received._replace(frame_HWC=large_HWC)).shape == (120, 184)
