"""Errors that landmarks and cameras have at run time, so that training meets them too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNCALIBRATED = 0.5
"""Share of pictures whose camera is assumed to have a wrong focal length."""


def noisy_landmarks(
    rng: np.random.Generator, landmarks: Floats, visible: NDArray[np.bool_] | None = None
) -> Floats:
    """Landmarks (68, 2) with errors like a landmark network's: common ones, and each its own.

    Common are a shift, a turn, a wrong size and a slight skew.  The mean error is 3.7 % of the
    distance between the outer eye corners on the frozen set; that of the first landmark network
    was 3.3 % on people like those that it was trained on.
    Where ``visible`` (68,) is false, a network guesses, and the landmark's own error is twice as
    large.  ``rng`` is used alike whatever is visible.
    """
    size = float(np.linalg.norm(landmarks[45] - landmarks[36])) + 1.0
    size = max(size, float(np.linalg.norm(landmarks[8] - landmarks[27])) * 0.7)
    amount = float(rng.choice([0.3, 1.0, 2.0], p=[0.3, 0.5, 0.2]))
    angle, scale = rng.normal(0, 0.012) * amount, 1 + rng.normal(0, 0.012) * amount
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn + rng.normal(0, 0.03, (2, 2)) * amount
    middle = landmarks.mean(0)
    moved = (landmarks - middle) @ turn.T + middle + rng.normal(0, 0.010, 2) * amount * size
    own = rng.normal(0, 0.016, landmarks.shape) * amount * size
    if visible is not None:
        own = np.where(visible[:, None], own, 2 * own)
    return np.asarray(moved + own)


def assumed_matrix(rng: np.random.Generator, matrix: Floats) -> Floats:
    """The camera matrix (3, 3) that a user gives: often not calibrated, its focal length wrong."""
    wrong, factor = rng.random() < UNCALIBRATED, float(np.exp(rng.normal(0, 0.2)))
    changed = matrix.copy()
    if wrong:
        changed[[0, 1], [0, 1]] *= factor
    return changed
