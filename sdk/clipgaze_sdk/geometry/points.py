"""Points as callers hand them over, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import float_array
from .._errors import InputError


def array_of_points(value: ArrayLike, columns: int, name: str) -> NDArray[np.float64]:
    """Return points as (N, columns) float64, or raise :class:`InputError`."""
    points = float_array(name, value)
    if points.ndim != 2 or points.shape[1] != columns:
        raise InputError(f"{name} has shape {points.shape}; expected (N, {columns}).")
    return points


def landmark_pixels(value: ArrayLike) -> NDArray[np.float64]:
    """Return the first 68 points as (68, 2) float64, or raise :class:`InputError`."""
    points = array_of_points(value, 2, "landmarks_px")
    expected = "landmarks in Multi-PIE order"
    if len(points) < 68:
        raise InputError(f"landmarks_px has shape {points.shape}; expected (68, 2), {expected}.")
    if not np.all(np.isfinite(points)):
        raise InputError(f"landmarks_px holds values that are not finite; expected {expected}.")
    return points[:68]


def finite_array(value: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    """Return an array of exactly this shape as float64, or raise :class:`InputError`."""
    array = float_array(name, value)
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise InputError(
            f"{name} has shape {array.shape} with values {array.ravel()[:9]}; expected {shape}, "
            "all finite."
        )
    return array
