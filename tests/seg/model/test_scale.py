"""The scale of weights before a batch norm: changed without changing an answer."""

import pytest
import torch
from torch import nn

from seg.config import EncoderConfig
from seg.model.autoencoder import Autoencoder
from seg.model.scale import rescale

ENCODERS = {
    "dilated": {},
    "resnet18": {"depth": 3},
    "tu-mobilenetv4_conv_small": {},
}


def trained(encoder):
    """A network whose weights have grown, and whose batch norms have seen what they make; and its fresh state."""
    torch.manual_seed(0)
    network = Autoencoder(EncoderConfig(encoder=encoder, encoder_options=ENCODERS[encoder], code_channels=8))
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(torch.rand(()) * 30 + 2).add_(0.1 * torch.randn_like(module.weight))
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-12  # what is added to the variance is all that could tell the scales apart
                module.momentum = 0.5
    network.double().train()
    for _ in range(5):
        network(torch.rand(2, 3, 64, 64) * 255)
    return network.eval(), fresh


@pytest.mark.parametrize("encoder", ENCODERS)
def test_answers_stay_and_norms_are_those_of_fresh_weights(encoder):
    network, fresh = trained(encoder)
    picture = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        before = network.encode(picture)
        rescale(network, fresh)
        after = network.encode(picture)
    assert (before - after).abs().max() < 1e-6 * before.abs().max()
    state = network.state_dict()
    followed = [name for name in state if name.endswith(".weight") and state[name].ndim == 4 and "head" not in name]
    followed.remove("projection.weight")  # no batch norm comes after it
    for name in followed:
        assert float(state[name].norm()) == pytest.approx(float(fresh[name].norm()), rel=1e-4), name
    assert state["projection.weight"].norm() > 2 * fresh["projection.weight"].norm()


def test_hooks_and_mode_are_left_as_they_were():
    network, fresh = trained("dilated")
    network.train()
    rescale(network, fresh)
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
