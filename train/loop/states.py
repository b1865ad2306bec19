"""Where a training run stands: one safetensors file, from which it goes on exactly.

Pictures, captions and jitter of a step depend on the seed and the step alone, so weights, the
optimiser's averages and the number of the step are all there is to keep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

STATE = "state.safetensors"
LOG = "log.jsonl"

About = dict[str, Any]


def save_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, about: Mapping[str, Any]
) -> None:
    """Replace the state at once, so that a kill leaves the old one or the new one.

    ``about`` is kept as JSON in the file's header: the step, options and seconds so far.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for row, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{row}.{k}": v for k, v in values.items() if v is not None}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{STATE}.partial"
    # Copies, as tied and strided tensors cannot be written.
    whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    save_file(whole, partial, metadata={"about": json.dumps(dict(about))})
    partial.replace(folder / STATE)


def load_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    options: Mapping[str, Any],
    *,
    free: tuple[str, ...] = (),
) -> About | None:
    """Put the state of ``folder`` into model and optimiser; None where there is none.

    ``options`` must equal those that the run began with (``about["options"]``), except for those
    named ``free``.  Raises :class:`ValueError` where they differ or the file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about: About = json.loads((file.metadata() or {})["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and start again") from None
    _compare(folder, about["options"], json.loads(json.dumps(dict(options))), free)
    model.load_state_dict(_below(tensors, "model."))
    rows: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer.").items():
        row, _, key = name.partition(".")
        rows.setdefault(int(row), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": rows, "param_groups": groups})
    return about


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _compare(folder: Path, began: About, now: About, free: tuple[str, ...]) -> None:
    differ = [k for k in sorted({*began, *now} - {*free}) if began.get(k) != now.get(k)]
    if differ:
        what = ", ".join(f"{k} {began.get(k)!r}, now {now.get(k)!r}" for k in differ)
        raise ValueError(
            f"{folder} holds a run with other options: {what}; give the same or another --out"
        )


def log_line(folder: Path, values: Mapping[str, Any]) -> None:
    """Append to the run's log."""
    with (folder / LOG).open("a") as log:
        log.write(json.dumps(dict(values)) + "\n")


def trim_log(folder: Path, step: int) -> None:
    """Forget what was logged after ``step``: those steps are done again."""
    path = folder / LOG
    if path.is_file():
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in lines))


def write_halves(model: nn.Module, path: Path) -> None:
    """Weights as they are published: float16, counters as they are, readable by everybody."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    halves = {k: v.half() if v.is_floating_point() else v.clone() for k, v in tensors.items()}
    save_file(halves, path)
    path.chmod(0o644)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float32 of weights of :func:`write_halves`."""
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
