"""Where a training run stands: one safetensors file, from which it goes on exactly.

Tensors are safetensors, everything else is JSON in the file's header; nothing is unpickled.  Every
file is replaced at once, so that a kill leaves the old one or the new one.  Pictures, captions and
jitter of a step depend on the seed and the step alone, so weights, the optimisers' averages and the
number of the step are all there is to keep.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

STATE = "state.safetensors"
LOG = "log.jsonl"

MAX_GAP_S = 60.0
"""A kill loses so much of a run at most (or one step, where that takes longer)."""
MIN_GAP_S = 5.0
SAVING_SHARE = 0.02
"""Of the time that a run may spend on saving, as long as that leaves no gap above MAX_GAP_S."""

About = dict[str, Any]
Tensors = dict[str, Tensor]

DAMAGE = (SafetensorError, LookupError, TypeError, ValueError, OverflowError, RecursionError)
"""What reading a damaged file raises."""


class CheckpointError(ValueError):
    """A file of a run that cannot be used; says what differs and what to do."""


class SaveClock:
    """Says when the next state is due: after the first step, then by what saving costs.

    A state that is written in 20 ms is written every 5 s, one that takes 0.5 s every 25 s, and one
    that takes longer than 1.2 s every minute.
    """

    def __init__(
        self, max_gap_s: float = MAX_GAP_S, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_gap_s, self._now = max_gap_s, now
        self._due = now()

    def due(self) -> bool:
        """Whether to save now."""
        return self._now() >= self._due

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Around what saves: measures it, and sets the time of the next."""
        began = self._now()
        yield
        ended = self._now()
        self._due = ended + min(max(MIN_GAP_S, (ended - began) / SAVING_SHARE), self.max_gap_s)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """A safetensors file with ``about`` as JSON in its header."""
    partial = path.with_name(path.name + ".partial")
    # Copies, as tied and strided tensors cannot be written.
    whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    save_file(whole, partial, metadata={"about": json.dumps(dict(about))})
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def read_tensors(path: Path) -> tuple[Tensors, About]:
    """Back from :func:`write_tensors`; raises :class:`CheckpointError` for what it did not make."""
    try:
        with safe_open(path, framework="pt") as file:
            about: About = dict(json.loads((file.metadata() or {})["about"]))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (*DAMAGE, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete it and start again") from None


def below(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Those whose names start with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> Tensors:
    """An optimiser's averages and counts, by parameter."""
    return {
        f"{prefix}{row}.{name}": value
        for row, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave, without its prefix."""
    rows: dict[int, Tensors] = {}
    for name, value in tensors.items():
        row, _, key = name.partition(".")
        rows.setdefault(int(row), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": rows, "param_groups": groups})
    # Laid out as the parameters are (channels last), or every step would be slower.
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter).copy_(value)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load strictly; raises :class:`CheckpointError` with the first differences."""
    own = model.state_dict()
    wrong = [f"{k} is missing" for k in own if k not in weights]
    wrong += [f"{k} is unknown" for k in weights if k not in own]
    wrong += [
        f"{k} has shape {tuple(weights[k].shape)}, expected {tuple(v.shape)}"
        for k, v in own.items()
        if k in weights and weights[k].shape != v.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(
            f"{path} is of another architecture: {'; '.join(wrong[:5])}{more}; give its own options"
        )
    model.load_state_dict(dict(weights))


def differences(began: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> list[str]:
    """Each option that differs, as ``name: began with …, now …``; nested names have dots."""
    found = []
    for key in sorted({*began, *now}):
        a, b = began.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{at}{key}.")
        elif a != b:
            found.append(f"{at}{key}: began with {a!r}, now {b!r}")
    return found


def check_same(folder: Path, began: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise :class:`CheckpointError` where a run's configuration is not the one it began with."""
    differ = differences(began, json.loads(json.dumps(dict(now))))
    if differ:
        lines = "\n  ".join(differ)
        raise CheckpointError(
            f"{folder} holds a run of another configuration:\n  {lines}\n"
            "give the same options to go on with it, or another folder"
        )


def log_line(folder: Path, values: Mapping[str, Any]) -> None:
    """Append to the run's log."""
    with (folder / LOG).open("a") as log:
        log.write(json.dumps(dict(values)) + "\n")


def trim_log(folder: Path, step: int) -> None:
    """Forget what was logged after ``step``: those steps are done again."""
    path = folder / LOG
    if path.is_file():
        lines = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
        path.write_text("".join(f"{line}\n" for line in lines))


def _step_of(line: str) -> float:
    """Infinity for a line that a kill cut short."""
    try:
        return float(json.loads(line)["step"])
    except DAMAGE:
        return float("inf")
