"""The sheet that a gaze network looks at: patches of both eyes, and both halves of the face.

From left to right: a patch around the person's right eye, the right half of the face, and the same
of the left side, mirrored.  A patch has the normalised crop's resolution; of the face, pixels of
``face_shrink`` times that size are means.  The crop of a mirrored image has the sides swapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .._errors import ModelError
from ..models.cards import ModelCard
from .hysteresis import Crop
from .sampling import Part

_Floats = NDArray[np.float64]

LAYOUT = "eye_sheet"
IRIS = 6
"""Its middle, of each side's 15 points: six of the lids before it, and eight of its rim after."""
_MAX_PX = 1e6


def eye_middles(landmarks_px: _Floats) -> _Floats:
    """Return the middle (2, 2) of each eye's two corners, the person's right first."""
    return np.asarray(landmarks_px[[[36, 39], [42, 45]]].mean(axis=1))


@dataclass(frozen=True, slots=True)
class EyeSheet:
    """Sizes in pixels, (width, height)."""

    eye_px: tuple[int, int]
    """Of a patch."""
    face_px: tuple[int, int]
    """Of half of the face."""
    crop_px: tuple[int, int]
    """Of the normalised crop, of which the sheet is made."""
    face_shrink: int
    """Pixels of the crop that one of the face spans."""
    face_top_px: int
    """First row of the crop that is seen."""

    @classmethod
    def of_card(cls, card: ModelCard) -> EyeSheet | None:
        """Return the sheet of a gaze network; None for a network that looks at one crop.

        Raises:
            ModelError: the card's layout is unknown, or its numbers make no sheet of its input.
        """
        layout = card.preprocessing.get("layout")
        if layout is None:
            return None
        has, update = f"card {str(card.path)!r} has", "Update clipgaze_sdk, or take its own card."
        if layout != LAYOUT:
            raise ModelError(f"{has} the layout {layout!r}; expected {LAYOUT!r}, or none. {update}")
        counts = {"eye_px": 2, "face_px": 2, "crop_px": 2, "face_shrink": 1, "face_top_px": 1}
        numbers = [int(n) for key, count in counts.items() for n in card.numbers(key, count)]
        eye, face, crop = zip(numbers[0:6:2], numbers[1:6:2], strict=True)
        if card.inputs[0].shape[2:] != (eye[1], 2 * (eye[0] + face[0])) or eye[1] != face[1]:
            raise ModelError(
                f"{has} eyes of {list(eye)} px and halves of a face of {list(face)} px for the "
                f"input {list(card.inputs[0].shape)}; expected two of each side by side. {update}"
            )
        return cls(eye, face, crop, *numbers[6:])

    @property
    def parts(self) -> tuple[Part, ...]:
        """The right eye, the right half of the face, the left eye and the left half."""
        eye, face = self.eye_px[0], self.face_px[0]
        right = (Part(0, eye), Part(eye, face, min(self.face_shrink, 4)))
        return (*right, *(part._replace(left=part.left + eye + face) for part in right))

    def image_from_parts(self, crop: Crop) -> _Floats:
        """Return a homography (4, 3, 3) from the pixels of each part to the image's."""
        crop_from_parts = _crop_from_parts(self).copy()
        crop_from_parts[::2, :2, 2] += _in_crop(crop)
        return np.asarray(crop.image_from_crop @ crop_from_parts)

    def in_image(self, points: _Floats, image_from_parts: _Floats) -> _Floats:
        """Return the pixels (N, 2, 2) of the image at points of both patches (N, 2, 2).

        They are NaN for points that are none, or far from their patch.
        """
        whole = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
        with np.errstate(all="ignore"):
            mapped = np.einsum("nsij,nsj->nsi", image_from_parts[:, ::2], whole)
            mapped = mapped[..., :2] / mapped[..., 2:]
        seen = (np.abs(points) <= 2 * max(self.eye_px)) & (np.abs(mapped) <= _MAX_PX)
        return np.where(np.all(seen, axis=-1, keepdims=True), mapped, np.nan)


@cache
def _crop_from_parts(sheet: EyeSheet) -> _Floats:
    """Return homographies (4, 3, 3) of parts, of patches around the crop's first pixel."""
    maps = np.zeros((4, 3, 3))
    shrink, (x, y) = sheet.face_shrink, (np.array(sheet.eye_px) - 1) / 2.0
    inset = (shrink - 1) / 2.0
    top = sheet.face_top_px + inset
    for side, (sign, edge) in enumerate(((1.0, inset), (-1.0, sheet.crop_px[0] - 1 - inset))):
        maps[2 * side] = (sign, 0, -sign * x), (0, 1, -y), (0, 0, 1)
        maps[2 * side + 1] = (sign * shrink, 0, edge), (0, shrink, top), (0, 0, 1)
    return maps


def _in_crop(crop: Crop) -> list[tuple[float, float]]:
    """Return the pixels of a crop where its eyes are; NaN where they are nowhere."""
    (a, b, c), (d, e, f), (g, h, i) = crop.image_from_crop.tolist()
    found = []
    for x, y in crop.eyes_px.tolist():
        # By the inverse but for its scale, which has no singular case.
        u = (e * i - f * h) * x + (c * h - b * i) * y + b * f - c * e
        v = (f * g - d * i) * x + (a * i - c * g) * y + c * d - a * f
        w = (d * h - e * g) * x + (b * g - a * h) * y + a * e - b * d
        found.append((u / w, v / w) if w else (np.nan, np.nan))
    return found
