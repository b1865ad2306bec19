"""Files of a gaze training run: its state, to go on from exactly, and the weights it leaves.

Tensors are safetensors, everything else is JSON; nothing is unpickled.  Every file is replaced at
once, so that a kill leaves the old one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from train.gaze import exported
from train.gaze.models import Architecture, GazeModel, ModelError, model_of

STATE = "state.safetensors"
MODEL = "model"

About = dict[str, Any]
Tensors = dict[str, Tensor]


class CheckpointError(ValueError):
    """A file of a run that cannot be used; says what differs and what to do."""


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
            about: About = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
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


def write_weights(
    folder: Path,
    name: str,
    weights: Mapping[str, Tensor],
    card: About,
    *,
    exported_to: Mapping[str, str] | None = None,
) -> None:
    """``NAME.safetensors`` and its card ``NAME.json``, which holds the other's SHA-256.

    ``exported_to`` names the network's file that holds the rest of the weights
    (:mod:`train.gaze.exported`); without it they are whole, whatever ``card`` was copied from.
    """
    path = folder / f"{name}.safetensors"
    card = {k: v for k, v in card.items() if k != exported.KEY}
    header: About = {"architecture": card["architecture"]}
    if exported_to is not None:
        card[exported.KEY] = header[exported.KEY] = dict(exported_to)
    write_tensors(path, weights, header)
    card = card | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    partial = folder / f"{name}.json.partial"
    partial.write_text(json.dumps(card, indent=2) + "\n")
    partial.replace(folder / f"{name}.json")


def load_model(folder: Path | str, name: str = MODEL) -> GazeModel:
    """The gaze model of a run, in evaluation mode; ``name`` may be one of its last epochs.

    Raises :class:`FileNotFoundError` where there is none, :class:`CheckpointError` for a file that
    is damaged or of another architecture than its card says.
    """
    path = Path(folder) / f"{name}.safetensors"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in Path(folder).glob("*.safetensors"))) or "nothing"
        raise FileNotFoundError(
            f"{path} does not exist (there is {there}); expected the --out of "
            "`python -m train.gaze.fit`"
        )
    weights, about = read_tensors(path)
    try:
        model = model_of(architecture_of(about["architecture"]))
    except (KeyError, TypeError, ModelError) as error:
        raise CheckpointError(f"{path} states no usable architecture: {error}") from None
    if exported.KEY in about:
        there = about[exported.KEY]
        file = exported.bundled(there["file"])
        try:
            weights = exported.completed(model, weights, file, there["sha256"])
        except exported.ExportedMismatch as error:
            raise CheckpointError(f"{path}: {error}") from None
    load_weights(model, weights, path)
    return model.eval()


def architecture_of(card: Mapping[str, Any]) -> Architecture:
    """The ``architecture`` of a card; those from before ``signed`` have no such layer.

    Raises :class:`KeyError` and :class:`TypeError` for one that is none.
    """
    tuples = {"mean": tuple(card["mean"]), "std": tuple(card["std"])}
    return Architecture(**{"signed": False, **card, **tuples})


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
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


def commit() -> str | None:
    """Commit of the code that runs, with ``-dirty`` where files differ; None outside git."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
