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
    values: dict[str, str] = {}
    for line in (cv2.getBuildInformation() if text is None else text).splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())

    def has(name: str) -> bool:
        return values.get(name, "NO").startswith("YES")

    toolkits = [name for name in ("QT", "GTK+", "Win32 UI", "Cocoa") if has(name)]
    gui = values.get("GUI") or next(iter(toolkits), "NONE")
    return OpencvBuild(gui=gui, ffmpeg=has("FFMPEG"), gstreamer=has("GStreamer"))


def display_is_available() -> bool:
    """Say whether a desktop is there to open windows on (not whether OpenCV can)."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def window_is_available() -> bool:
    """Say whether ``cv2.imshow`` can be called; where it cannot, some builds end the process."""
    return display_is_available() and read_opencv_build().gui != "NONE"
