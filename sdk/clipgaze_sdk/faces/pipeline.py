"""From an image to observed faces: detect, observe, refine; or follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._call import Call
from .._options import EstimatorOptions
from .crop_network import CropRequest
from .detector import Detections, FaceDetector
from .hysteresis import Crop, CropHysteresis
from .landmarks import FaceObservation, LandmarkNetwork
from .tracks import FaceTracks, Track, distinct_faces

_Image = NDArray[np.uint8]
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
        self._crops = CropHysteresis(landmarks.size_px)
        self._size_px: _Size | None = None
        self._frames_since_detection = 0

    def find(
        self, images: Sequence[_Image], sizes_px: Sequence[_Size], call: Call
    ) -> list[list[FaceObservation]]:
        """Return the faces of each image, independent of the followed faces."""
        with call.stage("detect"):
            call.detector_ran = True
            found = [self._detector.find(image) for image in images]
        with call.stage("landmarks"):
            requests = [self._request(*pair) for pair in zip(images, found, strict=True)]
            observations = self._refine(requests, call)
        return [
            distinct_faces(faces, size, self._options)
            for faces, size in zip(observations, sizes_px, strict=True)
        ]

    def follow(self, image: _Image, size_px: _Size, call: Call) -> tuple[Track, ...]:
        """Return the followed faces of a stream's next image."""
        if size_px != self._size_px:
            self._tracks.clear()
            self._size_px = size_px
        if self._tracks.tracks:
            with call.stage("landmarks"):
                crops = self._crops.choose(
                    (t.track_id, Crop(self._landmarks.crop_around(t.seen.landmarks_px)))
                    for t in self._tracks.tracks
                )
                stacked = np.stack([crop.image_from_crop for crop in crops])
                (seen,) = self._observe([CropRequest(image, stacked)], call)
                self._tracks.follow(seen, size_px)
        self._frames_since_detection += 1
        due = self._frames_since_detection >= self._options.detect_interval
        if self._tracks.tracks and not due:
            return self._tracks.tracks
        with call.stage("detect"):
            call.detector_ran = True
            found = self._detector.find(image)
            self._frames_since_detection = 0
            new = self._tracks.unknown(found.boxes_px)
        if new:
            with call.stage("landmarks"):
                of_new = Detections(found.boxes_px[new], found.points_px[new])
                (observed,) = self._refine([self._request(image, of_new)], call)
                self._tracks.add(distinct_faces(observed, size_px, self._options))
        return self._tracks.tracks

    def reset(self) -> None:
        """Let every followed face go; identities go on counting."""
        self._tracks.clear()
        self._crops.clear()
        self._frames_since_detection = 0

    def close(self) -> None:
        """Release both networks; a second call does nothing."""
        self._detector.close()
        self._landmarks.close()

    def _request(self, image: _Image, found: Detections) -> CropRequest:
        pairs = zip(found.boxes_px, found.points_px, strict=True)
        crops = [self._landmarks.crop_of_detection(*pair) for pair in pairs]
        return CropRequest(image, np.reshape(crops, (-1, 3, 3)))

    def _refine(self, requests: Sequence[CropRequest], call: Call) -> list[list[FaceObservation]]:
        """Observe detections, then again in the crops that their landmarks give.

        A detection's crop is only nearly the one that the network is at its best in, so the
        landmarks are those of the second look.  Presence is the mean of both: what is no face
        rarely looks like one twice.
        """
        first = self._observe(requests, call)
        likely, again = [], []
        for request, faces in zip(requests, first, strict=True):
            # Half of the presence that counts: the second look is there to correct the first.
            enough = 0.5 * self._options.min_presence
            likely.append([f for f in faces if f.is_finite and f.presence >= enough])
            crops = [self._landmarks.crop_around(f.landmarks_px) for f in likely[-1]]
            again.append(CropRequest(request.image, np.reshape(crops, (-1, 3, 3))))
        return [
            [_seen_twice(*looks) for looks in zip(before, after, strict=True)]
            for before, after in zip(likely, self._observe(again, call), strict=True)
        ]

    def _observe(self, requests: Sequence[CropRequest], call: Call) -> list[list[FaceObservation]]:
        observations = self._landmarks.observe(requests)
        call.saw_invalid_numbers |= not all(face.is_finite for of in observations for face in of)
        return observations


def _seen_twice(first: FaceObservation, second: FaceObservation) -> FaceObservation:
    presence = (first.presence + second.presence) / 2 if second.is_finite else second.presence
    return second._replace(presence=presence)
