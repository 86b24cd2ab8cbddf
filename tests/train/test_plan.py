"""Which samples each step takes: all of them, shared out, and a pure function of the step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.plan import BatchPlan, PlannedBatches

quick = settings(max_examples=50, deadline=None, derandomize=True)


@quick
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 99))
def test_an_epoch_is_a_permutation(batches, batch_size, seed):
    items = batches * batch_size
    plan = BatchPlan(items, items, batch_size, seed)
    assert plan.steps_per_epoch == batches
    for epoch in range(3):
        drawn = [d.index for step in range(batches) for d in plan.batch(epoch * batches + step)]
        assert sorted(drawn) == list(range(items))


def test_epochs_differ_and_so_do_seeds():
    plan = BatchPlan(50, 50, 50, 0)
    orders = [
        tuple(d.index for d in p.batch(step)) for p, step in [(plan, 0), (plan, 1), (BatchPlan(50, 50, 50, 1), 0)]
    ]
    assert len(set(orders)) == 3


def test_an_incomplete_batch_is_left_out():
    plan = BatchPlan(10, 10, 4, 0)
    assert plan.steps_per_epoch == 2
    drawn = [d.index for step in range(2) for d in plan.batch(step)]
    assert len(set(drawn)) == 8


def test_a_long_epoch_runs_through_all_before_any_comes_again():
    plan = BatchPlan(5, 12, 3, 0)
    drawn = [d.index for step in range(4) for d in plan.batch(step)]
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list(range(5))
    assert len(set(drawn[10:])) == 2


@quick
@given(st.integers(0, 200), st.integers(0, 200), st.booleans())
def test_a_batch_depends_on_its_step_alone(step, other, weighted):
    def plan():
        return BatchPlan(17, 20, 4, 3, np.full(17, 1 / 17) if weighted else None)

    used = plan()
    used.batch(other)
    assert used.batch(step) == plan().batch(step)
    assert (used.batch(step) == used.batch(other)) is (step == other)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_processes_share_each_batch(world):
    plan = BatchPlan(64, 64, 8, 0)
    shares = [list(PlannedBatches(plan, 3, 7, rank, world)) for rank in range(world)]
    assert [len(PlannedBatches(plan, 3, 7, rank, world)) for rank in range(world)] == [4] * world
    for number, step in enumerate(range(3, 7)):
        assert [draw for share in shares for draw in share[number]] == plan.batch(step)
        assert {len(share[number]) for share in shares} == {8 // world}


def test_every_draw_has_its_own_seed():
    plan = BatchPlan(8, 8, 8, 0)
    seeds = [draw.seed for step in range(50) for draw in plan.batch(step)]
    assert len(set(seeds)) == len(seeds)


def test_weights_decide_how_often():
    weights = np.array([0.7, 0.2, 0.1, 0.0])
    plan = BatchPlan(4, 4000, 40, 0, weights)
    drawn = np.bincount([d.index for step in range(100) for d in plan.batch(step)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, weights, atol=0.03)
    assert drawn[3] == 0
