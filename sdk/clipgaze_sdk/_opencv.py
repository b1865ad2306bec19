"""OpenCV, or an error that says where to get it; imported where it is first used."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV cannot be imported ({error}). On a Jetson it comes with JetPack "
        "(apt: python3-opencv; a virtual environment needs --system-site-packages); elsewhere "
        'install it: python -m pip install "clipgaze-sdk[opencv]"'
    ) from error

from ._errors import InputError

__all__ = ["cv2", "opencv_path"]


def opencv_path(path: str | Path) -> str:
    """Spell a path for OpenCV, which takes UTF-8 alone and ends the process on anything else.

    Raises:
        InputError: the name's bytes are no UTF-8.
    """
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeError as error:
        raise InputError(
            f"OpenCV cannot open {str(path)!r}: the name is not UTF-8. Rename or link the file."
        ) from error
