"""Learning rates over a run."""

from __future__ import annotations

import pytest
import torch

from train.loop.schedules import learning_rate, momentum


def test_a_rise_and_half_a_cosine() -> None:
    rates = [learning_rate("one_cycle", 1.0, 0.2, step, 100) for step in range(100)]
    assert rates.index(max(rates)) in (19, 20)
    assert max(rates) == pytest.approx(1)
    assert rates[0] < 0.06
    assert rates[-1] < 0.002
    assert learning_rate("constant", 1.0, 0.2, 0, 100) == 1
    assert learning_rate("cosine", 1.0, 0.2, 9, 100) == pytest.approx(0.5)
    assert learning_rate("cosine", 1.0, 0.2, 60, 100) == pytest.approx(0.5)
    assert momentum("one_cycle", 0.2, 0, 100) is None


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (37, 0.3), (450, 0.1), (12, 0.1)])
@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler")
def test_with_momentum_it_is_the_one_cycle_of_torch(steps: int, warmup: float) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=steps, pct_start=warmup
    )
    for step in range(steps):
        group = optimizer.param_groups[0]
        rate = learning_rate("one_cycle_momentum", 2e-3, warmup, step, steps)
        assert rate == pytest.approx(group["lr"], rel=1e-9, abs=1e-12)
        beta = momentum("one_cycle_momentum", warmup, step, steps)
        assert beta == pytest.approx(group["betas"][0], rel=1e-9)
        if step < steps - 1:
            schedule.step()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_runs_of_hardly_any_steps(steps: int) -> None:
    for step in range(steps):
        rate = learning_rate("one_cycle_momentum", 1.0, 0.1, step, steps)
        assert 0 < rate <= 1
