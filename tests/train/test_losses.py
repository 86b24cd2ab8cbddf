"""The losses against torch's own, against brute force, and where they must say nothing."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seg.classes import load_ontology
from seg.config import LossConfig
from seg.labels import LabelSpace, load_label_set
from train.losses import SegmentationLoss, dice_loss, lovasz_loss, set_cross_entropy, value_weights

DRIVE = load_ontology("drive")
SPACE = LabelSpace(DRIVE, [load_label_set("camvid11", DRIVE), load_label_set("synthetic", DRIVE)])
quick = settings(max_examples=40, deadline=None, derandomize=True)


def logits_of(seed, classes, scale=3.0, size=(2, 5, 7)):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(size[0], classes, *size[1:], generator=generator)


def labels_of(seed, values, size=(2, 5, 7), ignored=0.2):
    generator = torch.Generator().manual_seed(seed + 1)
    labels = torch.randint(0, values, size, generator=generator).to(torch.uint8)
    return torch.where(torch.rand(size, generator=generator) < ignored, 255, labels).to(torch.uint8)


def singles(classes):
    return torch.eye(classes, dtype=torch.bool)


def some_sets(seed, classes, count):
    """The single classes, then `count` larger sets."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        row = np.zeros(classes, dtype=bool)
        row[generator.choice(classes, generator.integers(2, classes + 1), replace=False)] = True
        rows.append(row)
    return torch.cat([singles(classes), torch.from_numpy(np.array(rows).reshape(-1, classes))])


seeds = st.integers(0, 10_000)


@quick
@given(seeds, st.integers(2, 19), st.floats(0.1, 30))
def test_of_sets_of_one_it_is_cross_entropy(seed, classes, scale):
    logits, labels = logits_of(seed, classes, scale), labels_of(seed, classes)
    ours = set_cross_entropy(logits, labels, singles(classes))
    torchs = F.cross_entropy(logits, labels.long(), ignore_index=255, reduction="none")
    torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-6)


@quick
@given(seeds, st.integers(2, 8), st.integers(1, 4))
def test_of_larger_sets_it_is_the_log_of_the_sum(seed, classes, count):
    member = some_sets(seed, classes, count)
    logits, labels = logits_of(seed, classes), labels_of(seed, len(member))
    ours = set_cross_entropy(logits, labels, member)
    probability = logits.double().softmax(1)
    for b, y, x in np.ndindex(*labels.shape):
        value = int(labels[b, y, x])
        expected = 0.0 if value == 255 else -float(torch.log(probability[b, member[value], y, x].sum()))
        assert float(ours[b, y, x]) == pytest.approx(expected, abs=1e-5)


@quick
@given(seeds, st.integers(2, 8))
def test_the_full_set_costs_nothing(seed, classes):
    member = torch.cat([singles(classes), torch.ones(1, classes, dtype=torch.bool)])
    logits = logits_of(seed, classes, 10.0).requires_grad_()
    loss = set_cross_entropy(logits, torch.full((2, 5, 7), classes, dtype=torch.uint8), member)
    loss.sum().backward()
    assert loss.abs().max() < 1e-5
    assert logits.grad.abs().max() < 1e-5


CONFIGS = [
    LossConfig(),
    LossConfig(dice=1.0),
    LossConfig(lovasz=1.0),
    LossConfig(dice=0.5, lovasz=0.5, label_smoothing=0.1),
]


@pytest.mark.parametrize("config", CONFIGS)
@quick
@given(seeds)
def test_ignored_pixels_give_no_gradient(config, seed):
    loss = SegmentationLoss(config, SPACE, torch.rand(len(SPACE.sets)) + 0.1)
    logits, labels = logits_of(seed, 5).requires_grad_(), labels_of(seed, len(SPACE.sets), ignored=0.5)
    loss(logits, labels, loss.total_weight(labels)).backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad.movedim(1, -1)[labels == 255].any()
    assert logits.grad.any()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_batch_of_ignored_pixels_is_zero(config):
    loss = SegmentationLoss(config, SPACE, torch.ones(len(SPACE.sets)))
    logits, labels = logits_of(0, 5).requires_grad_(), torch.full((2, 5, 7), 255, dtype=torch.uint8)
    value = loss(logits, labels, loss.total_weight(labels))
    value.backward()
    assert value == 0
    assert not logits.grad.any()


@quick
@given(seeds, st.integers(1, 4))
def test_the_parts_of_a_batch_add_up(seed, parts):
    loss = SegmentationLoss(LossConfig(label_smoothing=0.1), SPACE, torch.rand(len(SPACE.sets)) + 0.1)
    size = (4, 5, 7)
    logits, labels = logits_of(seed, 5, size=size), labels_of(seed, len(SPACE.sets), size)
    total = loss.total_weight(labels)
    whole = loss(logits, labels, total)
    added = sum(loss(a, b, total) for a, b in zip(logits.chunk(parts), labels.chunk(parts), strict=True))
    torch.testing.assert_close(added, whole, rtol=1e-5, atol=1e-6)


