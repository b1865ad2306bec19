"""What the installed OpenCV was built with."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from .._opencv import cv2


@dataclass(frozen=True, slots=True)
class OpencvBuild:
    """The parts of OpenCV that decide which cameras, videos and windows work."""

    version: str
    gui: str
    """The toolkit behind ``cv2.imshow``, or "NONE"."""
    ffmpeg: bool
    """Reads and writes common video files."""
    gstreamer: bool
    """Reads CSI cameras and hardware-decoded streams."""


def read_opencv_build(text: str | None = None) -> OpencvBuild:
    """Read ``cv2.getBuildInformation()``, or ``text`` of that form."""
    lines = (cv2.getBuildInformation() if text is None else text).splitlines()
    values: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())
    return OpencvBuild(
        version=str(cv2.__version__),
        gui=_gui(values),
        ffmpeg=values.get("FFMPEG", "NO").startswith("YES"),
        gstreamer=values.get("GStreamer", "NO").startswith("YES"),
    )


def _gui(values: dict[str, str]) -> str:
    stated = values.get("GUI", "")
    if stated:
        return stated
    for toolkit in ("QT", "GTK+", "Win32 UI", "Cocoa"):
        if values.get(toolkit, "NO").startswith("YES"):
            return toolkit
    return "NONE"


def display_is_available() -> bool:
    """Say whether a desktop is there to open windows on (not whether OpenCV can)."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def window_is_available() -> bool:
    """Say whether ``cv2.imshow`` can be called; where it cannot, some builds end the process."""
    return display_is_available() and read_opencv_build().gui != "NONE"
