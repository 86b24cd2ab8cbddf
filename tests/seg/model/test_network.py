"""The contract of every decoder, as one class that each inherits, and the weights that an encoder starts from."""

import socket
import time
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from export.parity import check_parity
from export.profiles import FrameGraph
from seg.config import ModelConfig
from seg.errors import SegError
from seg.model import build_network
from seg.model.checkpoint import load_tensors, load_weights

CLASSES = 5
torch.set_num_threads(1)


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return build_network(CLASSES, ModelConfig(**{"encoder": "resnet18", "code_channels": 8, **changes}))


def frames(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


class Contract:
    """What the house asks of every decoder. A class below adds the name, and options that keep it small."""

    decoder: str
    options: ClassVar[dict] = {}
    encoder = "resnet18"
    shallow = 3

    @pytest.fixture(params=[3, 4, 5])
    def depth(self, request):
        return request.param

    def build(self, depth=None, reconstruction=False, seed=0, options=None):
        return network(
            seed,
            encoder=self.encoder,
            decoder=self.decoder,
            decoder_options=self.options if options is None else options,
            encoder_options={"depth": depth or self.shallow},
            reconstruction=reconstruction,
        )

    def test_shapes_are_as_declared(self, depth):
        net = self.build(depth, options={}).eval()
        with torch.inference_mode():
            output = net(frames(2, 3, 64, 96))
            features = net.features(frames(2, 3, 64, 96))
        assert output.logits_BCHW.shape == (2, CLASSES, 64, 96)
        assert output.reconstruction_B3HW is None
        assert [f.shape[1] for f in features] == list(net.stage_channels)
        assert [(64 // f.shape[2], 96 // f.shape[3]) for f in features] == [(s, s) for s in net.stage_strides]
        assert output.code_BKHW.shape == (2, 8, 64 // net.stage_strides[-1], 96 // net.stage_strides[-1])

    @pytest.mark.parametrize("size", [(64, 95), (57, 96), (33, 41), (9, 3)])
    def test_odd_sizes_are_padded_inside_and_cropped_after(self, size):
        net = self.build(reconstruction=True).eval()
        with torch.inference_mode():
            output = net(frames(1, 3, *size))
            assert output.logits_BCHW.shape == (1, CLASSES, *size)
            assert output.reconstruction_B3HW.shape == (1, 3, *size)
            # the border is the mean colour: writing it into the frame gives the same answers
            height, width = (-(-side // net.stride) * net.stride for side in size)
            padded = net.mean_1311.expand(1, 3, height, width).clone()
            padded[..., : size[0], : size[1]] = frames(1, 3, *size)
            whole = net(padded).logits_BCHW[..., : size[0], : size[1]]
        torch.testing.assert_close(output.logits_BCHW, whole, rtol=0, atol=1e-5)

    def test_gradients_reach_every_parameter(self, depth):
        net = self.build(depth, reconstruction=True, options={}).train()
        output = net(frames(2, 3, 64, 96))
        (output.logits_BCHW.square().mean() + output.reconstruction_B3HW.square().mean()).backward()
        assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
        # a gradient of exactly zero everywhere is a parameter that nothing trains
        dead = [name for name, p in net.named_parameters() if not p.grad.any()]
        assert not dead, dead

    def test_batch_of_one(self):
        net = self.build(reconstruction=True)
        for mode in (True, False):
            output = net.train(mode)(frames(1, 3, 64, 96))
            assert output.logits_BCHW.shape == (1, CLASSES, 64, 96)
            assert output.logits_BCHW.isfinite().all()

    def test_a_frame_is_answered_alike_in_any_batch(self):
        net = self.build().eval()
        batch = frames(3, 3, 64, 96)
        with torch.inference_mode():
            alone = torch.cat([net(frame[None]).logits_BCHW for frame in batch])
            torch.testing.assert_close(net(batch).logits_BCHW, alone, rtol=1e-4, atol=1e-4)

    def test_uint8_and_float_are_one(self):
        net = self.build().eval()
        batch = frames(1, 3, 64, 96)
        with torch.inference_mode():
            assert torch.equal(net(batch).logits_BCHW, net(batch.float()).logits_BCHW)
            channels_last = batch.contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(net(batch).logits_BCHW, net(channels_last).logits_BCHW, rtol=1e-4, atol=1e-4)

    def test_weights_out_and_in(self, tmp_path):
        net, other = self.build(reconstruction=True).eval(), self.build(reconstruction=True, seed=1).eval()
        for buffer in net.buffers():  # statistics are weights too
            if buffer.is_floating_point() and buffer.ndim == 1:
                buffer.add_(0.1 * torch.rand(len(buffer)))
        save_file(net.state_dict(), tmp_path / "weights.safetensors")
        load_weights(other, load_tensors(tmp_path / "weights.safetensors"), "here")
        with torch.inference_mode():
            torch.testing.assert_close(other(frames(1, 3, 64, 96)), net(frames(1, 3, 64, 96)), rtol=0, atol=0)

    def test_exported_it_answers_the_same(self, tmp_path):
        self.check_export(tmp_path, dynamic=False)

    def check_export(self, tmp_path, dynamic):
        from export.onnx_file import _program
        from export.profiles import signature
        from seg.spec import SizePolicy

        class Spec:
            """The part of a contract that exporting reads."""

            profile = "frame"
            size = SizePolicy(kind="dynamic" if dynamic else "fixed", height=60, width=92)
            tensors = signature("frame", *(("height", "width") if dynamic else (60, 92)), CLASSES)
            inputs, outputs = (tensors.input,), tensors.outputs

        net = self.build().eval()
        file = tmp_path / "net.onnx"
        _program(FrameGraph(net).eval(), Spec, (64, 96) if dynamic else (60, 92)).save(str(file))
        onnx.checker.check_model(str(file), full_check=True)
        sizes = [(60, 92), (45, 71), (64, 96), (130, 33)] if dynamic else [(60, 92)]
        pictures = [frames(*size, 3, seed=n).numpy() for n, size in enumerate(sizes)]
        parity = check_parity(net, file, Spec, pictures)
        assert parity.differing_without_tie == 0
        assert parity.pixels == sum(height * width for height, width in sizes)


class AnySize(Contract):
    """And, since it takes many seconds, of two of them."""

    def test_exported_for_any_size_it_answers_the_same(self, tmp_path):
        self.check_export(tmp_path, dynamic=True)


class TestUnet(Contract):
    decoder = "unet"
    options: ClassVar = {"channels": [32, 16, 8]}


class TestLinknet(Contract):
    decoder = "linknet"
    options: ClassVar = {"channels": 8}


class TestFpn(Contract):
    decoder = "fpn"
    options: ClassVar = {"channels": 32, "pyramid": 32}


class TestDeepLabV3Plus(AnySize):
    decoder = "deeplabv3plus"
    options: ClassVar = {"channels": 16, "atrous_rates": [2, 4, 6]}


class TestSegformer(Contract):
    decoder = "segformer"
    options: ClassVar = {"channels": 16}


class TestDetail(AnySize):
    decoder = "detail"


@pytest.mark.parametrize(("decoder", "side"), [("detail", 2), ("linknet", 1), ("deeplabv3plus", 1)])
def test_cells_are_the_pixels(decoder, side):
    """What the file finds in cells and sorts as bytes is what the logits of the pixels say, at an odd size too."""
    net = network(decoder=decoder, encoder_options={"depth": 3}).eval()
    frame = frames(1, 3, 45, 71)
    with torch.inference_mode():
        cells_BCShw = net.decode(net.features(frame))
        logits_BCHW = net(frame).logits_BCHW
        classes_BHW, confidence_BHW = FrameGraph(net)(frame.permute(0, 2, 3, 1))
    assert cells_BCShw.shape == (1, CLASSES, side**2, 48 // side, 72 // side)
    # row by row: pixel (y, x) is number (y % side) * side + x % side of cell (y // side, x // side)
    for y, x in [(0, 0), (0, 1), (7, 4), (44, 70)]:
        cell_BC = cells_BCShw[:, :, (y % side) * side + x % side, y // side, x // side]
        assert torch.equal(cell_BC, logits_BCHW[:, :, y, x])
    assert torch.equal(classes_BHW, logits_BCHW.argmax(1).to(torch.uint8))
    expected_BHW = logits_BCHW.softmax(1).amax(1) * 255
    assert (confidence_BHW - expected_BHW).abs().max() <= 0.51


def test_every_decoder_has_its_contract():
    from seg.model.decoders import DECODERS

    tested = Contract.__subclasses__() + AnySize.__subclasses__()
    assert {one.decoder for one in tested if one is not AnySize} == set(DECODERS)


def test_the_reconstruction_sees_the_code_alone():
    """With the code held, changing every skip changes the classes and not the reconstruction."""
    net = network(decoder="unet", encoder_options={"depth": 3}, reconstruction=True).eval()
    features = net.features(frames(1, 3, 64, 96))
    other = net.features(frames(1, 3, 64, 96, seed=1))
    encoder, held = net.features, [*other[:-1], features[-1]]
    before = net(frames(1, 3, 64, 96))
    net.features = lambda _: held
    after = net(frames(1, 3, 64, 96))
    net.features = encoder
    assert torch.equal(before.reconstruction_B3HW, after.reconstruction_B3HW)
    assert not torch.equal(before.logits_BCHW, after.logits_BCHW)
    # and by the gradient: the frame reaches the reconstruction through the code only
    skips = [feature.detach().requires_grad_() for feature in features]
    net.features = lambda _: skips
    net(frames(1, 3, 64, 96)).reconstruction_B3HW.sum().backward()
    assert [skip.grad is not None for skip in skips] == [False, False, False, True]


def test_the_reconstruction_is_a_frame():
    output = network(decoder="linknet", encoder_options={"depth": 4}, reconstruction=True).eval()(frames(1, 3, 64, 96))
    assert 0 <= output.reconstruction_B3HW.min() <= output.reconstruction_B3HW.max() <= 255
    torch.testing.assert_close(output.code_BKHW, output.code_BKHW.float())


def test_encode_is_the_code():
    net = network(decoder="fpn", encoder_options={"depth": 3}).eval()
    with torch.inference_mode():
        assert torch.equal(net.encode(frames(1, 3, 64, 96)), net(frames(1, 3, 64, 96)).code_BKHW)


def test_normalisation_is_inside():
    net = network(decoder="linknet", encoder_options={"depth": 3}).eval()
    rgb = torch.tensor([123.675 + 58.395, 116.28, 103.53 - 57.375]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(net.features(rgb)[0][0, :, 0, 0], torch.tensor([1.0, 0.0, -1.0]), rtol=0, atol=1e-5)
    assert not any("mean" in key and "running" not in key for key in net.state_dict())


@pytest.mark.parametrize("decoder", ["unet", "segformer", "deeplabv3plus", "detail"])
@pytest.mark.parametrize("encoder", ["tu-resnet10t", "tu-mobilenetv4_conv_small"])
def test_timm_encoders(encoder, decoder):
    torch.manual_seed(0)
    net = build_network(CLASSES, ModelConfig(encoder=encoder, decoder=decoder, encoder_options={"depth": 4})).train()
    output = net(frames(1, 3, 50, 96))
    assert output.logits_BCHW.shape == (1, CLASSES, 50, 96)
    output.logits_BCHW.square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


class TestEncoderWeights:
    def build(self, weights, depth=3, **changes):
        options = {"decoder": "linknet", "encoder_options": {"depth": depth}, **changes}
        return network(seed=5, encoder_weights=None if weights is None else str(weights), **options)

    @pytest.mark.parametrize("depth", [3, 5])
    def test_of_an_own_checkpoint(self, tmp_path, depth):
        trained = self.build(None, depth)
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter.add_(1)
        save_file(trained.state_dict(), tmp_path / "weights.safetensors")
        started = self.build(tmp_path / "weights.safetensors", depth)
        for name, value in trained.encoder.state_dict().items():
            assert torch.equal(started.encoder.state_dict()[name], value)
        assert not torch.equal(started.head.weight, trained.head.weight)

    @pytest.mark.parametrize("depth", [3, 4, 5])
    def test_of_a_bare_encoder(self, tmp_path, depth):
        """A whole encoder's weights start a shallower one too."""
        bare = network(seed=1, encoder_options={"depth": 5}).encoder.state_dict()
        save_file(bare, tmp_path / "bare.safetensors")
        started = self.build(tmp_path / "bare.safetensors", depth).encoder.state_dict()
        assert len(started) <= len(bare)
        assert all(torch.equal(bare[name], value) for name, value in started.items())

    def test_too_shallow(self, tmp_path):
        save_file(network(encoder_options={"depth": 3}).encoder.state_dict(), tmp_path / "bare.safetensors")
        with pytest.raises(SegError, match=r"bare\.safetensors does not fit the encoder: Missing key.*layer3"):
            self.build(tmp_path / "bare.safetensors", depth=4)

    def test_of_another_encoder(self, tmp_path):
        save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
        with pytest.raises(SegError, match=r"other\.safetensors does not fit the encoder"):
            self.build(tmp_path / "other.safetensors")

    def test_missing(self, tmp_path):
        with pytest.raises(SegError, match="no such file"):
            self.build(tmp_path / "none.safetensors")

    def test_not_safetensors(self, tmp_path):
        (tmp_path / "cut.safetensors").write_bytes(b"not tensors")
        with pytest.raises(SegError, match="not a readable safetensors file"):
            self.build(tmp_path / "cut.safetensors")
        with pytest.raises(SegError, match=r"expected null, 'imagenet' or a path to a \.safetensors file"):
            self.build(tmp_path / "weights.pt")

    @pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
    def test_imagenet_without_a_network(self, tmp_path, monkeypatch, encoder):
        from huggingface_hub import constants

        def refuse(*arguments, **options):
            raise OSError("no network in tests")

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))  # nothing fetched before
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub's client tries again, more and more slowly
        with pytest.raises(SegError) as caught:
            build_network(CLASSES, ModelConfig(encoder=encoder, encoder_weights="imagenet"))
        message = str(caught.value)
        assert "\n" not in message
        assert f"the weights of {encoder!r} could not be fetched" in message
        assert "encoder_weights=null" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "resnet81"}, "no encoder named 'resnet81'; did you mean 'resnet18'"),
        ({"encoder": "tu-mobilenetv4_conv_smal"}, "did you mean 'tu-mobilenetv4_conv_small'"),
        ({"encoder": "???"}, r"no encoder named '\?\?\?'; see segmentation-models-pytorch's list"),
        ({"encoder_options": {"depth": 2}}, "depth: expected 3 to 5 stages, got 2"),
        ({"encoder_options": {"depth": "deep"}}, "depth: expected 3 to 5 stages, got 'deep'"),
        ({"encoder_options": {"colour": 1}}, "encoder_options colour: only timm's"),
        ({"encoder": "tu-resnet10t", "encoder_options": {"colour": 1}}, "encoder 'tu-resnet10t': .*colour"),
        ({"encoder": "tu-convnext_atto", "encoder_options": {"depth": 4}, "decoder": "fpn"}, "of 'fpn': it needs four"),
        ({"decoder_options": {"chanels": 3}}, "decoder_options of 'unet': .*chanels"),
        ({"decoder_options": {"channels": [8, 8]}}, "decoder_options of 'unet': "),
    ],
)
def test_what_cannot_be_built_is_said(changes, message):
    with pytest.raises(SegError, match=message):
        build_network(CLASSES, ModelConfig(**{"encoder": "resnet18", **changes}))


def test_the_seed_decides_the_weights():
    same = [network(seed, encoder_options={"depth": 3}).state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(value, same[1][name]) for name, value in same[0].items())
    assert not all(torch.equal(value, same[2][name]) for name, value in same[0].items())
    assert not np.isnan(same[0]["head.weight"].numpy()).any()
