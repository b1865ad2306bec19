"""Finding faces in a whole image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .._errors import BackendError, ModelError
from .._options import ColorOrder, EstimatorOptions
from ..backends import load_backend
from ..kernels import decode_detections, letterbox_normalize, nms
from ..models.cards import ModelCard
from ..models.files import ModelFile
from .yunet import YuNetDetector

_MAX_NETWORK_SIDE_PX = 16384
_LEAST_LOOKED_AT = 4
"""So many detections are looked at even where fewer faces are wanted: the best may be no face."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Faces found in an image, by descending score."""

    boxes_px: NDArray[np.float64]
    """(n, 4) x0, y0, x1, y1."""
    points_px: NDArray[np.float64]
    """(n, 5, 2) right eye, left eye, nose tip, right and left mouth corner; the person's."""


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: NDArray[np.uint8], color: ColorOrder) -> NDArray[np.float64]:
        """Return (n, 15) rows: x0, y0, x1, y1, score, five points x, y; pixels of the image."""

    def close(self) -> None:
        """Release the network; a second call does nothing."""


class FaceFinder:
    """A detector with what is common to all: what is too small, off, or not a number goes."""

    def __init__(self, detector: Detector, options: EstimatorOptions) -> None:
        self._detector = detector
        self._options = options

    def find(self, image: NDArray[np.uint8]) -> Detections:
        """Return the faces of a checked image, the most certain first."""
        rows = self._detector.detect(image, self._options.color)
        rows = rows[np.all(np.isfinite(rows), axis=1)]
        long_side = np.maximum(rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1])
        rows = rows[long_side >= self._options.min_face_px]
        most = max(self._options.max_faces, _LEAST_LOOKED_AT)
        rows = rows[np.argsort(-rows[:, 4], kind="stable")][:most]
        return Detections(rows[:, :4], rows[:, 5:].reshape(-1, 5, 2))

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._detector.close()


def make_face_finder(model: ModelFile | None, options: EstimatorOptions) -> FaceFinder:
    """Return the finder that the options ask for.

    Args:
        model: the bundled kind's file; None for YuNet, whose file is in the options.
        options: of the estimator.

    Raises:
        ModelError: the model file cannot be used.
        BackendError: the runtime is not installed.
    """
    if model is None:
        return FaceFinder(YuNetDetector(options), options)
    return FaceFinder(NetworkDetector(model, options), options)


class NetworkDetector:
    """This project's anchor-free detection network on a letterboxed image."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        card = model.card
        self._options = options
        self._mean, self._std = card.mean_std()
        sides = card.numbers("long_side_px")
        self._long_sides = [_whole(card, "long_side_px", n) for n in sides or (0.0,)]
        self._multiple = _whole(card, "multiple_px", card.number("multiple_px"))
        self._strides = [_whole(card, "strides", n) for n in card.numbers("strides")]
        self._backend = load_backend(model.path, card, threads=options.threads)

    def detect(self, image: NDArray[np.uint8], color: ColorOrder) -> NDArray[np.float64]:
        """Return (n, 15) rows in pixels of the image; see :class:`Detector`.

        A card may name several long sides: faces that fill the image are found in the smaller one.
        """
        found = [self._detect_at(long_side, image, color) for long_side in self._long_sides]
        if len(found) == 1:
            return found[0]
        together = np.concatenate(found)
        kept = nms(
            together[:, :4].astype(np.float32),
            together[:, 4].astype(np.float32),
            iou_threshold=self._options.nms_iou,
            max_detections=4 * self._options.max_faces,
        )
        return together[kept]

    def _detect_at(
        self, long_side: int, image: NDArray[np.uint8], color: ColorOrder
    ) -> NDArray[np.float64]:
        rows = image.shape[0] // 3 * 2 if color == "nv12" else image.shape[0]
        shrink = long_side / max(rows, image.shape[1])
        height, width = (
            max(math.ceil(round(n * shrink) / self._multiple), 1) * self._multiple
            for n in (rows, image.shape[1])
        )
        batch, scale = letterbox_normalize(
            image,
            width=width,
            height=height,
            mean=self._mean,
            std=self._std,
            color=color,
            output_color="rgb",
            threads=self._options.threads,
        )
        outputs = self._backend.run(batch)
        try:
            found = decode_detections(
                *(np.ascontiguousarray(outputs[n][0]) for n in ("scores", "boxes", "points")),
                width=width,
                height=height,
                strides=self._strides,
                score_threshold=self._options.min_confidence,
                iou_threshold=self._options.nms_iou,
                max_detections=4 * self._options.max_faces,
            ).astype(np.float64)
        except (ValueError, IndexError) as error:
            raise BackendError(
                f"the face detector's outputs cannot be decoded for a {width}x{height} input: "
                f"{str(error).rstrip('.')}. Check the strides in its card."
            ) from error
        is_pixel = np.arange(15) != 4
        found[:, is_pixel] = (found[:, is_pixel] + 0.5) / scale - 0.5
        return found

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._backend.close()


def _whole(card: ModelCard, key: str, value: float) -> int:
    if value != int(value) or not 1 <= value <= _MAX_NETWORK_SIDE_PX:
        raise ModelError(
            f"card {str(card.path)!r} has preprocessing.{key} = {value}; expected whole pixels "
            f"between 1 and {_MAX_NETWORK_SIDE_PX}. Take the card that came with the model."
        )
    return int(value)
