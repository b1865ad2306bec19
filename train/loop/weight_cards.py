"""Weights that a run leaves or that are published, and the card beside each file.

A card says what a file is, of what and how it was made, and holds its SHA-256, which is compared
wherever the weights are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from train.data.tables import GazeDataset
from train.loop.states import DAMAGE, About, CheckpointError, Tensors, write_tensors

MODEL = "model"
"""Name of the weights that a finished run leaves."""
CARD = "card.json"
"""Of published weights (``train/weights``), which have a folder of their own."""
SHIPPED = Path(__file__).parents[1] / "weights"
EXPORTED = "exported"
"""Entry of a card and of a weights' header: the ONNX file that holds the rest of the weights."""
FACE_MODEL = "ICT-FaceKit (MIT licence), https://github.com/ICT-VGL/ICT-FaceKit"

_MAX_HEADER = 2**24


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
    card = {k: v for k, v in card.items() if k != EXPORTED}
    header: About = {"architecture": card["architecture"]}
    if exported_to is not None:
        card[EXPORTED] = header[EXPORTED] = dict(exported_to)
    write_tensors(path, weights, header)
    card = card | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    partial = folder / f"{name}.json.partial"
    partial.write_text(json.dumps(card, indent=2) + "\n")
    partial.replace(folder / f"{name}.json")


def read_weights(folder: Path, name: str = MODEL) -> tuple[Tensors, About]:
    """Weights of :func:`write_weights` and their header, with ``architecture``.

    Raises :class:`FileNotFoundError` where there are none and :class:`CheckpointError` for a file
    that is damaged, or is not the one that its card was written for.
    """
    path = folder / f"{name}.safetensors"
    if not os.path.isfile(path):
        there = "nothing"
        if os.path.isdir(folder):
            there = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors"))) or there
        raise FileNotFoundError(
            f"{path} does not exist (there is {there}); expected the --out of a finished run, such "
            "as of `python -m train.gaze.fit`"
        )
    data = path.read_bytes()
    check_sha256(path, data, path.with_suffix(".json"))
    try:
        size = int.from_bytes(data[:8], "little")
        if size > _MAX_HEADER:
            raise ValueError(f"its header claims {size} bytes")
        about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["about"])
        return load(data), about | {"architecture": dict(about["architecture"])}
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} is damaged, or no run wrote it ({error}); copy it again, or train again"
        ) from None


def write_mean(runs: Sequence[Path], out: Path) -> Path:
    """Write the mean of the weights of ``runs`` as those of a run; returns their file.

    Raises :class:`FileNotFoundError` for a run without weights and :class:`CheckpointError` for
    fewer than two runs, runs of different networks, or weights that are not whole.
    """
    if len(runs) < 2:
        raise CheckpointError(f"{len(runs)} run; a mean is of at least 2")
    read = [read_weights(run) for run in runs]
    first, header = read[0]
    shapes = {name: value.shape for name, value in first.items()}
    for run, (tensors, about) in zip(runs, read, strict=True):
        if EXPORTED in about:
            raise CheckpointError(
                f"{run} holds only what its {about[EXPORTED]['file']} lacks; give whole runs, such "
                "as the --out of `python -m train.gaze.fit`"
            )
        if about != header or {k: v.shape for k, v in tensors.items()} != shapes:
            raise CheckpointError(f"{run} is of another network than {runs[0]}; give runs of one")
    mean = {
        name: torch.stack([tensors[name] for tensors, _ in read]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    files = [run / f"{MODEL}.safetensors" for run in runs]
    card = {
        "architecture": header["architecture"],
        "mean_of_sha256": [hashlib.sha256(f.read_bytes()).hexdigest() for f in files],
        "commit": commit(),
        "command": running_command(),
        "versions": versions(),
    }
    write_weights(out, MODEL, mean, card)
    return out / f"{MODEL}.safetensors"


def check_sha256(path: Path, data: bytes, card: Path) -> None:
    """Compare ``data``, read of ``path``, with the SHA-256 in a card, where there is one.

    Raises :class:`CheckpointError` where they differ or the card cannot be read.
    """
    if not card.is_file():
        return
    try:
        expected = dict(json.loads(card.read_text())).get("sha256")
    except (*DAMAGE, OSError) as error:
        raise CheckpointError(
            f"{card} is no card ({error}); copy it again together with {path.name}"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if expected is not None and found != expected:
        raise CheckpointError(
            f"{path} has the SHA-256 {found}, its card {card.name} says {expected}: one of them is "
            "damaged or of another run; copy both again"
        )


def write_halves(model: nn.Module, path: Path) -> None:
    """Weights as they are published: float16, counters as they are, readable by everybody.

    The card of what was there before goes, until :func:`write_card` writes its own.
    """
    path.with_name(CARD).unlink(missing_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    halves = {k: v.half() if v.is_floating_point() else v.clone() for k, v in tensors.items()}
    save_file(halves, path)
    path.chmod(0o644)


def read_halves(path: Path) -> Tensors:
    """float32 of weights of :func:`write_halves`, compared with the card beside them.

    Raises :class:`FileNotFoundError` and :class:`CheckpointError`.
    """
    data = path.read_bytes()
    check_sha256(path, data, path.with_name(CARD))
    try:
        tensors = load(data)
    except DAMAGE as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy it again") from None
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def commit_to_begin(out: Path) -> str | None:
    """The commit of a run that begins, for its card.

    It is asked before anything is written: what the run replaces below ``train/weights`` is itself
    a file of the repository.  Raises :class:`ValueError` for an ``out`` there that no commit could
    make again (:func:`check_commit`).
    """
    found = commit()
    if out.resolve().is_relative_to(SHIPPED):
        check_commit(found, out)
    return found


def write_card(
    weights: Path, dataset: GazeDataset, about: Mapping[str, Any], began: str | None
) -> Path:
    """Write ``card.json`` beside a file of weights.

    ``about`` has what only the caller knows: name, trained_on, figures, intended_use, limits and
    more; ``began`` is what :func:`commit_to_begin` said.
    """
    data = weights.read_bytes()
    card = {
        "name": about["name"],
        "file": weights.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "Apache-2.0",
        "face_model": FACE_MODEL,
        "data_signature": dataset.signature(),
        "command": running_command(),
        "commit": began,
        "versions": versions(),
    }
    path = weights.with_name(CARD)
    path.write_text(json.dumps(card | dict(about), indent=2) + "\n")
    return path


def check_commit(commit_: str | None, where: Path) -> None:
    """Raise :class:`ValueError` for weights of a commit that does not hold the files that ran.

    What ships under ``train/weights`` must be one that can be made again.
    """
    if commit_ is None or commit_.endswith("-dirty"):
        raise ValueError(
            f"{where} is made by files that no commit holds ({commit_}), so it cannot be made "
            "again and does not ship; commit them, train again, or write it elsewhere"
        )


def versions() -> dict[str, str]:
    """Of what a run depends on most."""
    return {"python": platform.python_version(), "torch": torch.__version__}


def running_command() -> str:
    """The command that this process was started by, as ``python -m MODULE ARGUMENTS``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"-m {spec.name}" if spec is not None else sys.argv[0]
    return f"python {name} {shlex.join(sys.argv[1:])}".rstrip()


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
