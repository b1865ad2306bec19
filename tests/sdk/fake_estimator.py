"""An estimator without networks, for tests of what surrounds the estimator."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk._errors import InputError
from clipgaze_sdk._results import FrameResult
from tests.sdk.example_results import example_face, example_result


class FakeEstimator:
    """Finds one face in every image that is not black; its yaw is the frame's number in degrees."""

    def __init__(self, *, interrupt_at: int | None = None, refuse_width: int | None = None) -> None:
        self.stamps: list[float | None] = []
        self.closed = False
        self._interrupt_at = interrupt_at
        self._refuse_width = refuse_width

    def __call__(self, args: argparse.Namespace) -> FakeEstimator:
        """Take the place of `make_estimator`."""
        return self

    def __enter__(self) -> FakeEstimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def estimate(
        self, image: NDArray[np.uint8], *, timestamp_s: float | None = None
    ) -> FrameResult:
        number = len(self.stamps)
        if number == self._interrupt_at:
            raise KeyboardInterrupt
        height, width = image.shape[:2]
        if width == self._refuse_width:
            raise InputError(f"image is {width} px wide. Expected another width.")
        self.stamps.append(timestamp_s)
        track = None if timestamp_s is None else 0
        box = (0.3 * width, 0.2 * height, 0.6 * width, 0.8 * height)
        faces = [example_face(yaw_deg=number, box=box, track_id=track)] if image.any() else []
        return example_result(*faces, size=(width, height), timestamp_s=timestamp_s)
