"""What the installed OpenCV was built with."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from .._opencv import cv2


@dataclass(frozen=True, slots=True)
class OpencvBuild:
    """The parts of OpenCV that decide which cameras, videos and windows work."""

    gui: str
    """The toolkit behind ``cv2.imshow``, or "NONE"."""
    ffmpeg: bool
    """Reads and writes common video files."""
    gstreamer: bool
    """Reads CSI cameras and hardware-decoded streams."""


def read_opencv_build(text: str | None = None) -> OpencvBuild:
    """Read ``cv2.getBuildInformation()``, or ``text`` of that form."""
    lines = (cv2.getBuildInformation() if text is None else text).splitlines()
    pairs = (line.partition(":") for line in reversed(lines))  # the first of a name counts
    values = {name.strip(): value.strip() for name, colon, value in pairs if colon}
    has = {name for name, value in values.items() if value.startswith("YES")}
    toolkits = (name for name in ("QT", "GTK+", "Win32 UI", "Cocoa") if name in has)
    gui = values.get("GUI") or next(toolkits, "NONE")
    return OpencvBuild(gui=gui, ffmpeg="FFMPEG" in has, gstreamer="GStreamer" in has)


def display_is_available() -> bool:
    """Say whether a desktop is there to open windows on (not whether OpenCV can)."""
    named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(named) or not sys.platform.startswith("linux")


def window_is_available() -> bool:
    """Say whether ``cv2.imshow`` can be called; where it cannot, some builds end the process."""
    return display_is_available() and read_opencv_build().gui != "NONE"
