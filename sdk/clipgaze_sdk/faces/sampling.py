"""Sampling of face crops, the same for training and at run time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .._options import ColorOrder
from ..kernels import warp_normalize

_ROI_MARGIN_PX = 4.0


def sample_crops(
    image: NDArray[np.uint8],
    image_from_crop: NDArray[np.float64],
    *,
    width: int,
    height: int,
    mean: Sequence[float],
    std: Sequence[float],
    color: ColorOrder = "bgr",
    threads: int = 1,
) -> NDArray[np.float32]:
    """Cut crops out of an image and normalise their values for a network.

    Bilinear sampling aliases when a crop shrinks the image, so where a crop pixel covers more than
    two image pixels, the region is first shrunk by a power of two, averaging over areas.

    Args:
        image: (H, W, 3) uint8, or (H * 3 / 2, W) for "nv12"; C-contiguous.
        image_from_crop: (N, 3, 3) homographies that map crop pixels to image pixels.
        width: of the crops, pixels.
        height: of the crops, pixels.
        mean: per channel R, G, B, in units of [0, 1].
        std: per channel R, G, B, in units of [0, 1].
        color: layout of the image.
        threads: CPU threads, at least 1.

    Returns:
        (N, 3, height, width) float32, RGB, ``(value / 255 - mean) / std``.
    """
    homographies = np.ascontiguousarray(image_from_crop, dtype=np.float64).reshape(-1, 3, 3)
    out = np.empty((len(homographies), 3, height, width), dtype=np.float32)
    factors = [_shrink_factor(h, width, height) for h in homographies]
    if color == "nv12" and max(factors, default=1) > 1:
        from .._opencv import cv2

        image = cast("NDArray[np.uint8]", cv2.cvtColor(image, cv2.COLOR_YUV2BGR_NV12))
        color = "bgr"

    warp = partial(warp_normalize, width=width, height=height, mean=mean, std=std)
    warp = partial(warp, color=color, threads=threads)
    plain = [i for i, factor in enumerate(factors) if factor == 1]
    if plain:
        out[plain] = warp(image, homographies[plain])
    for i, factor in enumerate(factors):
        if factor > 1:
            region, x0, y0 = _shrunk_region(image, homographies[i], (width, height), factor)
            offset = 0.5 * (factor - 1)
            region_from_image = np.diag([1.0 / factor, 1.0 / factor, 1.0])
            region_from_image[:2, 2] = -(x0 + offset) / factor, -(y0 + offset) / factor
            out[i] = warp(region, (region_from_image @ homographies[i])[None])[0]
    return out


def _shrink_factor(homography: NDArray[np.float64], width: int, height: int) -> int:
    """Return the power of two by which to shrink: 1 up to two image pixels per crop pixel."""
    w = homography[2] @ ((width - 1) / 2.0, (height - 1) / 2.0, 1.0)
    if not np.all(np.isfinite(homography)) or abs(w) < 1e-12:
        return 1
    # A homography enlarges areas by det(H) / w^3: here, in the middle of the crop.
    scale = float(np.sqrt(abs(np.linalg.det(homography) / w**3)))
    return int(2 ** np.floor(np.log2(min(scale, 64.0)))) if 2.0 < scale < np.inf else 1


def _shrunk_region(
    image: NDArray[np.uint8], homography: NDArray[np.float64], size: tuple[int, int], factor: int
) -> tuple[NDArray[np.uint8], int, int]:
    """Return the part of the image that a crop looks at, shrunk, and its first column and row."""
    from .._opencv import cv2

    right, bottom = size[0] - 0.5, size[1] - 0.5
    corners = np.array([[-0.5, -0.5, 1], [right, -0.5, 1], [right, bottom, 1], [-0.5, bottom, 1]])
    mapped = corners @ homography.T
    points = mapped[:, :2] / mapped[:, 2:]
    limits = np.array([image.shape[1], image.shape[0]])
    margin = _ROI_MARGIN_PX * factor
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + margin), low + 1, limits).astype(int)
    # On the image's own grid of blocks, so that a crop does not flicker as its region moves.
    low = low // factor * factor
    region = image[low[1] : high[1], low[0] : high[0]]
    pad_y, pad_x = -region.shape[0] % factor, -region.shape[1] % factor
    if pad_y or pad_x:
        region = cv2.copyMakeBorder(region, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    shrunk_size = (region.shape[1] // factor, region.shape[0] // factor)
    shrunk = cv2.resize(region, shrunk_size, interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.uint8]", np.ascontiguousarray(shrunk)), int(low[0]), int(low[1])
