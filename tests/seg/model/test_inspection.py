"""What an encoder looks for, on filters and networks whose answers are known beforehand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seg.config import EncoderConfig
from seg.errors import SegError
from seg.model.autoencoder import Autoencoder
from seg.model.inspection import (
    PAPER,
    Place,
    cut_patches,
    decode_channel,
    first_filters,
    observe,
    orientations,
)
from seg.model.inspection_page import draw_page, signed_picture

STRIDE = 8
ANGLES = [22.5 * step for step in range(8)]


class Handmade(nn.Module):
    """Channels of the code: red, green, blue of each 8x8 block, and a dead one. Decodes by painting the blocks."""

    stage_strides = (1, 2, 4, STRIDE)

    def __init__(self):
        super().__init__()
        self.projection = nn.Conv2d(1, 4, 1)

    def encode(self, rgb_B3HW):
        height, width = rgb_B3HW.shape[-2:]
        # the padding is the brightest of all: it must not be looked at
        padded_B3HW = F.pad(rgb_B3HW.float(), (0, -width % STRIDE, 0, -height % STRIDE), value=255)
        return F.pad(F.avg_pool2d(padded_B3HW, STRIDE), (0, 0, 0, 0, 0, 1))

    def reconstruct(self, code_BKHW, size):
        return F.interpolate(code_BKHW[:, :3], size=size, mode="nearest")


def with_filters(filters_F3HW):
    network = nn.Module()
    first = nn.Conv2d(3, len(filters_F3HW), filters_F3HW.shape[-1], bias=False)
    first.weight = nn.Parameter(torch.tensor(filters_F3HW, dtype=torch.float32))
    network.encoder = nn.Sequential(nn.Identity(), first, nn.Conv2d(len(filters_F3HW), 3, 5), nn.Conv2d(3, 2, 3))
    return network


def bars(degrees, side=7, phase=0.0, colours=(1, 1, 1)):
    """A Gabor filter whose bars run at this angle, counter-clockwise from horizontal as one sees the picture."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    along = (math.cos(math.radians(degrees)), -math.sin(math.radians(degrees)))  # y points down
    across = x * -along[1] + y * along[0]
    wave = np.cos(2 * math.pi * across / 4 + phase) * np.exp(-(x**2 + y**2) / (side / 2.5) ** 2)
    return np.array(colours, dtype=float)[:, None, None] * wave


def away(degrees, expected):
    return np.abs((np.asarray(degrees) - expected + 90) % 180 - 90)


def test_bars_run_as_they_look():
    """The helper above, by eye: what it calls 0 is constant along a row, what it calls 45 rises to the right."""
    flat, rising = bars(0), bars(45)
    assert flat[0, 3].min() > 0 > flat[0, 1].max()
    assert rising[0, 4, 2] > 0.3 < rising[0, 2, 4]
    assert rising[0, 2, 2] < 0 > rising[0, 4, 4]


@pytest.mark.parametrize("side", [5, 7, 11])
@pytest.mark.parametrize("phase", [0.0, math.pi / 2, 2.0])
@pytest.mark.parametrize("colours", [(1, 1, 1), (1, -1, 0), (0, 0, 0.01)])
def test_gabor_filters_have_their_angle(side, phase, colours):
    found = first_filters(with_filters(np.stack([bars(angle, side, phase, colours) for angle in ANGLES])))
    assert away(found.degrees_F, ANGLES).max() < 5
    assert found.clear_F.all()
    assert found.bins == list(range(8))


def test_edges_of_three_pixels():
    sobel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], dtype=float)
    falling = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]], dtype=float)  # from the upper left to the lower right
    edges = np.stack([np.stack([edge] * 3) for edge in (sobel, sobel.T, falling, falling[::-1])])
    found = first_filters(with_filters(edges))
    assert away(found.degrees_F, [0, 90, 135, 45]).max() < 1
    assert found.clear_F.all()
    assert found.bins == [0, 2, 4, 6]


