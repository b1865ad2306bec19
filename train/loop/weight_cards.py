"""Cards of the weights under ``train/weights``: what a file is, of what and how it was made."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from train.data.tables import GazeDataset
from train.gaze.checkpoints import commit

CARD = "card.json"
SHIPPED = Path(__file__).parents[1] / "weights"
FACE_MODEL = "ICT-FaceKit (MIT licence), https://github.com/ICT-VGL/ICT-FaceKit"


def write_card(weights: Path, dataset: GazeDataset, about: Mapping[str, Any]) -> Path:
    """Write ``card.json`` beside a file of weights.

    ``about`` has what only the caller knows: name, trained_on, figures, intended_use, limits and
    more.  Raises :class:`ValueError` for a card under ``train/weights`` that no commit can make
    again (:func:`check_commit`).
    """
    if weights.resolve().is_relative_to(SHIPPED):
        check_commit(commit(), weights)
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
        "commit": commit(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
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
            f"{where} was made by files that no commit holds ({commit_}), so it cannot be made "
            "again and does not ship; commit them, train again, or write it elsewhere"
        )


def running_command() -> str:
    """The command that this process was started by, as ``python -m MODULE ARGUMENTS``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"-m {spec.name}" if spec is not None else sys.argv[0]
    return f"python {name} {shlex.join(sys.argv[1:])}".rstrip()
