"""Which face is which, from frame to frame.  Geometry only: the networks are elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._options import EstimatorOptions
from .landmarks import FaceObservation

DETECTION_IOU = 0.3
"""A detection that overlaps a followed face more than this is that face."""
DUPLICATE_IOU = 0.5
"""Two followed faces that overlap more than this are one face, seen twice."""
NESTED_SHARE = 0.7
"""A face of which more than this lies within another's box is a part of that face."""
KEPT_PRESENCE = 0.6
"""A followed face is kept down to this share of the presence that a new one needs, so that one
that hovers around it is not let go and found again under another identity."""
_MAX_GROWTH = 2.0
"""A face does not grow or shrink by more than this from one frame to the next."""
_MIN_SPREAD = 0.2
"""A face's box is not narrower or flatter than this, in units of its longer side."""


class Track(NamedTuple):
    """One face, as it was seen last."""

    track_id: int | None
    """None where it is not followed, as faces of single images."""
    seen: FaceObservation


class FaceTracks:
    """The faces that are followed through one stream."""

    def __init__(self, options: EstimatorOptions) -> None:
        self._options = options
        self._options_of_kept = replace(options, min_presence=KEPT_PRESENCE * options.min_presence)
        self.tracks: tuple[Track, ...] = ()
        """In the order of their identities."""
        self._next_id = 0

    def clear(self) -> None:
        """Let every face go; identities are not used again."""
        self.tracks = ()

    def follow(self, observations: Sequence[FaceObservation], size_px: tuple[int, int]) -> None:
        """Take the new observation of each track, in order; let go of those that are lost."""
        kept: list[Track] = []
        for track, seen in zip(self.tracks, observations, strict=True):
            there = is_plausible(seen, size_px, self._options_of_kept)
            if there and not _leapt(track.seen, seen) and not _overlaps_any(seen, kept):
                kept.append(track._replace(seen=seen))
        self.tracks = tuple(kept)

    def add(self, observations: Iterable[FaceObservation]) -> None:
        """Begin to follow new faces, given by :func:`distinct_faces`."""
        for seen in observations:
            if len(self.tracks) < self._options.max_faces and not _overlaps_any(seen, self.tracks):
                self.tracks += (Track(self._next_id, seen),)
                self._next_id += 1

    def unknown(self, boxes_px: NDArray[np.float64]) -> list[int]:
        """Return the indices of detections (n, 4) that are of no followed face."""
        known = [track.seen.box_px for track in self.tracks]
        return [
            index
            for index, box in enumerate(boxes_px)
            if all(box_iou(box, other) <= DETECTION_IOU for other in known)
        ]


def distinct_faces(
    observations: Iterable[FaceObservation], size_px: tuple[int, int], options: EstimatorOptions
) -> list[FaceObservation]:
    """Return the plausible faces, the most certain first, each once and ``max_faces`` at most."""
    kept: list[Track] = []
    for seen in sorted(observations, key=lambda o: -o.presence):
        if is_plausible(seen, size_px, options) and not _overlaps_any(seen, kept):
            kept.append(Track(None, seen))
    return [track.seen for track in kept[: options.max_faces]]


def is_plausible(
    seen: FaceObservation, size_px: tuple[int, int], options: EstimatorOptions
) -> bool:
    """Return whether a face is there, of a size and shape that a face can have, in the image."""
    if not seen.is_finite or seen.presence < options.min_presence:
        return False
    x0, y0, x1, y1 = seen.box_px
    long_side, short_side = max(x1 - x0, y1 - y0), min(x1 - x0, y1 - y0)
    if long_side < options.min_face_px or short_side < _MIN_SPREAD * long_side:
        return False
    return bool(0 <= (x0 + x1) / 2 < size_px[0] and 0 <= (y0 + y1) / 2 < size_px[1])


def _overlaps_any(seen: FaceObservation, others: Iterable[Track]) -> bool:
    """Faces do not lie within faces either: an eye or a mouth taken for a face does."""
    pairs = [(seen.box_px, other.seen.box_px) for other in others]
    return any(box_iou(*p) > DUPLICATE_IOU or box_share(*p) > NESTED_SHARE for p in pairs)


def box_share(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> float:
    """Return the share of the smaller of two boxes (4,) that lies in the larger."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    smaller = min(float(np.prod(box[2:] - box[:2])) for box in (first, second))
    return float(np.prod(np.maximum(high - low, 0.0))) / max(smaller, 1e-6)


def box_iou(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> float:
    """Return intersection over union of two boxes (4,)."""
    ax0, ay0, ax1, ay1 = first.tolist()
    bx0, by0, bx1, by1 = second.tolist()
    width, height = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    if width <= 0.0 or height <= 0.0:
        return 0.0
    shared = width * height
    return float(shared / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared))


def _leapt(before: FaceObservation, after: FaceObservation) -> bool:
    """Return whether a face changed size, or moved, as no face does between frames."""
    first, second = before.box_px, after.box_px
    growth = max(second[2:] - second[:2]) / max(max(first[2:] - first[:2]), 1e-6)
    return not 1.0 / _MAX_GROWTH < growth < _MAX_GROWTH or box_iou(first, second) == 0.0