def test_it_is_torchs_weighted_cross_entropy_for_sets_of_one():
    weight = torch.tensor([0.5, 1.0, 4.0, 2.0, 3.0])
    loss = SegmentationLoss(LossConfig(), LabelSpace(DRIVE), weight)
    logits, labels = logits_of(0, 5), labels_of(0, 5)
    expected = F.cross_entropy(logits, labels.long(), weight, ignore_index=255)
    torch.testing.assert_close(loss(logits, labels, loss.total_weight(labels)), expected, rtol=1e-6, atol=1e-6)
    smoothed = SegmentationLoss(LossConfig(label_smoothing=0.2), LabelSpace(DRIVE), torch.ones(5))
    expected = F.cross_entropy(logits, labels.long(), ignore_index=255, label_smoothing=0.2)
    torch.testing.assert_close(smoothed(logits, labels, smoothed.total_weight(labels)), expected, rtol=1e-5, atol=1e-6)


REGION = [dice_loss, lovasz_loss]


@pytest.mark.parametrize("region", REGION)
@quick
@given(seeds, st.integers(2, 6))
def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_all(region, seed, classes):
    labels = labels_of(seed, classes)
    shown = torch.where(labels == 255, 0, labels.long())
    perfect = 50.0 * F.one_hot(shown, classes).movedim(-1, 1).float()
    assert region(perfect, labels, singles(classes)) < 1e-4
    wrong = 50.0 * F.one_hot((shown + 1) % classes, classes).movedim(-1, 1).float()
    assert region(wrong, labels, singles(classes)) > 0.99


@pytest.mark.parametrize("region", REGION)
@quick
@given(seeds, st.floats(0.1, 50))
def test_region_gradients_are_finite(region, seed, scale):
    member = some_sets(seed, 5, 3)
    logits = logits_of(seed, 5, scale).requires_grad_()
    value = region(logits, labels_of(seed, len(member)), member)
    value.backward()
    assert 0 <= value <= 1 + 1e-6
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("region", REGION)
@quick
@given(seeds)
def test_what_the_labels_cannot_tell_does_not_matter(region, seed):
    """In a pixel of {0, 1}, moving probability between 0 and 1 changes nothing."""
    member = torch.cat([singles(4), torch.tensor([[True, True, False, False]])])
    logits, labels = logits_of(seed, 4), labels_of(seed, 5)
    moved = logits.clone()
    unknown = (labels == 4).unsqueeze(1)
    moved[:, :2] = torch.where(unknown, logits[:, :2].flip(1), logits[:, :2])
    torch.testing.assert_close(region(moved, labels, member), region(logits, labels, member), rtol=1e-5, atol=1e-6)


def test_lovasz_is_the_jaccard_loss_of_a_hard_prediction():
    labels = torch.tensor([[[0, 0, 0, 1, 1, 1]]], dtype=torch.uint8)
    hard = 50.0 * F.one_hot(torch.tensor([[[0, 0, 1, 1, 1, 0]]]), 2).movedim(-1, 1).float()
    # both classes: 2 right, 1 missed, 1 too many
    assert float(lovasz_loss(hard, labels, singles(2))) == pytest.approx(1 - 2 / 4, abs=1e-4)
    assert float(dice_loss(hard, labels, singles(2))) == pytest.approx(1 - 4 / 6, abs=1e-4)


counts = st.lists(st.integers(0, 10**9), min_size=len(SPACE.sets), max_size=len(SPACE.sets)).filter(any)


@quick
@given(counts, st.floats(0, 1))
def test_weights_have_a_mean_of_one_over_pixels(pixels, power):
    pixels = torch.tensor(pixels)
    weights = value_weights(pixels, SPACE, power)
    assert (weights > 0).all()
    assert weights.isfinite().all()
    assert float((weights.double() * pixels).sum() / pixels.sum()) == pytest.approx(1, rel=1e-5)


@quick
@given(counts)
def test_power_zero_weighs_all_alike(pixels):
    torch.testing.assert_close(value_weights(torch.tensor(pixels), SPACE, 0.0), torch.ones(len(SPACE.sets)))


def test_rare_classes_weigh_more_by_the_power():
    weights = value_weights(torch.tensor([8100, 900, 900, 100, 0]), LabelSpace(DRIVE), 0.5)
    assert weights[1] / weights[0] == pytest.approx(3, rel=1e-3)
    assert weights[3] / weights[0] == pytest.approx(9, rel=0.01)
    # no class weighs more than a thousandth of the pixels would
    assert weights[4] / weights[0] == pytest.approx((0.81 / 1e-3) ** 0.5, rel=1e-3)


