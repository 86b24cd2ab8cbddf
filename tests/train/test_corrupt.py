"""What each corruption changes, what it leaves alone, and that the generator alone decides."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seg.config import CorruptionConfig
from train.corrupt import corrupt

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)
shares = st.floats(0.01, 1)
sizes = st.tuples(st.integers(20, 50), st.integers(20, 50))
EVERYTHING = CorruptionConfig(grey=0.5, watermark=0.5, blocks=0.2, block_size=8, pixels=0.1, noise=0.1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def frames(seed=0, batch=2, size=(40, 50)):
    """Random frames without the value 128, so that what is erased differs from what was there."""
    rgb = torch.randint(0, 255, (batch, 3, *size), generator=seeded(seed), dtype=torch.uint8)
    return torch.where(rgb == 128, 255, rgb).to(torch.uint8)


def corrupted(rgb, seed=1, **shares):
    return corrupt(rgb, CorruptionConfig(**shares), seeded(seed))


def flat(value, batch=1, size=(240, 320)):
    return torch.full((batch, 3, *size), value, dtype=torch.uint8)


def test_nothing_asked_nothing_done():
    rgb = frames()
    out, changed = corrupted(rgb)
    assert torch.equal(out, rgb)
    assert out.data_ptr() != rgb.data_ptr()  # a caller may write into one without spoiling the other
    assert changed.shape == (2, 1, 40, 50)
    assert changed.dtype == torch.bool
    assert not changed.any()


@quick
@given(seeds)
def test_the_generator_alone_decides(seed):
    rgb = frames(seed)
    before, state = rgb.clone(), torch.random.get_rng_state()
    first, second, other = (corrupt(rgb, EVERYTHING, seeded(s)) for s in (seed, seed, seed + 1))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(rgb, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_next_call_does_something_else():
    generator = seeded(3)
    first, second = (corrupt(frames(), CorruptionConfig(blocks=0.3, block_size=8), generator)[1] for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_alone_each_frame_suffers_one_kind_and_each_kind_as_often():
    rgb = flat(40, batch=400, size=(32, 32))
    rgb[:, 0] = 200  # so that it has a colour to lose
    strengths = {"grey": 1.0, "watermark": 1.0, "blocks": 0.3, "block_size": 8, "noise": 0.1}
    out, changed = corrupted(rgb, alone=True, **strengths)
    grey = (out == out[:, :1]).all(dim=1).all(dim=(1, 2))
    noisy = ((out != rgb).all(dim=1).float().mean(dim=(1, 2)) > 0.6) & ~grey
    replaced = changed.flatten(1).any(dim=1)
    whole = (out == rgb).all(dim=1)
    assert (whole | changed[:, 0])[replaced].all()  # around a watermark or a block nothing else has changed
    assert 60 < grey.sum() < 140
    assert 60 < noisy.sum() < 140
    assert 140 < replaced.sum() < 260
    assert (grey.int() + noisy.int() + replaced.int() == 1).all()


def test_alone_with_nothing_to_do_does_nothing():
    rgb = frames()
    assert torch.equal(corrupted(rgb, alone=True)[0], rgb)


@pytest.mark.parametrize("config", [EVERYTHING, EVERYTHING.model_copy(update={"alone": True})], ids=["all", "alone"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dtype_and_memory_format_stay_and_do_not_matter(memory_format, config):
    rgb = frames(batch=6)
    out, _ = corrupt(rgb.contiguous(memory_format=memory_format), config, seeded(0))
    assert out.dtype == torch.uint8
    assert out.is_contiguous(memory_format=memory_format)
    assert torch.equal(out, corrupt(rgb, config, seeded(0))[0])


@quick
@given(seeds, shares, sizes, st.integers(1, 60))
def test_blocks_erase_the_share(seed, share, size, side):
    rgb = frames(seed, size=size)
    out, changed = corrupted(rgb, seed, blocks=share, block_size=side)
    assert torch.equal(changed, (out != rgb).any(1, keepdim=True))
    assert torch.equal(changed.expand_as(out), out == 128)
    area, asked = changed.sum((1, 2, 3)), share * size[0] * size[1]
    assert (area > 0).all()
    # the nearest number of cells; where even one is too many, that one
    assert (((area - asked).abs() <= side**2 / 2) | (area <= side**2)).all()


@quick
@given(seeds, shares)
def test_blocks_are_cells_of_a_grid(seed, share):
    side, (height, width) = 5, (24, 31)
    _, changed = corrupted(frames(seed, 1, (height, width)), seed, blocks=share, block_size=side)
    mask = changed[0, 0].numpy()

    def fits(above, left):
        rows, columns = (np.arange(height) + above) // side, (np.arange(width) + left) // side
        return all(
            len(np.unique(mask[np.ix_(rows == row, columns == column)])) == 1
            for row in np.unique(rows)
            for column in np.unique(columns)
        )

    assert any(fits(above, left) for above in range(side) for left in range(side))


def test_blocks_fall_everywhere():
    _, changed = corrupted(frames(batch=400, size=(20, 30)), blocks=0.3, block_size=7)
    often = changed.float().mean(0)
    assert often.min() > 0.15
    assert often.max() < 0.45


@quick
@given(seeds, shares)
def test_pixels_drop_about_the_share(seed, share):
    rgb = frames(seed)
    out, changed = corrupted(rgb, seed, pixels=share)
    assert torch.equal(changed.expand_as(out), out == 128)
    assert torch.equal(out[~changed.expand_as(out)], rgb[~changed.expand_as(out)])
    count = changed.numel()
    assert abs(int(changed.sum()) - share * count) <= 5 * np.sqrt(share * (1 - share) * count) + 1


@quick
@given(seeds, st.floats(0.02, 0.12))
def test_noise_has_its_standard_deviation(seed, sigma):
    out, changed = corrupted(flat(127), seed, noise=sigma)
    error = out.double() - 127
    assert not changed.any()
    # rounding adds a variance of 1/12; the error of a standard deviation is sigma / sqrt(2n), and n is 230,400
    expected = np.sqrt((255 * sigma) ** 2 + 1 / 12)
    assert float(error.std()) == pytest.approx(expected, rel=0.01)
    assert abs(float(error.mean())) < 5 * expected / np.sqrt(error.numel())
    channels = np.corrcoef(error[0].flatten(1).numpy())
    assert np.abs(channels - np.eye(3)).max() < 0.03


def test_noise_is_clipped_not_wrapped():
    dark, bright = (corrupted(flat(value), noise=0.1)[0].double() for value in (0, 255))
    assert dark.max() < 160
    assert bright.min() > 95
    assert float((dark == 0).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert float((bright == 255).double().mean()) == pytest.approx(0.5, abs=0.02)


@quick
@given(seeds, st.floats(0, 1))
def test_grey_is_opencvs_on_some_frames_and_leaves_the_others(seed, share):
    rgb = frames(seed, batch=12, size=(9, 11))
    out, changed = corrupted(rgb, seed, grey=share)
    assert not changed.any()
    for before, after in zip(rgb, out, strict=True):
        grey = cv2.cvtColor(before.movedim(0, -1).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
        if not torch.equal(before, after):
            assert (after.numpy() == grey).all()


def test_grey_and_watermark_take_their_share_of_frames():
    rgb = frames(batch=300, size=(32, 32))
    greyed = (corrupted(rgb, grey=0.3)[0] != rgb).flatten(1).any(1)
    marked = corrupted(rgb, watermark=0.3)[1].flatten(1).any(1)
    for chosen in (greyed, marked):
        assert 60 < int(chosen.sum()) < 120  # 90, and 8 is the standard deviation
    assert (corrupted(rgb, grey=1)[0].amax(1) == corrupted(rgb, grey=1)[0].amin(1)).all()


@quick
@given(seeds, st.tuples(st.integers(32, 120), st.integers(32, 120)))
def test_a_watermark_changes_what_it_says_and_nothing_else(seed, size):
    rgb = frames(seed, batch=6, size=size)
    out, changed = corrupted(rgb, seed, watermark=1)
    outside = ~changed.expand_as(out)
    assert torch.equal(out[outside], rgb[outside])
    share = changed.float().mean((1, 2, 3))
    assert (share > 0).all()
    assert (share < 0.9).all()


@settings(quick, max_examples=10)
@given(seeds)
def test_a_watermark_is_a_colour_of_some_opacity(seed):
    """Over black it shows the colour times the opacity; over white, what it lets through besides."""
    over_black, over_white = (corrupted(flat(value, 3), seed, watermark=1)[0].int() for value in (0, 255))
    let_through = over_white - over_black
    assert (let_through.amax(1) - let_through.amin(1)).max() <= 1  # the same for all channels, but for rounding
    opacity = 1 - let_through.amin((1, 2, 3)) / 255
    assert (opacity >= 0.3).all()  # 0.4 where a pixel is covered whole, which thin strokes may not do
    assert (opacity <= 1).all()


def test_watermarks_differ():
    out, changed = corrupted(flat(100, 24), watermark=1)
    assert len({mask.numpy().tobytes() for mask in changed}) == 24
    coloured = ((out.amax(1) - out.amin(1)) > 8).flatten(1).any(1)
    assert 0 < int(coloured.sum()) < 24
    # some cover the whole frame, others stand in one place
    quarters = [changed[..., rows, columns].flatten(1).any(1) for rows in HALVES_240 for columns in HALVES_320]
    covered = torch.stack(quarters).sum(0)
    assert (covered == 4).any()
    assert (covered <= 2).any()


HALVES_240 = slice(0, 120), slice(120, 240)
HALVES_320 = slice(0, 160), slice(160, 320)


def test_the_order_is_grey_watermark_blocks_pixels_noise():
    rgb = frames(batch=12, size=(60, 80))
    out, changed = corrupted(rgb, grey=1, watermark=1)
    coloured = out.amax(1, keepdim=True) != out.amin(1, keepdim=True)
    assert coloured.any()  # a watermark over a grey frame keeps its colour
    assert not (coloured & ~changed).any()
    assert (corrupted(rgb, grey=1, watermark=1, blocks=1)[0] == 128).all()
    assert corrupted(rgb, blocks=1, pixels=0.5, noise=0.1)[0].float().std() > 20


@quick
@given(seeds)
def test_changed_is_all_that_was_replaced(seed):
    rgb = frames(seed)
    out, changed = corrupted(rgb, seed, watermark=0.5, blocks=0.2, block_size=8, pixels=0.1)
    outside = ~changed.expand_as(out)
    assert torch.equal(out[outside], rgb[outside])
    assert 0.2 < float(changed.float().mean()) < 0.95


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_device_does_not_matter():
    rgb = frames(batch=8, size=(120, 160))
    here, there = corrupt(rgb, EVERYTHING, seeded(0)), corrupt(rgb.cuda(), EVERYTHING, seeded(0))
    assert there[0].is_cuda
    assert torch.equal(here[0], there[0].cpu())
    assert torch.equal(here[1], there[1].cpu())
