"""Weights as they ship under ``train/weights``: a clean commit, and nothing stored twice."""

from __future__ import annotations

import json
from pathlib import Path

from train.gaze.checkpoints import load_model
from train.gaze.exported import rest_of
from train.loop.weight_cards import MODEL, check_commit, write_weights


def ship(run: Path, onnx_file: Path, out: Path) -> Path:
    """Write a finished run's weights to ``out``, without what its exported network holds.

    Returns the folder, which loads as the run does as long as ``onnx_file`` is the SDK's.  Raises
    :class:`ValueError` for a run of files that no commit holds, and for a file of another network.
    """
    card = json.loads((run / f"{MODEL}.json").read_text())
    check_commit(card.get("commit"), run)
    rest, about = rest_of(load_model(run), onnx_file)
    out.mkdir(parents=True, exist_ok=True)
    write_weights(out, MODEL, rest, card, exported_to=about)
    return out
