"""Arrays as callers hand them over, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import shown
from .._errors import ClipGazeError, InputError


def float_array(
    name: str, value: ArrayLike, error: type[ClipGazeError] = InputError
) -> NDArray[np.float64]:
    """Return the caller's numbers as float64, not always a copy, or raise ``error``."""
    try:
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise TypeError("complex numbers")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as reason:
        raise error(f"{name} is {shown(value)}; expected an array of numbers.") from reason


def components(
    name: str, value: ArrayLike, length: int, *, points: bool = False
) -> NDArray[np.float64]:
    """Return an array (..., length), of points (N, length), as float64, or raise InputError."""
    array = float_array(name, value)
    if array.shape[-1:] != (length,) or (points and array.ndim != 2):
        raise InputError(
            f"{name} has shape {array.shape}; expected ({'N' if points else '...'}, {length}). "
            f"Put the {length} components on the last axis."
        )
    return array


def landmark_pixels(value: ArrayLike) -> NDArray[np.float64]:
    """Return the first 68 points as (68, 2) float64, or raise :class:`InputError`."""
    points = components("landmarks_px", value, 2, points=True)
    expected = "landmarks in Multi-PIE order"
    if len(points) < 68:
        raise InputError(f"landmarks_px has shape {points.shape}; expected (68, 2), {expected}.")
    if not np.all(np.isfinite(points)):
        raise InputError(f"landmarks_px holds values that are not finite; expected {expected}.")
    return points[:68]


def finite_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an array of exactly this shape as float64, or raise :class:`InputError`."""
    array = float_array(name, value)
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise InputError(
            f"{name} has shape {array.shape} with values {array.ravel()[:9]}; expected {shape}, "
            "all finite."
        )
    return array
