"""When a run is saved, and files that cannot be used."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from train.loop.states import (
    CheckpointError,
    SaveClock,
    below,
    check_same,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    read_tensors,
    trim_log,
    write_tensors,
)


def simulated(step_s: float, save_s: float, minutes: float) -> tuple[list[float], float]:
    """Times at which states are written in a run whose clock is ours, and the share of saving."""
    time = [0.0]
    clock = SaveClock(now=lambda: time[0])
    saved = []
    while time[0] < 60 * minutes:
        time[0] += step_s
        if clock.due():
            with clock.saving():
                time[0] += save_s
            saved.append(time[0])
    return saved, save_s * len(saved) / time[0]


@pytest.mark.parametrize(
    ("step_s", "save_s"), [(0.01, 0.001), (0.5, 0.1), (0.7, 0.5), (2.0, 1.2), (5.0, 10.0)]
)
def test_a_kill_loses_a_minute_at_most(step_s: float, save_s: float) -> None:
    saved, share = simulated(step_s, save_s, minutes=10)
    assert saved[0] <= step_s + save_s + 1e-9  # long before a minute is over
    gaps = [b - a for a, b in itertools.pairwise(saved)]
    # Of work that is lost: from one state to the end of the step before the next.
    assert max(gaps) <= 60 + step_s + save_s + 1e-6
    if save_s <= 1.2:
        assert share < 0.025  # the first is written at once
        assert min(gaps) >= 5
    else:
        assert max(gaps) >= 59  # no oftener than it must


def test_a_shorter_gap_may_be_asked_for() -> None:
    time = [0.0]
    clock = SaveClock(0.0, now=lambda: time[0])
    with clock.saving():
        time[0] += 3.0
    assert clock.due()


def test_a_state_comes_back_with_momentum_and_layout(tmp_path: Path) -> None:
    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    model, optimizer = made()
    model(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    path = tmp_path / "state.safetensors"
    write_tensors(path, {**model.state_dict(), **optimizer_tensors(optimizer, "o.")}, {"step": 1})
    tensors, about = read_tensors(path)
    assert about == {"step": 1}
    again, other = made()
    weights = {name: tensors[name] for name in ("weight", "bias")}
    load_weights(again, weights, path)
    load_optimizer(other, below(tensors, "o."))
    assert torch.equal(again.weight, model.weight)
    momentum = other.state[again.weight]["momentum_buffer"]
    assert torch.equal(momentum, optimizer.state[model.weight]["momentum_buffer"])
    assert momentum.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(CheckpointError, match="began with 1, now 2"):
        check_same(tmp_path, {"a": 1}, {"a": 2})
    with pytest.raises(CheckpointError, match="another architecture"):
        load_weights(torch.nn.Conv2d(3, 5, 3), weights, path)


@pytest.mark.parametrize(
    "header", ['"[1, 2]"', '"nonsense"', '"{"', json.dumps("[" * 100_000), "3", "null"]
)
def test_headers_of_other_programs_are_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.zeros(2)}, {"step": 1})
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    whole = json.loads(data[8 : 8 + size])
    text = json.dumps(whole | {"__metadata__": {"about": "@"}}).replace('"@"', header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    with pytest.raises(CheckpointError, match=r"a\.safetensors is damaged"):
        read_tensors(path)


def test_a_log_forgets_later_steps_and_lines_cut_short(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 2}\n{"step": 4}\n{"step": 6}\n{"ste')
    trim_log(tmp_path, 4)
    assert log.read_text() == '{"step": 2}\n{"step": 4}\n'
