"""Axes of plots over gaze or head angles, alike in every picture."""

from __future__ import annotations

from typing import Any

LEFT = "positive to the image's left"


def set_angle_axes(axes: Any, title: str) -> None:
    """Yaw across and pitch up, as one looks at the picture: what looks to its left is on the left.

    Yaw is positive there, so that the axis runs from positive to negative values.
    """
    if not axes.xaxis_inverted():
        axes.invert_xaxis()
    axes.set(title=title, xlabel=f"yaw [°], {LEFT}", ylabel="pitch [°], up is positive")
