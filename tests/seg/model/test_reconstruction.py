"""The reconstruction decoder: sizes, no checkerboard at the start, and detail that interpolation cannot make."""

import pytest
import torch
from torch import nn

from seg.model.reconstruction import ReconstructionDecoder


@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize(("stride", "stop"), [(8, 1), (16, 4)])
def test_sizes_and_range(subpixel, stride, stop):
    decoder = ReconstructionDecoder(5, stride, 8, stop, subpixel).eval()
    with torch.no_grad():
        made = decoder(torch.randn(2, 5, 3, 4))
    assert made.shape == (2, 3, 3 * stride // stop, 4 * stride // stop)
    assert 0 <= made.min() <= made.max() <= 255


def test_sub_pixel_steps_begin_without_a_checkerboard():
    torch.manual_seed(0)
    decoder = ReconstructionDecoder(5, 2, 8, subpixel=True)
    first, shuffle = decoder.steps[0], decoder.steps[1]
    assert isinstance(shuffle, nn.PixelShuffle)
    with torch.no_grad():
        made = shuffle(first(torch.randn(1, 5, 6, 6)))
    for row in range(2):
        for column in range(2):
            torch.testing.assert_close(made[..., row::2, column::2], made[..., ::2, ::2])


def test_sub_pixel_steps_learn_what_is_finer_than_the_code():
    """Stripes one pixel wide, from a code that only says how bright they are."""

    def error(subpixel):
        torch.manual_seed(0)
        decoder = ReconstructionDecoder(1, 4, 16, subpixel=subpixel)
        optimizer = torch.optim.Adam(decoder.parameters(), 0.01)
        stripes = torch.arange(40) % 2 * 1.0
        for _ in range(120):
            code = torch.rand(8, 1, 1, 1).expand(-1, -1, 10, 10)
            wanted = (code[:, :, :1, :1] * stripes).expand(-1, 3, 40, 40)
            loss = (decoder(code) / 255 - wanted)[..., 14:-14, 14:-14].square().mean()  # far from the border
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss)

    assert error(subpixel=True) < 0.2 * error(subpixel=False)