def test_what_has_no_orientation():
    y, x = np.mgrid[:7, :7] - 3
    blob = np.stack([np.exp(-(x**2 + y**2) / 4)] * 3)
    ring = np.stack([(x**2 + y**2 - 6) * np.exp(-(x**2 + y**2) / 4)] * 3)
    found = first_filters(with_filters(np.stack([blob, ring, np.zeros((3, 7, 7))])))
    assert not found.clear_F.any()
    assert found.bins == []
    assert np.isfinite(found.degrees_F).all()
    assert not first_filters(with_filters(np.arange(1.0, 10).reshape(3, 3, 1, 1))).clear_F.any()


@pytest.mark.parametrize("side", [3, 7])
def test_one_random_filter_in_twenty_passes(side):
    found = first_filters(with_filters(np.random.default_rng(7).normal(size=(600, 3, side, side))))
    assert 0.02 < found.clear_F.mean() < 0.09


def test_selectivity_is_a_share():
    _, selectivity = orientations(np.stack([bars(30), bars(30) + bars(120)]))
    assert 1 >= selectivity[0] > 0.5 > selectivity[1] >= 0


def test_an_encoder_without_a_convolution_over_colours():
    network = nn.Module()
    network.encoder = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 8, 3))
    with pytest.raises(SegError, match="no convolution"):
        first_filters(network)


def planted():
    """Dim noise of 60x92 pixels (8 rows and 12 columns of blocks; the centre of the last row is padding)."""
    frames = np.random.default_rng(0).integers(0, 60, (5, 60, 92, 3), dtype=np.uint8)
    frames[3, 32:40, 48:56, 1] = 250
    frames[1, 0:8, 0:8, 1] = 200
    frames[1, 16:24, 16:24, 1] = 190
    frames[4, 48:56, 88:92, 0] = 255  # its block reaches into the padding on the right, its centre is the frame's edge
    return frames


def test_the_planted_patches_are_found():
    frames = planted()
    activity = observe(Handmade(), iter(frames), 3)
    first, second, third = activity.exciting(1)
    assert first == Place(250.0, 3, 4, 6)
    assert second == Place(200.0, 1, 0, 0)
    assert third.frame in {0, 2, 4}
    assert third.value < 60
    patches = cut_patches(activity, [1], frames.__getitem__)[1]
    np.testing.assert_array_equal(patches[0], frames[3, 24:48, 40:64])
    np.testing.assert_array_equal(patches[1][8:, 8:], frames[1, :16, :16])
    assert (patches[1][:8] == PAPER).all()
    assert (patches[1][:, :8] == PAPER).all()


def test_figures_are_those_of_all_codes_at_once():
    frames = planted()
    frames[:2, :16, :, 2] = 0
    activity = observe(Handmade(), frames, 2)
    blocks = frames[:, :56, :88].reshape(5, 7, 8, 11, 8, 3).mean((2, 4)).reshape(-1, 3)
    np.testing.assert_allclose(activity.mean_K, [*blocks.mean(0), 0], atol=1e-4)
    np.testing.assert_allclose(activity.deviation_K, [*blocks.std(0), 0], atol=1e-3)
    np.testing.assert_allclose(activity.zeros_K, [0, 0, 2 * 2 * 11 / (5 * 77), 1])
    assert activity.values_KN.shape == (4, 2)
    assert activity.frames == 5
    # green holds the planted blocks
    assert activity.most_active(4)[0] == 1
    assert activity.most_active(4)[-1] == 3


def test_no_place_of_the_padding_and_none_of_a_dead_channel():
    activity = observe(Handmade(), planted(), 5)
    for channel in range(3):
        places = activity.exciting(channel)
        assert sorted(place.frame for place in places) == [0, 1, 2, 3, 4]
        assert [place.value for place in places] == sorted((place.value for place in places), reverse=True)
        assert max(place.row for place in places) < 7
        assert max(place.column for place in places) < 11
    assert activity.exciting(3) == []


def test_fewer_frames_than_patches_and_equal_frames():
    activity = observe(Handmade(), [planted()[3]] * 2, 6)
    assert activity.exciting(1) == [Place(250.0, 0, 4, 6), Place(250.0, 1, 4, 6)]


def test_a_frame_smaller_than_half_a_place():
    activity = observe(Handmade(), [np.full((3, 20, 3), 9, np.uint8), np.full((3, 20, 3), 5, np.uint8)], 1)
    assert [place.frame for place in activity.exciting(0)] == [0]


