"""Learning-rate schedules: where they start, peak and end."""

import pytest

from seg.config import OptimizerConfig
from train.schedule import factor


def curve(schedule, total=200, warmup=0.1):
    rate = factor(OptimizerConfig(schedule=schedule, warmup=warmup), total)
    return [rate(step) for step in range(total)]


@pytest.mark.parametrize("schedule", ["onecycle", "poly"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_up_to_one_and_down(schedule, warmup):
    rates = curve(schedule, warmup=warmup)
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert abs(peak - warmup * len(rates)) <= 1
    assert min(rates) > 0
    assert rates[-1] < 0.02


def test_ends():
    onecycle, poly = curve("onecycle"), curve("poly")
    assert onecycle[0] == pytest.approx(1 / 25)
    assert onecycle[-1] == pytest.approx(1e-4, rel=2)
    assert poly[0] == pytest.approx(1 / 20)
    assert poly[110] == pytest.approx(0.5**0.9)  # half-way down


@pytest.mark.parametrize("schedule", ["onecycle", "poly"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0.1), (2, 0.0), (3, 1.0)])
def test_the_shortest_runs(schedule, total, warmup):
    rates = curve(schedule, total, warmup)
    assert all(0 < rate <= 1 for rate in rates)
