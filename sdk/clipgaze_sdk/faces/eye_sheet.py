"""The sheet that a gaze network looks at: patches of both eyes, and both halves of the face.

From left to right: a patch around the person's right eye, the right half of the face, and the same
of the left side, mirrored.  A patch has the normalised crop's resolution; of the face, pixels of
``face_shrink`` times that size are means.  The crop of a mirrored image has the sides swapped.
"""

from __future__ import annotations

from dataclasses import dataclass

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
_CORNERS = ((36, 39), (42, 45))
"""Landmarks at the corners of the right and the left eye."""
_FACE_SAMPLES = 2
_MAX_PX = 1e6


def eye_middles(landmarks_px: _Floats) -> _Floats:
    """Return the middle (2, 2) of each eye's two corners, the person's right first."""
    return np.asarray(landmarks_px[_CORNERS, :].mean(axis=1))


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
        has, advice = f"card {str(card.path)!r} has", "take the card that came with the model."
        if layout != LAYOUT:
            expected = f"expected {LAYOUT!r}, or none. Update clipgaze_sdk, or {advice}"
            raise ModelError(f"{has} the layout {layout!r}; {expected}")
        counts = {"eye_px": 2, "face_px": 2, "crop_px": 2, "face_shrink": 1, "face_top_px": 1}
        numbers = [int(n) for key, count in counts.items() for n in card.numbers(key, count)]
        eye, face, crop = zip(numbers[0:6:2], numbers[1:6:2], strict=True)
        if card.inputs[0].shape[2:] != (eye[1], 2 * (eye[0] + face[0])) or eye[1] != face[1]:
            raise ModelError(
                f"{has} eyes of {list(eye)} px and halves of a face of {list(face)} px for the "
                f"input {list(card.inputs[0].shape)}; expected two of each side by side: {advice}"
            )
        return cls(eye, face, crop, *numbers[6:])

    @property
    def parts(self) -> tuple[Part, ...]:
        """The right eye, the right half of the face, the left eye and the left half."""
        eye, face = self.eye_px[0], self.face_px[0]
        right = (Part(0, eye), Part(eye, face, min(self.face_shrink, _FACE_SAMPLES)))
        return (*right, *(part._replace(left=part.left + eye + face) for part in right))

    def image_from_parts(self, crop: Crop) -> _Floats:
        """Return a homography (4, 3, 3) from the pixels of each part to the image's."""
        of_image = crop.image_from_crop
        # The inverse but for its scale, which has no singular case.
        crop_from_image = np.cross(of_image[[1, 2, 0]], of_image[[2, 0, 1]]).T
        eyes = _moved(crop_from_image, crop.eyes_px)
        crop_from_part = np.zeros((4, 3, 3))
        crop_from_part[:, 2, 2] = 1.0
        half = (np.array(self.eye_px) - 1) / 2.0
        inset = (self.face_shrink - 1) / 2.0
        for side, sign in enumerate((1.0, -1.0)):
            patch, face = crop_from_part[2 * side : 2 * side + 2]
            patch[0, 0], patch[1, 1] = sign, 1.0
            patch[:2, 2] = eyes[side] - (sign, 1.0) * half
            face[0, 0], face[1, 1] = sign * self.face_shrink, self.face_shrink
            face[:2, 2] = (0.0 if side == 0 else self.crop_px[0] - 1) + sign * inset, 0.0
            face[1, 2] = self.face_top_px + inset
        return np.asarray(of_image @ crop_from_part)

    def in_image(self, points: _Floats, image_from_parts: _Floats) -> _Floats:
        """Return the pixels (N, 2, 2) of the image at points of both patches (N, 2, 2).

        They are NaN for points that are none, or far from their patch.
        """
        mapped = _moved(image_from_parts[:, ::2], points[:, :, None])[:, :, 0]
        seen = (np.abs(points) <= 2 * max(self.eye_px)) & (np.abs(mapped) <= _MAX_PX)
        return np.where(np.all(seen, axis=-1, keepdims=True), mapped, np.nan)


def _moved(homography: _Floats, points: _Floats) -> _Floats:
    """Return points (..., N, 2) where homographies (..., 3, 3) send them."""
    whole = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    with np.errstate(all="ignore"):
        mapped = whole @ homography.swapaxes(-1, -2)
        return np.asarray(mapped[..., :2] / mapped[..., 2:])
