"""How well shape coefficients are told from crops, on people that were not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MOST_CROPS = 4
"""A person's coefficients are the mean over so many most frontal crops."""


@dataclass(frozen=True, slots=True)
class Faces:
    """Near-frontal crops of people whose coefficients are known."""

    image: NDArray[np.uint8]
    """(N, 3, S, S) of the whole data set; the others are of ``rows`` of it."""
    rows: NDArray[np.int64]
    head: NDArray[np.float32]
    person: NDArray[np.int64]
    identity: NDArray[np.float32]
    """(M, 100), a row per crop."""

    def pictured(self, chosen: NDArray[np.int64]) -> Tensor:
        """uint8 crops of some of the rows."""
        return torch.from_numpy(np.ascontiguousarray(self.image[self.rows[chosen]]))


def most_frontal(head: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order of crops (N,) by how frontal the face (pitch, yaw) is; unknown ones last."""
    away = 1 - np.cos(head[:, 0]) * np.cos(head[:, 1])
    return np.argsort(np.nan_to_num(away, nan=9.0), kind="stable")


@torch.no_grad()
def predicted(model: nn.Module, faces: Faces, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """(B, 100) of some of the crops."""
    model.eval()
    device = next(model.parameters()).device
    parts = np.array_split(chosen, max(1, len(chosen) // 64))
    found = [model(faces.pictured(p).to(device)).float().cpu().numpy() for p in parts]
    return np.concatenate(found)


def evaluate(
    model: nn.Module, faces: Faces, chosen: NDArray[np.int64], basis: Tensor | None
) -> dict[str, Any]:
    """Figures on people that were not trained on.

    ``r2`` per mode, of a crop and of a person (mean over the most frontal crops), and
    ``correlation``; ``rank1``: a crop finds its own person by the cosine of coefficients among
    everybody's most frontal crop, itself left out; ``landmark_mm``: RMS distance of the landmarks
    that the coefficients move.
    """
    found, true = predicted(model, faces, chosen), faces.identity[chosen]
    person, head = faces.person[chosen], faces.head[chosen]
    means, truths = [], []
    for one in np.unique(person):
        own = np.flatnonzero(person == one)
        best = own[most_frontal(head[own])][:MOST_CROPS]
        means.append(found[best].mean(0))
        truths.append(true[own[0]])
    of_people, true_people = np.stack(means), np.stack(truths)
    modes = r2(of_people, true_people)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = of_people - of_people.mean(0), true_people - true_people.mean(0)
        correlation = (a * b).mean(0) / (a.std(0) * b.std(0))
    figures: dict[str, Any] = {
        "crops": len(chosen),
        "people": len(of_people),
        "r2_crop": round(float(r2(found, true).mean()), 4),
        "r2_person": round(float(modes.mean()), 4),
        "correlation_person": round(float(np.nan_to_num(correlation).mean()), 4),
        "r2_person_per_mode": [round(float(v), 4) for v in modes],
        **reidentified(found, person, head),
    }
    if basis is not None:
        for name, guess in (("landmark_mm", of_people), ("landmark_mm_of_mean", 0 * of_people)):
            moved = (guess - true_people) @ basis.cpu().numpy()
            figures[name] = round(float(np.sqrt(3 * np.square(moved).mean())), 3)
    return figures


def r2(found: NDArray[np.float32], true: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 − residual / variance per column; 0 for always saying the mean, at most 1."""
    residual = np.square(found - true).sum(0, dtype=np.float64)
    spread = np.square(true - true.mean(0)).sum(0, dtype=np.float64)
    return np.asarray(1 - residual / np.maximum(spread, 1e-12), np.float64)


def reidentified(
    found: NDArray[np.float32], person: NDArray[np.int64], head: NDArray[np.float32]
) -> dict[str, float | None]:
    """``rank1`` and ``chance``: see :func:`evaluate`; None where nobody has two crops."""
    order = most_frontal(head)
    _, first = np.unique(person[order], return_index=True)
    gallery = order[first]
    queries = np.setdiff1d(np.arange(len(person)), gallery)
    if not len(queries):
        return {"rank1": None, "chance": None}
    unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    nearest = gallery[(unit[queries] @ unit[gallery].T).argmax(1)]
    hits = float((person[nearest] == person[queries]).mean())
    return {"rank1": round(hits, 4), "chance": round(1 / len(gallery), 4)}
