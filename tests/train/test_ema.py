"""The moving average of a network."""

import torch
from torch import nn

from train.ema import MovingAverage


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def test_it_is_the_average_by_hand():
    net = network()
    average = MovingAverage(net, 0.5)
    expected = net[0].weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            net[0].weight.add_(1)
        average.update(net, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net[0].weight.detach()
    torch.testing.assert_close(average.network[0].weight, expected)


def test_statistics_are_averaged_and_counters_copied():
    net = network().train()
    average = MovingAverage(net, 0.9)
    net(torch.randn(8, 3, 4, 4) + 5)
    average.update(net, 0)
    assert torch.equal(average.network[1].num_batches_tracked, torch.tensor(1))
    torch.testing.assert_close(average.network[1].running_mean, 0.9 * net[1].running_mean)


def test_it_stands_apart():
    net = network().train()
    average = MovingAverage(net, 0.9)
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    with torch.no_grad():
        net[0].weight.zero_()
    assert average.network[0].weight.any()


def test_decay_zero_follows_at_once():
    net = network()
    average = MovingAverage(net, 0.0)
    with torch.no_grad():
        net[0].weight.add_(1)
    average.update(net, 0)
    assert torch.equal(average.network[0].weight, net[0].weight)
