"""The compiled warp against the same work in OpenCV and numpy, in one process on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._opencv import cv2
from ..kernels import warp_normalize

_SIZE_PX = 224
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class WarpBench:
    """How one crop of 224x224 px fares."""

    image_size_px: tuple[int, int]
    crop_size_px: tuple[int, int]
    compiled_ms: float
    """Median of ``warp_normalize`` with one thread."""
    opencv_ms: float
    """Median of ``cv2.warpPerspective``, colour order, float, mean and std, HWC to CHW."""
    ratio: float
    """How many times faster the compiled one is."""
    worst_grey_levels: float
    """Largest difference of any value between the two, in 1/255."""
    mean_grey_levels: float


def bench_warp(image: NDArray[np.uint8], *, rounds: int) -> WarpBench:
    """Time both on one picture, in turns so that both see the same machine.

    Args:
        image: (H, W, 3) uint8, BGR.
        rounds: how many times each runs, after a tenth as many to warm up.
    """
    height, width = image.shape[:2]
    image_from_crop = _crop_about_the_middle(width, height)
    mean, std = np.array(_MEAN, np.float32), np.array(_STD, np.float32)

    def compiled() -> NDArray[np.float32]:
        crops = warp_normalize(
            image,
            image_from_crop[None],
            width=_SIZE_PX,
            height=_SIZE_PX,
            mean=_MEAN,
            std=_STD,
            color="bgr",
            output_color="rgb",
            threads=1,
        )
        return np.asarray(crops[0], dtype=np.float32)

    def opencv() -> NDArray[np.float32]:
        crop = cv2.warpPerspective(
            image,
            image_from_crop,
            (_SIZE_PX, _SIZE_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        values = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).astype(np.float32) / np.float32(255.0)
        values = (values - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        compiled_ms, opencv_ms = _medians_ms((compiled, opencv), rounds=rounds)
        apart = np.abs(compiled() - opencv()) * (std * 255.0)[:, None, None]
    finally:
        cv2.setNumThreads(threads)
    return WarpBench(
        image_size_px=(width, height),
        crop_size_px=(_SIZE_PX, _SIZE_PX),
        compiled_ms=compiled_ms,
        opencv_ms=opencv_ms,
        ratio=opencv_ms / compiled_ms,
        worst_grey_levels=float(apart.max()),
        mean_grey_levels=float(apart.mean()),
    )


def _crop_about_the_middle(width: int, height: int) -> NDArray[np.float64]:
    """Map a crop to a turned, slightly slanted square of 0.45 of the picture's height."""
    centre = (_SIZE_PX - 1) / 2.0
    to_centre = np.array([[1.0, 0.0, -centre], [0.0, 1.0, -centre], [0.0, 0.0, 1.0]])
    scale, turn = 0.45 * height / _SIZE_PX, np.radians(8.0)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    to_image = np.array(
        [[cos, -sin, (width - 1) / 2.0], [sin, cos, (height - 1) / 2.0], [1e-4, -5e-5, 1.0]]
    )
    return np.asarray(to_image @ to_centre, dtype=np.float64)


def _medians_ms(works: tuple[Callable[[], object], ...], *, rounds: int) -> list[float]:
    for _ in range(max(3, rounds // 10)):
        for work in works:
            work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            start_s = time.perf_counter()
            work()
            taken.append((time.perf_counter() - start_s) * 1e3)
    return [float(np.median(taken)) for taken in times]
