"""Two versions at the same work in turns, so that whatever else a machine does slows both."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def in_turn(old: Callable[[], T], new: Callable[[], T], rounds: int) -> tuple[list[T], list[T]]:
    """What both answer in each of some rounds; who goes first changes from round to round."""
    answers: tuple[list[T], list[T]] = ([], [])
    for turn in range(rounds):
        pairs = list(zip((old, new), answers, strict=True))
        for work, kept in pairs if turn % 2 else reversed(pairs):
            kept.append(work())
    return answers


def ratio_of(old: Sequence[float], new: Sequence[float]) -> dict[str, float]:
    """Medians of both, and the median, least and most of the ratio new to old over the rounds."""
    ratios = [b / a for a, b in zip(old, new, strict=True)]
    return {
        "old": statistics.median(old),
        "new": statistics.median(new),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


def read_clip(path: Path, most: int | None = None) -> list[Any]:
    """Frames of a clip, (H, W, 3) uint8 BGR: all, or the first ``most``."""
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), list[Any]()
    while (most is None or len(frames) < most) and (read := capture.read())[0]:
        frames.append(read[1])
    return frames
