"""Our encoder under every decoder, its options, and the classifiers that only training has."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_network import CLASSES, AnySize, Contract, frames, network
from timm.layers.drop import DropPath

from seg.config import ModelConfig
from seg.errors import SegError
from seg.model import build_network
from seg.model.dilated import DilatedEncoder, DilatedOptions

torch.set_num_threads(1)

SMALL = {"channels": [8, 8, 12, 16], "dilations": [1, 2]}


def dilated(seed=0, options=SMALL, **changes):
    return network(seed, **{"encoder": "dilated", "decoder": "detail", "encoder_options": dict(options), **changes})


class Dilated:
    """What turns a decoder's contract into that of the decoder on our encoder."""

    encoder = "dilated"
    shallow = 4

    @pytest.fixture
    def depth(self):
        return 4


class TestDetail(Dilated, AnySize):
    decoder = "detail"


class TestUnet(Dilated, Contract):
    decoder = "unet"


class TestLinknet(Dilated, Contract):
    decoder = "linknet"


class TestFpn(Dilated, Contract):
    decoder = "fpn"


class TestDeepLabV3Plus(Dilated, Contract):
    decoder = "deeplabv3plus"


class TestSegformer(Dilated, Contract):
    decoder = "segformer"


@pytest.mark.parametrize("channels", [(32, 32, 64, 128), (8, 12, 20, 28)])
@pytest.mark.parametrize("size", [(64, 96), (16, 48)])
def test_stages_are_as_declared(channels, size):
    encoder = DilatedEncoder(DilatedOptions(channels=channels, blocks=(2, 1), dilations=(1, 3))).eval()
    with torch.inference_mode():
        features = encoder(torch.randn(2, 3, *size))
    assert encoder.out_channels == [3, *channels]
    strides = (1, 2, 4, 8, 16)
    assert [tuple(f.shape) for f in features] == [
        (2, width, size[0] // s, size[1] // s) for width, s in zip(encoder.out_channels, strides, strict=True)
    ]
    assert encoder.output_stride == strides[-1]
    assert [len(stage) for stage in encoder.stages] == [2, 1, 2]


def test_dilation_widens_the_view_and_nothing_else():
    """How far a code pixel sees, by the gradient: each block adds its dilation twice, in steps of 16 pixels."""

    def reach(dilations):
        torch.manual_seed(0)
        encoder = DilatedEncoder(DilatedOptions(channels=(4, 4, 4, 4), blocks=(1, 1), dilations=dilations)).eval()
        frame = torch.randn(1, 3, 16, 1008).requires_grad_()
        encoder(frame)[-1][0, :, 0, 31].sum().backward()
        seen = frame.grad.abs().sum((0, 1, 2)).nonzero()
        return int(seen.max() - seen.min()) + 1, sum(p.numel() for p in encoder.parameters())

    (near, weights), (far, same) = reach((1, 1, 1)), reach((1, 4, 8))
    assert weights == same
    assert far - near == 2 * 16 * 2 * (3 + 7)


def test_evaluation_is_deterministic_and_ignores_drop_path():
    whole, dropping = dilated().eval(), dilated(options={**SMALL, "drop_path": 0.9}).eval()
    frame = frames(1, 3, 64, 96)
    with torch.inference_mode():
        expected = whole(frame).logits_BCHW
        for net in (whole, dropping, dropping):  # the seed alone made the weights
            assert torch.equal(net(frame).logits_BCHW, expected)


def test_drop_path_acts_in_training():
    frame = frames(4, 3, 32, 32)
    for share, varies in ((0.0, False), (0.5, True)):
        net = dilated(options={**SMALL, "drop_path": share}).train()
        answers = [net(frame).logits_BCHW for _ in range(4)]
        assert any(not torch.equal(one, answers[0]) for one in answers) == varies


def test_drop_path_rises_from_the_first_block_to_the_last():
    encoder = dilated(options={**SMALL, "blocks": [1, 2], "drop_path": 0.4}).encoder
    rates = [module.drop_prob for module in encoder.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_dropped_block_is_its_shortcut():
    torch.manual_seed(0)
    block = DilatedEncoder(DilatedOptions(drop_path=0.999_999)).stages[-1][-1].train()
    x = torch.rand(2, 128, 4, 4)  # nothing for the ReLU to cut
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 5}, "has 4 stages; set encoder_options.depth: 4, not 5"),
        ({"depth": 3}, "has 4 stages; set encoder_options.depth: 4, not 3"),
        ({"chanels": [8, 8, 8, 8]}, "unknown key 'chanels'; did you mean 'channels'"),
        ({"channels": [8, 8, 8]}, r"channels: .*at least 4 items.*\(got \[8, 8, 8\]\)"),
        ({"channels": 8}, "channels: .*tuple"),
        ({"channels": [8, 8, 8, 0]}, r"channels\.3: .*greater than or equal to 1 \(got 0\)"),
        ({"blocks": [1, 1, 1]}, "blocks: .*at most 2 items"),
        ({"blocks": [0, 1]}, r"blocks\.0: .*\(got 0\)"),
        ({"dilations": []}, "dilations: .*at least 1 item"),
        ({"dilations": [1, 0]}, r"dilations\.1: .*\(got 0\)"),
        ({"drop_path": 1.0}, r"drop_path: .*less than 1 \(got 1.0\)"),
        ({"drop_path": "much"}, r"drop_path: .*\(got 'much'\)"),
    ],
)
def test_what_cannot_be_built_is_said(options, message):
    with pytest.raises(SegError, match=message) as caught:
        build_network(CLASSES, ModelConfig(encoder="dilated", encoder_options=options))
    assert "'dilated'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_its_depth_need_not_be_given():
    assert dilated(options={}).stride == dilated(options={"depth": 4}).stride == 16


