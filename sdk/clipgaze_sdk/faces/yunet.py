"""OpenCV's YuNet as the face detector, for who has its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import BackendError, ModelError
from .._options import ColorOrder, EstimatorOptions

_LONG_SIDE_PX = 640
"""Larger images are shrunk to this: YuNet finds faces of 10 to 300 px best."""


class YuNetDetector:
    """``cv2.FaceDetectorYN``; it uses OpenCV's own threads, of which there is one pool per process.

    Raises:
        ModelError: the file is missing or is no YuNet.
    """

    def __init__(self, options: EstimatorOptions) -> None:
        from .._opencv import cv2

        self._path = Path(str(options.detector_path))
        if not self._path.is_file():
            raise ModelError(
                f"detector_path {str(self._path)!r} does not exist; expected YuNet's ONNX file. "
                "Check the path."
            )
        try:
            self._network: Any = cv2.FaceDetectorYN.create(
                str(self._path),
                "",
                (_LONG_SIDE_PX, _LONG_SIDE_PX),
                options.min_confidence,
                options.nms_iou,
                4 * options.max_faces,
            )
            # A file of another kind loads, and fails on its first image.
            self._network.detect(np.zeros((_LONG_SIDE_PX, _LONG_SIDE_PX, 3), np.uint8))
        except cv2.error as error:
            raise ModelError(
                f"OpenCV {cv2.__version__} cannot use {str(self._path)!r} as YuNet "
                f"({str(error).strip()}); expected YuNet's ONNX file. Check the file, or leave "
                "detector at its default."
            ) from error

    def detect(self, image: NDArray[np.uint8], color: ColorOrder) -> NDArray[np.float64]:
        """Return (n, 15) rows in pixels of the image: box, score, five points."""
        from .._opencv import cv2

        if self._network is None:
            raise BackendError(f"the detector {str(self._path)!r} is closed; make a new estimator.")
        bgr: Any = image
        if color != "bgr":
            code = cv2.COLOR_YUV2BGR_NV12 if color == "nv12" else cv2.COLOR_RGB2BGR
            bgr = cv2.cvtColor(image, code)
        height, width = bgr.shape[:2]
        shrink = min(_LONG_SIDE_PX / max(height, width), 1.0)
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
        points = rows[:, 4:14]
        boxes = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
        scale = np.array([width / size[0], height / size[1]])
        boxes = (boxes + 0.5) * np.tile(scale, 2) - 0.5
        points = (points + 0.5) * np.tile(scale, 5) - 0.5
        return np.hstack([boxes, rows[:, 14:15], points])

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._network = None
