"""Per-pixel kernels of the compiled module; imported from here, which says where it is missing."""

from __future__ import annotations

try:
    from clipgaze_sdk._core import decode_detections, letterbox_normalize, nms, warp_normalize
except ImportError as error:
    raise ImportError(
        f"The compiled module clipgaze_sdk._core could not be loaded ({error}). "
        "Install a C++17 compiler and build it from the root of the repository with: "
        "python -m pip install -e ."
    ) from error

__all__ = ["decode_detections", "letterbox_normalize", "nms", "warp_normalize"]
