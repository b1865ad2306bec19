"""Sampling of face crops, the same for training and at run time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .._options import ColorOrder
from ..kernels import warp_normalize

_Floats = NDArray[np.float64]
_Table = NDArray[np.int64]

_ROI_MARGIN_PX = 4.0
_MAX_STEP_PX = 2.0


class Part(NamedTuple):
    """Columns of a crop that have a homography of their own."""

    left: int
    """The first of them, pixels."""
    width: int
    """Pixels; the height is the crop's."""
    samples: int = 1
    """A pixel is the mean of so many samples in each direction; of 2 where 4 are not needed."""


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
    parts: Sequence[Part] = (),
) -> NDArray[np.float32]:
    """Cut crops out of an image and normalise their values for a network.

    Bilinear sampling aliases when a crop shrinks the image, so where samples are more than two
    image pixels apart, the region is first shrunk by a power of two, averaging over areas.

    Args:
        image: (H, W, 3) uint8, or (H * 3 / 2, W) for "nv12"; C-contiguous.
        image_from_crop: (N, 3, 3) homographies that map crop pixels to image pixels; with P
            ``parts``, (N, P, 3, 3), each of pixels counted from its part's left.
        width: of the crops, pixels.
        height: of the crops, pixels.
        mean: per channel R, G, B, in units of [0, 1].
        std: per channel R, G, B, in units of [0, 1].
        color: layout of the image.
        threads: CPU threads, at least 1.
        parts: of every crop, which they fill; none: a crop is of one piece.

    Returns:
        (N, 3, height, width) float32, RGB, ``(value / 255 - mean) / std``.
    """
    parts = parts or (Part(0, width),)
    homographies = np.ascontiguousarray(image_from_crop, dtype=np.float64).reshape(-1, 3, 3)
    count = len(homographies) // len(parts)
    out = np.empty((count, 3, height, width), dtype=np.float32)
    table = np.array([(n, *part) for n in range(count) for part in parts], np.int64).reshape(-1, 4)
    factors, table[:, 3] = _steps(homographies, table, height)
    if color == "nv12" and np.any(factors > 1):
        from .._opencv import cv2

        image = cast("NDArray[np.uint8]", cv2.cvtColor(image, cv2.COLOR_YUV2BGR_NV12))
        color = "bgr"

    warp = partial(warp_normalize, width=width, height=height, mean=mean, std=std)
    warp = partial(warp, color=color, threads=threads, out=out)
    plain = factors == 1
    if np.any(plain):
        warp(image, homographies[plain], parts=table[plain])
    # The parts of a crop look at one face: where they shrink alike, they share its region.
    for crop, factor in sorted(set(zip(table[~plain, 0], factors[~plain], strict=True))):
        here = (table[:, 0] == crop) & (factors == factor)
        widths = table[here, 2]
        region, x0, y0 = _shrunk_region(image, homographies[here], widths, height, int(factor))
        offset = 0.5 * (factor - 1)
        region_from_image = np.diag([1.0 / factor, 1.0 / factor, 1.0])
        region_from_image[:2, 2] = -(x0 + offset) / factor, -(y0 + offset) / factor
        warp(region, region_from_image @ homographies[here], parts=table[here])
    return out


def _steps(homographies: _Floats, table: _Table, height: int) -> tuple[_Table, _Table]:
    """Return powers of two (M,) by which to shrink, and samples (M,) of a pixel.

    Factors are 1 up to two image pixels from one sample to the next.
    """
    middles = np.empty((len(table), 3))
    middles[:, 0], middles[:, 1:] = (table[:, 2] - 1) / 2.0, ((height - 1) / 2.0, 1.0)
    w = np.abs(np.einsum("mk,mk->m", homographies[:, 2], middles))
    with np.errstate(all="ignore"):
        # A homography enlarges areas by det(H) / w^3: here, in the middle of the part.
        scale = np.sqrt(np.abs(np.linalg.det(homographies)) / w**3)
        samples = np.minimum(table[:, 3], np.where(scale <= 2 * _MAX_STEP_PX, 2, 4))
        scale /= samples
        factors = np.exp2(np.floor(np.log2(np.minimum(scale, 64.0))))
    shrinks = (scale > _MAX_STEP_PX) & (scale < np.inf) & (w >= 1e-12)  # false for NaN
    return np.where(shrinks, factors, 1.0).astype(np.int64), samples


def _shrunk_region(
    image: NDArray[np.uint8], homographies: _Floats, widths: _Table, height: int, factor: int
) -> tuple[NDArray[np.uint8], int, int]:
    """Return the part of the image that a crop looks at, shrunk, and its first column and row."""
    from .._opencv import cv2

    corners = np.array([[(-0.5, -0.5, 1), (w - 0.5, -0.5, 1)] for w in widths])
    corners = np.concatenate([corners, corners + (0, height, 0)], axis=1)
    mapped = (corners @ homographies.transpose(0, 2, 1)).reshape(-1, 3)
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
