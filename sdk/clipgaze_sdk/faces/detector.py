"""Finding faces in a whole image."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._errors import BackendError, ModelError
from .._options import EstimatorOptions
from ..backends import load_backend
from ..kernels import decode_detections, letterbox_normalize, nms
from ..models.cards import ModelCard
from ..models.files import ModelFile

_MAX_NETWORK_SIDE_PX = 16384
_YUNET_SIDE_PX = 640
"""Larger images are shrunk to this: YuNet finds faces of 10 to 300 px best."""
_LEAST_LOOKED_AT = 4
"""So many detections are looked at even where fewer faces are wanted: the best may be no face."""


class Detections(NamedTuple):
    """Faces found in an image, by descending score."""

    boxes_px: NDArray[np.float64]
    """(n, 4) x0, y0, x1, y1."""
    points_px: NDArray[np.float64]
    """(n, 5, 2) right eye, left eye, nose tip, right and left mouth corner; the person's."""


class FaceDetector:
    """The model that the options ask for; what is too small, off, or not a number goes.

    Args:
        model: the bundled kind's file; None for YuNet, whose file is in the options.
        options: of the estimator.

    Raises:
        ModelError: the model file cannot be used.
        BackendError: the runtime is not installed.
    """

    def __init__(self, model: ModelFile | None, options: EstimatorOptions) -> None:
        self._model = YuNetDetector(options) if model is None else NetworkDetector(model, options)
        self._options = options

    def find(self, image: NDArray[np.uint8]) -> Detections:
        """Return the faces of a checked image, the most certain first."""
        rows = self._model.detect(image)
        rows = rows[np.all(np.isfinite(rows), axis=1)]
        long_side = np.maximum(rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1])
        rows = rows[long_side >= self._options.min_face_px]
        most = max(self._options.max_faces, _LEAST_LOOKED_AT)
        rows = rows[np.argsort(-rows[:, 4], kind="stable")][:most]
        return Detections(rows[:, :4], rows[:, 5:].reshape(-1, 5, 2))

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._model.close()


class NetworkDetector:
    """This project's anchor-free detection network on a letterboxed image."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        card = model.card
        self._is_nv12 = options.color == "nv12"
        sides = card.numbers("long_side_px")
        self._long_sides = [_whole(card, "long_side_px", n) for n in sides]
        self._multiple = _whole(card, "multiple_px", card.number("multiple_px"))
        strides = [_whole(card, "strides", n) for n in card.numbers("strides")]
        mean, std = card.mean_std()
        iou, most, least = options.nms_iou, 4 * options.max_faces, options.min_confidence
        letterbox = partial(letterbox_normalize, mean=mean, std=std)
        self._letterbox = partial(letterbox, color=options.color, threads=options.threads)
        self._nms = partial(nms, iou_threshold=iou, max_detections=most)
        decode = partial(decode_detections, iou_threshold=iou, max_detections=most)
        self._decode = partial(decode, strides=strides, score_threshold=least)
        self._backend = load_backend(model, threads=options.threads)

    def detect(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (n, 15) rows: x0, y0, x1, y1, score, five points x, y; pixels of the image.

        A card may name several long sides: faces that fill the image are found in the smaller one.
        """
        found = [self._detect_at(long_side, image) for long_side in self._long_sides]
        if len(found) == 1:
            return found[0]
        together = np.concatenate(found)
        boxes, scores = together[:, :4].astype(np.float32), together[:, 4].astype(np.float32)
        return together[self._nms(boxes, scores)]

    def _detect_at(self, long_side: int, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows, columns = image.shape[:2]
        rows = rows // 3 * 2 if self._is_nv12 else rows
        shrink = long_side / max(rows, columns)
        height, width = (
            max(math.ceil(round(n * shrink) / self._multiple), 1) * self._multiple
            for n in (rows, columns)
        )
        batch, scale = self._letterbox(image, width=width, height=height)
        outputs = self._backend.run(batch)
        try:
            said = [np.ascontiguousarray(outputs[n][0]) for n in ("scores", "boxes", "points")]
            found = self._decode(*said, width=width, height=height).astype(np.float64)
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


class YuNetDetector:
    """OpenCV's YuNet, for those who have its file.

    It runs on OpenCV's own threads, of which there is one pool per process.

    Raises:
        ModelError: the file is missing or is no YuNet.
    """

    def __init__(self, options: EstimatorOptions) -> None:
        from .._opencv import cv2, opencv_path, quiet_opencv

        self._color = options.color
        self._path = Path(str(options.detector_path))
        if not os.path.isfile(self._path):  # which says no to names of any length
            raise ModelError(
                f"detector_path {str(self._path)!r} does not exist; expected YuNet's ONNX file. "
                "Check the path."
            )
        try:
            side = _YUNET_SIDE_PX
            limits = options.min_confidence, options.nms_iou, 4 * options.max_faces
            name = opencv_path(self._path)
            with quiet_opencv():  # OpenCV 5 warns of targets that nobody asked for
                self._network: Any = cv2.FaceDetectorYN.create(name, "", (side, side), *limits)
            # A file of another kind loads, and fails on its first image.
            self._network.detect(np.zeros((side, side, 3), np.uint8))
        except cv2.error as error:
            raise ModelError(
                f"OpenCV {cv2.__version__} cannot use {str(self._path)!r} as YuNet "
                f"({str(error).strip()}); expected YuNet's ONNX file. Check the file, or leave "
                "detector at its default."
            ) from error

    def detect(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (n, 15) rows as :meth:`NetworkDetector.detect` does."""
        from .._opencv import cv2

        if self._network is None:
            raise BackendError(f"the detector {str(self._path)!r} is closed; make a new estimator.")
        bgr: Any = image
        if self._color != "bgr":
            code = cv2.COLOR_YUV2BGR_NV12 if self._color == "nv12" else cv2.COLOR_RGB2BGR
            bgr = cv2.cvtColor(image, code)
        height, width = bgr.shape[:2]
        shrink = min(_YUNET_SIDE_PX / max(height, width), 1.0)
        size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
        if size != (width, height):
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        try:
            self._network.setInputSize(size)
            found = self._network.detect(bgr)[1]
        except cv2.error as error:
            raise BackendError(
                f"YuNet failed on an image of {width}x{height} px: {str(error).strip()}"
            ) from error
        if found is None:
            return np.zeros((0, 15))
        rows = np.asarray(found, dtype=np.float64)
        corners = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 4:14]])
        corners = (corners + 0.5) * np.tile([width / size[0], height / size[1]], 7) - 0.5
        return np.hstack([corners[:, :4], rows[:, 14:15], corners[:, 4:]])

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._network = None


def _whole(card: ModelCard, key: str, value: float) -> int:
    if value != int(value) or not 1 <= value <= _MAX_NETWORK_SIDE_PX:
        raise ModelError(
            f"card {str(card.path)!r} has preprocessing.{key} = {value}; expected whole pixels "
            f"between 1 and {_MAX_NETWORK_SIDE_PX}. Take the card that came with the model."
        )
    return int(value)
