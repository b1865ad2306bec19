"""Images as users hand them over, checked once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError
from ._options import ColorOrder

_MAX_SIDE_PX = 32768
"""What the compiled kernels take."""


def checked_image(image: object, color: ColorOrder) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return a C-contiguous uint8 image and its (width, height).

    Args:
        image: (H, W, 3) uint8, or (H * 3 / 2, W) for "nv12"; read-only and strided arrays are fine.
        color: the layout that the options say.

    Raises:
        InputError: it is no such array.
    """
    nv12 = color == "nv12"
    expected = "(H * 3 / 2, W)" if nv12 else "(H, W, 3)"
    if image is None:
        raise InputError(
            f"image is None; expected {expected} uint8. cv2.imread returns None for a file that it "
            "cannot read: check the path."
        )
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"image is a {type(image).__name__}; expected a numpy array {expected} uint8. Read "
            "files with cv2.imread, and convert other types with numpy.asarray."
        )
    if image.dtype != np.uint8:
        raise InputError(
            f"image has dtype {image.dtype}; expected uint8 with values 0 to 255. Convert values "
            "in [0, 1] by (image * 255).astype(numpy.uint8)."
        )
    if image.size == 0:
        raise InputError(f"image is empty, with shape {image.shape}; expected {expected}.")
    if max(image.shape[:2], default=0) > _MAX_SIDE_PX:
        raise InputError(
            f"image has shape {image.shape}; expected sides of at most {_MAX_SIDE_PX} pixels. "
            "Shrink it, or cut it into parts."
        )
    rows, columns, *channels = image.shape if image.ndim > 1 else (0, 0)
    if nv12 and (image.ndim != 2 or rows % 3 or columns % 2):
        raise InputError(
            f"image has shape {image.shape}; expected (H * 3 / 2, W) with even H and W for "
            'color="nv12". Pass options=EstimatorOptions(color="bgr") for (H, W, 3) images.'
        )
    if not nv12 and channels != [3]:
        raise InputError(
            f"image has shape {image.shape}; expected (H, W, 3). {_shape_hint(image.shape)}"
        )
    return np.ascontiguousarray(image), (columns, rows // 3 * 2 if nv12 else rows)


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "Make a grey image three-channel by cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)."
    if len(shape) == 3 and shape[2] == 4:
        return "Take the alpha channel off: image[:, :, :3]."
    if len(shape) == 4:
        return "Pass several images to estimate_batch, as a sequence of (H, W, 3)."
    return "Put the colour channels last."