def test_a_larger_set_weighs_what_its_members_do_over_pixels():
    """CamVid's road | lane, with few lanes: near the road's weight, not the lane's."""
    pixels = dict.fromkeys(map(SPACE.name, range(len(SPACE.sets))), 0)
    pixels |= {"background": 5000, "road": 4900, "lane": 100, "road|lane": 1000}
    weights = value_weights(torch.tensor(list(pixels.values())), SPACE, 0.5)
    by_name = dict(zip(pixels, weights.tolist(), strict=True))
    assert by_name["road"] < by_name["road|lane"] < 1.3 * by_name["road"]
    assert by_name["lane"] > 5 * by_name["road"]


def test_region_losses_look_at_every_step_th_row_and_column():
    logits, labels = logits_of(0, 5, size=(2, 9, 14)), labels_of(0, len(SPACE.sets), (2, 9, 14))
    weight = torch.rand(len(SPACE.sets)) + 0.1
    plain, whole, coarse = (
        SegmentationLoss(LossConfig(**options), SPACE, weight)
        for options in ({}, {"dice": 1.0, "lovasz": 1.0}, {"dice": 1.0, "lovasz": 1.0, "region_step": 3})
    )
    total = plain.total_weight(labels)
    assert torch.equal(coarse.total_weight(labels), total)
    regions = coarse(logits, labels, total) - plain(logits, labels, total)
    thinned = logits[..., ::3, ::3], labels[..., ::3, ::3]
    expected = dice_loss(*thinned, plain.member_SC) + lovasz_loss(*thinned, plain.member_SC)
    torch.testing.assert_close(regions, expected, rtol=1e-5, atol=1e-5)
    assert abs(float(whole(logits, labels, total) - coarse(logits, labels, total))) > 1e-3


def auxiliary_of(weight=None, **options):
    return SegmentationLoss(LossConfig(**options), SPACE, torch.ones(len(SPACE.sets)) if weight is None else weight)


@quick
@given(seeds, st.integers(1, 4), st.sampled_from([(32, 48), (30, 41)]))
def test_the_auxiliary_losses_of_parts_add_up(seed, parts, size):
    """Weighed against brute force: each coarse pixel has the label in its middle, if the frame reaches that far."""
    weight = torch.rand(len(SPACE.sets), generator=torch.Generator().manual_seed(seed)) + 0.1
    loss = auxiliary_of(weight, auxiliary=0.3)
    labels = labels_of(seed, len(SPACE.sets), (4, *size))
    logits = [logits_of(seed + stride, 5, size=(4, 32 // stride, 48 // stride)) for stride in (8, 16)]
    total = loss.total_weight(labels)
    whole = loss.auxiliary(logits, labels, total)
    pieces = zip(logits[0].chunk(parts), logits[1].chunk(parts), labels.chunk(parts), strict=True)
    added = sum(loss.auxiliary((a, b), part, total) for a, b, part in pieces)
    torch.testing.assert_close(added, whole, rtol=1e-5, atol=1e-6)

    expected = 0.0
    for stride, stage in zip((8, 16), logits, strict=True):
        probability = stage.double().softmax(1)
        for b, y, x in np.ndindex(4, 32 // stride, 48 // stride):
            row, column = stride * y + stride // 2, stride * x + stride // 2
            value = int(labels[b, row, column]) if row < size[0] and column < size[1] else 255
            if value != 255:
                chosen = probability[b, SPACE.member_SC[value], y, x].sum()
                expected -= stride**2 * float(weight[value] * torch.log(chosen))
    assert float(whole) == pytest.approx(0.3 * expected / float(total), rel=1e-4)


def test_a_perfect_auxiliary_classifier_costs_nothing_where_the_frame_is_padded():
    """A frame of 30x41 in a network of stride 16: the classifier of each stage sees where its labels are."""
    loss = auxiliary_of()
    rows, columns = np.indices((30, 41))
    labels = torch.from_numpy(((rows // 8 + columns // 8) % 5).astype(np.uint8))[None]
    block_rows, block_columns = np.indices((4, 6))
    right = torch.from_numpy((block_rows + block_columns) % 5)[None]
    logits = 50.0 * F.one_hot(right, 5).movedim(-1, 1).float()
    assert float(loss.auxiliary([logits], labels, loss.total_weight(labels))) < 1e-6
    assert float(loss.auxiliary([logits.roll(1, 1)], labels, loss.total_weight(labels))) > 1


def test_auxiliary_losses_respect_ignore():
    loss = auxiliary_of()
    labels = labels_of(0, 5, (2, 32, 48), ignored=0.5)
    logits = logits_of(1, 5, size=(2, 4, 6)).requires_grad_()
    loss.auxiliary([logits], labels, loss.total_weight(labels)).backward()
    ignored = labels[:, 4::8, 4::8] == 255
    touched = logits.grad.abs().sum(1) > 0
    assert ignored.any()
    assert torch.equal(touched, ~ignored)
    nothing = torch.full_like(labels, 255)
    assert loss.auxiliary([logits], nothing, loss.total_weight(nothing)) == 0


def test_a_network_without_auxiliary_classifiers_costs_nothing_more():
    loss = auxiliary_of()
    labels = labels_of(0, 5)
    assert loss.auxiliary((), labels, loss.total_weight(labels)) == 0
