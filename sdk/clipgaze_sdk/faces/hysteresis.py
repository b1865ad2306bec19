"""Crops of followed faces that stay where they are until the face has moved.

What a network says of a face changes a little with the crop that the face is in.  Landmarks always
tremble, and crops that are placed by them anew in every frame pass that on to what is seen next.
Any crop near the best one serves as well, so the last one is taken again while it is near.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.025
"""A crop is taken again while none of its corners would move by more than this, in units of its
longer diagonal: well below what the networks were trained to bear."""
EYE_TOLERANCE = 0.007
"""Of where an eye is cut out of a crop, in the same unit: some 2.5 % of its patch's diagonal."""
_UNTURNED = np.eye(3)


class Crop(NamedTuple):
    """Where a crop lies in its image."""

    image_from_crop: NDArray[np.float64]
    """(3, 3) homography of pixels."""
    rotation: NDArray[np.float64] = _UNTURNED
    """(3, 3) ``normalized_from_camera`` of the virtual camera that sees it, if there is one."""
    eyes_px: NDArray[np.float64] = np.empty((0, 2))
    """(2, 2) pixels of the image around which eyes are cut out, the person's right first; (0, 2)
    where a network looks at the crop alone."""


class CropHysteresis:
    """The last crop of each face of a stream; crops are of ``size_px`` (width, height)."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        width, height = size_px
        corners = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]
        self._corners = np.array([(x, y, 1.0) for x, y in corners])
        self._last: dict[int, Crop] = {}

    def choose(self, crops: Iterable[tuple[int | None, Crop]]) -> list[Crop]:
        """Return the last crop of each face where it is near enough, else the new one.

        A face without an identity, as faces of single images are, always gets the new crop and
        leaves the others' as they are.  A call with faces of the stream forgets all whom it does
        not name: they are followed no longer.
        """
        chosen, kept = [], {}
        for identity, crop in crops:
            last = None if identity is None else self._last.get(identity)
            if last is not None:
                crop = self._kept(last, crop)
            if identity is not None:
                kept[identity] = crop
            chosen.append(crop)
        if kept:
            self._last = kept
        return chosen

    def clear(self) -> None:
        """Forget every face."""
        self._last = {}

    def _kept(self, last: Crop, new: Crop) -> Crop:
        """Return the last crop if it is near, its eyes' places taken anew where they are not."""
        before, now = (self._in_image(crop) for crop in (last, new))
        diagonal = max(np.linalg.norm(now[2] - now[0]), np.linalg.norm(now[3] - now[1]))
        moved = np.linalg.norm(now - before, axis=1).max()
        if not moved <= TOLERANCE * diagonal:  # as what is not finite is
            return new
        eyes_moved = np.linalg.norm(new.eyes_px - last.eyes_px, axis=1)
        away = ~(eyes_moved <= EYE_TOLERANCE * diagonal)
        if not np.any(away):
            return last
        return last._replace(eyes_px=np.where(away[:, None], new.eyes_px, last.eyes_px))

    def _in_image(self, crop: Crop) -> NDArray[np.float64]:
        """(4, 2) pixels of the corners."""
        points = self._corners @ crop.image_from_crop.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(points[:, :2] / points[:, 2:])
