"""ClassMix: whole pixels of whole classes move from one sample to the next, and nothing else happens."""

import pytest
import torch

from train.mix import mix_classes


def batch_of(samples=6, size=(9, 13), values=5, ignored=0.2):
    """Labels in which each sample stands, and frames whose every pixel tells sample, row and column."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.randint(0, values, (samples, *size), generator=generator).to(torch.uint8)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    sample, row, column = torch.meshgrid(*(torch.arange(n) for n in labels.shape), indexing="ij")
    return torch.stack([sample, row, column], 1).to(torch.uint8), labels


def mixed(seed, rgb, labels, share):
    torch.manual_seed(seed)
    return mix_classes(rgb, labels, share)


def test_a_share_of_none_returns_the_inputs():
    rgb, labels = batch_of()
    state = torch.get_rng_state()
    mixed_rgb, mixed_labels = mix_classes(rgb, labels, 0.0)
    assert mixed_rgb is rgb
    assert mixed_labels is labels
    assert torch.equal(torch.get_rng_state(), state)  # a run without it draws what it always drew


def test_every_pixel_is_wholly_of_one_of_two_samples():
    rgb, labels = batch_of()
    for seed in range(20):
        mixed_rgb, mixed_labels = mixed(seed, rgb, labels, 1.0)
        source_BHW = mixed_rgb[:, 0].long()
        own_BHW = torch.arange(len(rgb)).view(-1, 1, 1).expand_as(source_BHW)
        assert ((source_BHW == own_BHW) | (source_BHW == (own_BHW - 1) % len(rgb))).all()
        assert torch.equal(mixed_rgb[:, 1:], rgb[:, 1:])  # its place is the same
        rows, columns = mixed_rgb[:, 1].long(), mixed_rgb[:, 2].long()
        assert torch.equal(mixed_labels, labels[source_BHW, rows, columns])


def test_classes_are_pasted_whole_and_ignore_never():
    rgb, labels = batch_of()
    pasted_any = 0
    for seed in range(20):
        mixed_rgb, _ = mixed(seed, rgb, labels, 1.0)
        for index in range(len(rgb)):
            donor = labels[index - 1]
            pasted = mixed_rgb[index, 0] != index
            values = donor[pasted].unique().tolist()
            assert 255 not in values
            assert torch.equal(pasted, torch.isin(donor, torch.tensor(values, dtype=torch.uint8)))
            pasted_any += len(values)
    assert pasted_any == pytest.approx(0.5 * 5 * 20 * len(rgb), rel=0.1)  # half of the classes


def test_inputs_are_left_alone():
    rgb, labels = batch_of()
    before = rgb.clone(), labels.clone()
    mixed(0, rgb, labels, 1.0)
    assert torch.equal(rgb, before[0])
    assert torch.equal(labels, before[1])


def test_the_seed_decides():
    rgb, labels = batch_of()
    one, same, other = (mixed(seed, rgb, labels, 0.5)[1] for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_about_the_asked_share_of_samples_changes(share):
    rgb, labels = batch_of(samples=400, size=(4, 5), values=8, ignored=0.0)
    mixed_rgb, _ = mixed(0, rgb, labels, share)
    changed = (mixed_rgb != rgb).flatten(1).any(1).float().mean()
    # of about 7 values in a sample, none is chosen once in a hundred times
    assert float(changed) == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_type_and_memory_layout_stay(memory_format):
    rgb, labels = batch_of()
    mixed_rgb, mixed_labels = mixed(0, rgb.contiguous(memory_format=memory_format), labels, 1.0)
    assert not torch.equal(mixed_rgb, rgb)
    assert (mixed_rgb.dtype, mixed_labels.dtype) == (torch.uint8, torch.uint8)
    assert mixed_rgb.is_contiguous(memory_format=memory_format)
    assert mixed_labels.is_contiguous()


def test_a_sample_alone_stays_as_it_is():
    rgb, labels = batch_of(samples=1)
    for expected, made in zip((rgb, labels), mixed(0, rgb, labels, 1.0), strict=True):
        assert torch.equal(made, expected)
