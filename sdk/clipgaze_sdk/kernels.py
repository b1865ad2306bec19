"""Per-pixel kernels of the compiled module, imported here and nowhere else.

Import :func:`warp_normalize`, :func:`letterbox_normalize`, :func:`decode_detections` and
:func:`nms` from this module: it alone says what to do when the compiled module is missing.
"""

from __future__ import annotations

try:
    from clipgaze_sdk._core import (
        decode_detections,
        letterbox_normalize,
        nms,
        warp_normalize,
    )
except ImportError as error:
    raise ImportError(
        f"The compiled module clipgaze_sdk._core could not be loaded ({error}). "
        "Install a C++17 compiler and build it from the root of the repository with: "
        "python -m pip install -e ."
    ) from error

__all__ = ["decode_detections", "letterbox_normalize", "nms", "warp_normalize"]
