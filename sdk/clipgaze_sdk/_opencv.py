"""OpenCV, or an error that says where to get it; imported where it is first used."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import cv2 as cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV cannot be imported ({error}). On a Jetson it comes with JetPack "
        "(apt: python3-opencv; a virtual environment needs --system-site-packages); elsewhere "
        "install one of opencv-python, opencv-python-headless (servers, containers), "
        "opencv-contrib-python, opencv-contrib-python-headless: python -m pip install opencv-python"
    ) from error

from ._errors import InputError


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


_QUIET = threading.RLock()


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Print nothing of what OpenCV tells beside its answers, as this package says it itself."""
    logging: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the functions at its top
    with _QUIET:  # the level is the whole process's: another thread would put back ours
        level = logging.getLogLevel()
        logging.setLogLevel(min(level, 1))  # 1: what ends the program
        try:
            yield
        finally:
            logging.setLogLevel(level)
