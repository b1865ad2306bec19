"""OpenCV, or an error that says where to get it; imported where it is first used."""

from __future__ import annotations

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV cannot be imported ({error}). On a Jetson it comes with JetPack "
        "(apt: python3-opencv; a virtual environment needs --system-site-packages); elsewhere "
        'install it: python -m pip install "clipgaze-sdk[opencv]"'
    ) from error

__all__ = ["cv2"]
