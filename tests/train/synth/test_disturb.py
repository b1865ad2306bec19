"""Errors of landmarks, as a landmark network makes them."""

from __future__ import annotations

import numpy as np

from train.synth.outputs.disturb import noisy_landmarks


def test_noise_on_landmarks_is_small_and_there():
    marks = np.random.default_rng(0).uniform(0, 100, (68, 2))
    moved = noisy_landmarks(np.random.default_rng(1), marks)
    shift = np.linalg.norm(moved - marks, axis=1)
    assert 0 < shift.mean() < 12
