"""From an image to observed faces: detect, look, look again; or follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .._options import EstimatorOptions
from .._timings import StageClock
from ..geometry import face_crop_from_detection
from .detector import FaceDetector
from .hysteresis import Crop, CropHysteresis
from .landmarks import CropRequest, FaceObservation, LandmarkNetwork
from .tracks import FaceTracks, Track, distinct_faces

_Size = tuple[int, int]


class FacePipeline:
    """The detector, the landmark network and the faces followed so far."""

    def __init__(
        self, detector: FaceDetector, landmarks: LandmarkNetwork, options: EstimatorOptions
    ) -> None:
        self._detector = detector
        self._landmarks = landmarks
        self._options = options
        self._tracks = FaceTracks(options)
        self._crops = CropHysteresis((landmarks.size_px, landmarks.size_px))
        self._size_px: _Size | None = None
        self._frames_since_detection = 0
        self.saw_invalid_numbers = False
        """Set when the landmark network gave numbers that are not finite."""

    def find(
        self, images: Sequence[NDArray[np.uint8]], sizes_px: Sequence[_Size], clock: StageClock
    ) -> list[list[FaceObservation]]:
        """Return the faces of each image, whatever is followed."""
        with clock.stage("detect"):
            found = [self._detector.find(image) for image in images]
        requests = [
            CropRequest(image, self._detection_crops(f.boxes_px, f.points_px))
            for image, f in zip(images, found, strict=True)
        ]
        with clock.stage("landmarks"):
            observations = self._refine(requests)
        return [
            distinct_faces(faces, size, self._options)
            for faces, size in zip(observations, sizes_px, strict=True)
        ]

    def follow(
        self, image: NDArray[np.uint8], size_px: _Size, clock: StageClock
    ) -> tuple[tuple[Track, ...], bool]:
        """Return the followed faces of a stream's next image, and whether the detector ran."""
        if size_px != self._size_px:
            self._tracks.clear()
            self._size_px = size_px
        if self._tracks.tracks:
            with clock.stage("landmarks"):
                crops = self._crops.choose(
                    (t.track_id, Crop(self._landmarks.crop_around(t.seen.landmarks_px), np.eye(3)))
                    for t in self._tracks.tracks
                )
                stacked = np.stack([crop.image_from_crop for crop in crops])
                (seen,) = self._observe([CropRequest(image, stacked)])
                self._tracks.follow(seen, size_px)
        self._frames_since_detection += 1
        due = self._frames_since_detection >= self._options.detect_interval
        if self._tracks.tracks and not due:
            return self._tracks.tracks, False
        with clock.stage("detect"):
            found = self._detector.find(image)
            self._frames_since_detection = 0
            new = self._tracks.unknown(found.boxes_px)
        if new:
            crops_of_new = self._detection_crops(found.boxes_px[new], found.points_px[new])
            with clock.stage("landmarks"):
                (observed,) = self._refine([CropRequest(image, crops_of_new)])
                self._tracks.add(distinct_faces(observed, size_px, self._options))
        return self._tracks.tracks, True

    def reset(self) -> None:
        """Let every followed face go; identities go on counting."""
        self._tracks.clear()
        self._crops.clear()
        self._frames_since_detection = 0

    def close(self) -> None:
        """Release both networks; a second call does nothing."""
        self._detector.close()
        self._landmarks.close()

    def _detection_crops(
        self, boxes_px: NDArray[np.float64], points_px: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        size_px, scale = self._landmarks.size_px, self._landmarks.crop_scale
        crops = [
            face_crop_from_detection(box, points, size_px=size_px, scale=scale)
            for box, points in zip(boxes_px, points_px, strict=True)
        ]
        return np.stack(crops) if crops else np.zeros((0, 3, 3))

    def _refine(self, requests: Sequence[CropRequest]) -> list[list[FaceObservation]]:
        """Observe detections, then again in the crops that their landmarks give.

        A detection's crop is only nearly the one that the network is at its best in, so the
        landmarks are those of the second look.  Presence is the mean of both: what is no face
        rarely looks like one twice.
        """
        first = self._observe(requests)
        likely, again = [], []
        for request, faces in zip(requests, first, strict=True):
            # Half of the presence that counts: the second look is there to correct the first.
            enough = 0.5 * self._options.min_presence
            likely.append([f for f in faces if f.is_finite and f.presence >= enough])
            crops = [self._landmarks.crop_around(f.landmarks_px) for f in likely[-1]]
            stacked = np.stack(crops) if crops else np.zeros((0, 3, 3))
            again.append(CropRequest(request.image, stacked))
        return [
            [_seen_twice(*looks) for looks in zip(before, after, strict=True)]
            for before, after in zip(likely, self._observe(again), strict=True)
        ]

    def _observe(self, requests: Sequence[CropRequest]) -> list[list[FaceObservation]]:
        observations = self._landmarks.observe(requests)
        if any(not face.is_finite for faces in observations for face in faces):
            self.saw_invalid_numbers = True
        return observations


def _seen_twice(first: FaceObservation, second: FaceObservation) -> FaceObservation:
    if not second.is_finite:
        return second
    return replace(second, presence=(first.presence + second.presence) / 2)