@pytest.mark.parametrize("whole", [True, False])
def test_weights_of_a_file(tmp_path, whole):
    trained = dilated(seed=1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1)
    save_file((trained if whole else trained.encoder).state_dict(), tmp_path / "some.safetensors")
    started = dilated(seed=2, encoder_weights=str(tmp_path / "some.safetensors"))
    torch.testing.assert_close(started.encoder.state_dict(), trained.encoder.state_dict(), rtol=0, atol=0)
    assert not torch.equal(started.head.weight, trained.head.weight)


def test_weights_that_do_not_fit(tmp_path):
    save_file(dilated().encoder.state_dict(), tmp_path / "some.safetensors")
    with pytest.raises(SegError, match=r"some\.safetensors does not fit the encoder: .*stages\.2\.2"):
        dilated(options={**SMALL, "dilations": [1, 2, 4]}, encoder_weights=str(tmp_path / "some.safetensors"))
    with pytest.raises(SegError, match=r"'imagenet': 'dilated' takes null or a path to a \.safetensors file"):
        dilated(encoder_weights="imagenet")


# the options of the auxiliary classifiers, on our encoder and on another one
AUXILIARY = {
    "dilated": {"encoder_options": {**SMALL, "drop_path": 0.1}, "decoder": "detail"},
    "resnet18": {"encoder_options": {"depth": 3}, "decoder": "linknet"},
}


@pytest.fixture(params=AUXILIARY)
def options(request):
    return {"encoder": request.param, **AUXILIARY[request.param]}


@pytest.mark.parametrize("size", [(64, 96), (50, 71)])
def test_auxiliary_logits_are_of_the_last_two_stages_in_training_only(options, size):
    net = network(**options, auxiliary=True)
    auxiliary = net.train()(frames(2, 3, *size)).auxiliary
    height, width = (-(-side // net.stride) * net.stride for side in size)
    assert [tuple(logits.shape) for logits in auxiliary] == [
        (2, CLASSES, height // stride, width // stride) for stride in net.stage_strides[-2:]
    ]
    assert net.eval()(frames(2, 3, *size)).auxiliary == ()
    assert network(**options).train()(frames(2, 3, *size)).auxiliary == ()


def test_the_auxiliary_gradient_reaches_the_encoder_and_not_the_decoder(options):
    net = network(**{**options, "auxiliary": True}).train()
    sum(logits.square().mean() for logits in net(frames(2, 3, 64, 96)).auxiliary).backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    expected = {
        name for name, _ in net.named_parameters() if name.startswith(("encoder.", "projection.", "auxiliary."))
    }
    assert touched == expected


def test_the_auxiliary_classifiers_change_no_other_weight_and_no_answer(options):
    torch.manual_seed(0)
    plain, helped = network(**options).eval(), network(**options, auxiliary=True)
    assert helped.state_dict().keys() - plain.state_dict().keys() == {
        f"auxiliary.{index}.{part}" for index in (0, 1) for part in ("weight", "bias")
    }
    with torch.inference_mode():
        torch.testing.assert_close(helped.eval()(frames(1, 3, 64, 96)), plain(frames(1, 3, 64, 96)), rtol=0, atol=0)


def test_weights_with_auxiliary_classifiers_out_and_in(options, tmp_path):
    net, other = (network(seed, **options, auxiliary=True) for seed in (0, 1))
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(other.state_dict(), net.state_dict(), rtol=0, atol=0)


def test_the_stem_of_detail_is_space_to_depth_and_a_convolution():
    """The 6x6 filter at stride 2 is the 3x3 one over pixels sorted into channels, its weights sorted back."""
    convolution = dilated().decoder.stem[0]
    assert (convolution.kernel_size, convolution.stride) == ((6, 6), (2, 2))
    over_depth_OC33 = torch.nn.functional.pixel_unshuffle(convolution.weight, 2)
    frame = torch.randn(2, 3, 32, 48)
    expected = torch.nn.functional.conv2d(torch.nn.functional.pixel_unshuffle(frame, 2), over_depth_OC33, padding=1)
    torch.testing.assert_close(convolution(frame), expected, rtol=1e-4, atol=1e-5)
