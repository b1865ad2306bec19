"""What a gaze model says of people it was not trained on, in a few figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from train.data.tables import GazeDataset
from train.gaze import sheets
from train.gaze.eye_losses import inside_patch
from train.gaze.losses import angular_error
from train.gaze.models import GazeModel
from train.gaze.trainer import collate, taught_gaze

OPEN = 0.3
"""Openness of the less open eye from which both count as open."""
FEWEST = 20
"""Samples that a slope is told of."""


def held_out_figures(
    model: GazeModel,
    dataset: GazeDataset,
    *,
    device: torch.device | str = "cpu",
    batch: int = 128,
    workers: int = 0,
) -> dict[str, float]:
    """Figures in degrees and in pixels of the crop; those of what no label tells are left out.

    ``held_out_deg`` is the mean angle to the label, ``sight_deg`` to the gaze along the line of
    sight that the pixels show, ``open_deg`` that of open eyes; ``pitch_slope`` and ``yaw_slope``
    are of what is said on what is true, ``head_leak`` the coefficient of the head's pitch beside
    the gaze's; ``iris_px`` and ``lids_px`` medians of open eyes.
    """
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=workers,
        collate_fn=collate,
    )
    model = model.to(device).eval()
    rows: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for samples in loader:
            moved = {name: values.to(device) for name, values in samples.items()}
            for name, values in _of_batch(model, moved).items():
                rows.setdefault(name, []).append(values.cpu())
    return _figures({name: torch.cat(parts).double().numpy() for name, parts in rows.items()})


def _of_batch(model: GazeModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    out = model.of(batch)
    sight = taught_gaze(batch)
    count = len(sight)
    unknown = torch.full((count, 2), torch.nan, device=sight.device)
    found = {
        "error": angular_error(out.gaze.double(), batch["gaze"].double()),
        "sight": angular_error(out.gaze.double(), sight.double()),
        "said": out.gaze,
        "true": sight,
        "head": batch.get("head", unknown),
        "openness": batch.get("openness", unknown),
    }
    if out.eyes is not None and out.eyes.points.shape[2] and "points" in batch:
        places = sheets.on_whole_pixels(sheets.eye_places(batch))
        truth = sheets.in_patches(sheets.points_of_sides(batch["points"]), places)
        far = (out.eyes.points - truth).norm(dim=-1)
        far = torch.where(inside_patch(truth), far, torch.nan)
        found |= {"iris": far[:, :, sheets.LIDS], "lids": far[:, :, : sheets.LIDS].nanmean(-1)}
    return found


def _figures(rows: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    is_open = rows["openness"].min(1) > OPEN  # of NaN: no
    figures = {
        "held_out_deg": float(np.degrees(rows["error"].mean())),
        "sight_deg": float(np.degrees(rows["sight"].mean())),
    }
    if is_open.any():
        figures["open_deg"] = float(np.degrees(rows["sight"][is_open].mean()))
    known = is_open & np.isfinite(rows["head"]).all(1)
    if known.sum() >= FEWEST:
        said, true, head = rows["said"][known], rows["true"][known], rows["head"][known]
        pitch = _fit(said[:, 0], true[:, 0], head[:, 0])
        figures |= {"pitch_slope": pitch[0], "head_leak": pitch[1]}
        figures["yaw_slope"] = _fit(said[:, 1], true[:, 1])[0]
    for name in ("iris", "lids"):
        if name in rows and is_open.any():
            known_px = rows[name][is_open]
            if np.isfinite(known_px).any():
                figures[f"{name}_px"] = float(np.nanmedian(known_px))
    return figures


def _fit(said: NDArray[np.float64], *by: NDArray[np.float64]) -> list[float]:
    """Coefficients of the least squares of what is said, without the constant."""
    columns = np.stack([*by, np.ones_like(said)], 1)
    return [float(v) for v in np.linalg.lstsq(columns, said, rcond=None)[0][:-1]]