def test_no_frames_and_damaged_weights():
    with pytest.raises(SegError, match="no frames"):
        observe(Handmade(), [], 3)
    network = Handmade()
    network.encode = lambda rgb_B3HW: torch.full((1, 4, 2, 2), math.nan)
    with pytest.raises(SegError, match="not finite"):
        observe(network, planted(), 3)


def test_a_raised_channel_paints_its_colour_in_its_place():
    activity = observe(Handmade(), planted(), 1)
    for channel in range(3):
        picture = decode_channel(Handmade(), activity, channel)
        assert picture.shape == (3, 24, 24)
        lift = min(3 * activity.deviation_K[channel], activity.values_KN[channel, 0] - activity.mean_K[channel])
        expected = np.zeros((3, 24, 24))
        expected[channel, 8:16, 8:16] = lift
        np.testing.assert_allclose(picture, expected, atol=1e-3)
    assert not decode_channel(Handmade(), activity, 3).any()


def test_a_channel_is_never_raised_above_what_was_seen():
    half = np.zeros((16, 16, 3), np.uint8)
    half[:8, :, 0] = 100  # deviation 50 around a mean of 50
    picture = decode_channel(Handmade(), observe(Handmade(), [half], 1), 0)
    assert picture.max() == pytest.approx(50)


def test_a_channel_without_weights_in_the_decoder_decodes_to_nothing():
    torch.manual_seed(0)
    options = {"encoder": "resnet18", "encoder_options": {"depth": 3}, "code_channels": 4, "reconstruction_width": 16}
    network = Autoencoder(EncoderConfig(**options)).eval()
    with torch.no_grad():
        network.reconstruction.steps[1].weight[:, 2] = 0
    activity = observe(network, planted(), 2)
    peaks = [np.abs(decode_channel(network, activity, channel)).max() for channel in range(4)]
    assert peaks[2] == 0
    assert min(peaks[0], peaks[1], peaks[3]) > 1e-3


def test_signed_values_around_grey():
    values_3HW = np.zeros((3, 2, 2))
    assert (signed_picture(values_3HW) == 128).all()
    values_3HW[0, 0, 1], values_3HW[2, 1, 0] = 0.5, -1.0
    picture = signed_picture(values_3HW)
    assert picture[0, 1].tolist() == [192, 128, 128]
    assert picture[1, 0].tolist() == [128, 128, 1]


def test_the_page_shows_what_was_found():
    frames = planted()
    activity = observe(Handmade(), frames, 2)
    filters = first_filters(with_filters(np.stack([bars(angle) for angle in (170, 90, 5)])))
    patches = cut_patches(activity, [1, 3], frames.__getitem__)
    decoded = {channel: decode_channel(Handmade(), activity, channel) for channel in (1, 3)}
    page = draw_page("a title", filters, activity, patches, decoded)
    # three lines of text, filters of 49 pixels over their label, two rows of 96; 4 pixels below each
    assert page.shape == (3 * 24 + 49 + 20 + 4 + 2 * 100, 850, 3)
    for number, angle in enumerate((170, 5, 90)):  # by orientation, and 170 is nearest to 0
        tile = signed_picture(bars(angle)).repeat(7, 0).repeat(7, 1)
        np.testing.assert_allclose(page[48:97, 53 * number : 53 * number + 49].astype(int), tile, atol=1)
    top = 3 * 24 + 49 + 20 + 4
    for slot in range(2):
        expected = patches[1][slot].repeat(4, 0).repeat(4, 1)
        np.testing.assert_array_equal(page[top : top + 96, 150 + 100 * slot : 246 + 100 * slot], expected)
    shown = signed_picture(decoded[1]).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(page[top : top + 96, 350:446], shown)
    # the dead channel has no patch, and decodes to nothing
    assert (page[top + 100 : top + 196, 150:346] == PAPER).all()
    assert (page[top + 100 : top + 196, 350:446] == 128).all()
    without = draw_page("a title", filters, activity, patches, {})
    assert without.shape == page.shape
    assert (without[top:, 350:] == PAPER).all()
