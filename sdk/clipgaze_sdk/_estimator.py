"""The estimator: images in, people's gaze out."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np
from numpy.typing import NDArray

from ._errors import BackendError, ConfigurationError, InputError
from ._images import checked_image
from ._options import EstimatorOptions
from ._results import FaceResult, FrameResult
from ._timings import StageClock
from .faces.detector import make_face_detector
from .faces.gaze_network import GazeNetwork, gaze_from_network
from .faces.hysteresis import Crop, CropHysteresis
from .faces.landmarks import FaceObservation, LandmarkNetwork
from .faces.pipeline import FacePipeline
from .geometry import HeadPose, head_pose_from_landmarks
from .geometry.camera import Camera
from .models.cards import ModelCard
from .models.files import TASKS, resolve_models

_IMAGES_AT_ONCE = 8
"""Of a batch; more would only cost memory."""


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """One face on its way through the gaze stage."""

    image_index: int
    seen: FaceObservation
    track_id: int | None
    head_pose: HeadPose


class GazeEstimator:
    """Finds the people in images and says where each of them looks.

    An estimator may be shared by threads: a lock lets one call in at a time, and results are those
    of serial calls.  A stream (calls with ``timestamp_s``) is one sequence of frames per estimator;
    give each camera an estimator of its own.

    Args:
        model: None for the bundled networks; an ``.onnx`` file with its card beside it; a TensorRT
            ``.engine`` with its side-car, built on this machine by ``clipgaze build-engine``; or a
            folder with some or all of ``face_detector``, ``face_landmarks`` and ``gaze``, each as
            ``.engine`` or ``.onnx``.  What is not given comes from the wheel, on ONNX Runtime.
        camera: of the images.  Without it, a horizontal field of view is assumed (see
            ``EstimatorOptions.horizontal_fov_deg``), and results say so.
        options: see :class:`EstimatorOptions`.

    Raises:
        ConfigurationError: an argument is of a wrong type.
        ModelError: a model file or its card is missing, damaged, or does not match the other.
        BackendError: a network's runtime is not installed, or an engine was built for another
            machine or version.

    Example:
        >>> import numpy as np
        >>> from clipgaze_sdk import GazeEstimator
        >>> with GazeEstimator() as estimator:  # doctest: +SKIP
        ...     result = estimator.estimate(np.zeros((480, 640, 3), np.uint8))
        >>> result.faces  # doctest: +SKIP
        ()
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        camera: Camera | None = None,
        options: EstimatorOptions | None = None,
    ) -> None:
        self._options = _checked_options(options)
        self._camera = _checked_camera(camera)
        wanted = tuple(
            t for t in TASKS if t != "face_detector" or self._options.detector == "bundled"
        )
        models = resolve_models(_checked_model(model), tasks=wanted)
        self._cards = MappingProxyType({task: file.card for task, file in models.items()})
        with ExitStack() as loaded:  # closed again if a later one cannot be loaded
            detector = make_face_detector(models.get("face_detector"), self._options)
            loaded.callback(detector.close)
            landmarks = LandmarkNetwork(models["face_landmarks"], self._options)
            loaded.callback(landmarks.close)
            self._gaze = GazeNetwork(models["gaze"], self._options)
            loaded.pop_all()
        self._pipeline = FacePipeline(detector, landmarks, self._options)
        self._gaze_crops = CropHysteresis(self._gaze.normalization.size_px)
        self._lock = threading.Lock()
        self._closed = False
        self._last_timestamp_s: float | None = None
        self._sized_camera: Camera | None = None
        self._stream_camera: Camera | None = None
        self._warned = False

    @property
    def cards(self) -> Mapping[str, ModelCard]:
        """The networks' cards by task; without "face_detector" when YuNet is the detector."""
        return self._cards

    @property
    def options(self) -> EstimatorOptions:
        """As given, or the defaults."""
        return self._options

    def estimate(
        self,
        image: NDArray[np.uint8],
        *,
        timestamp_s: float | None = None,
        camera: Camera | None = None,
    ) -> FrameResult:
        """Return the people in an image and where they look.

        Args:
            image: (H, W, 3) uint8 in the channel order of the options, or (H * 3 / 2, W) for
                "nv12".  It is not changed, and not needed after the call.
            timestamp_s: None for an image of its own; else seconds on any clock, and the image is
                the next frame of the estimator's stream: faces are followed and keep their IDs.
            camera: that took this image, where it is not the estimator's.

        Raises:
            ConfigurationError: ``camera`` is of another type.
            InputError: the image or the timestamp cannot be used; the stream is as before.
            BackendError: the estimator is closed, or a network failed.
        """
        with self._lock:
            self._check_open()
            checked, own = self._checked(image, _checked_camera(camera))
            if timestamp_s is None:
                result = self._independent([checked], [own])[0]
            else:
                result = self._next_frame(checked, own, self._checked_timestamp(timestamp_s))
        return result if camera is None else replace(result, camera_is_assumed=False)

    def estimate_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[FrameResult]:
        """Return the results of independent images, in their order; sizes may differ.

        Args:
            images: as for :meth:`estimate`.

        Raises:
            InputError: an image cannot be used; the message says which.
            BackendError: the estimator is closed, or a network failed.
        """
        if isinstance(images, np.ndarray) and images.ndim < 4 and self._options.color != "nv12":
            raise InputError(
                f"images is one array of shape {images.shape}; expected a sequence of images. Use "
                "estimate(image) for one image, or pass [image]."
            )
        with self._lock:
            self._check_open()
            checked = []
            for index, image in enumerate(images):
                try:
                    checked.append(self._checked(image))
                except InputError as error:
                    raise InputError(f"images[{index}]: {error}") from error
            results: list[FrameResult] = []
            for start in range(0, len(checked), _IMAGES_AT_ONCE):
                part = checked[start : start + _IMAGES_AT_ONCE]
                results += self._independent([image for image, _ in part], [c for _, c in part])
            return results

    def reset(self) -> None:
        """Forget the stream: followed faces and the last timestamp.  IDs go on counting."""
        with self._lock:
            self._check_open()
            self._pipeline.reset()
            self._gaze_crops.clear()
            self._last_timestamp_s = None

    def close(self) -> None:
        """Release the networks; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._pipeline.close()
                self._gaze.close()

    def __enter__(self) -> GazeEstimator:
        with self._lock:
            self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _checked(
        self, image: object, camera: Camera | None = None
    ) -> tuple[NDArray[np.uint8], Camera]:
        checked, size_px = checked_image(image, self._options.color)
        known = self._camera_for(size_px) if camera is None else camera.scaled_to(*size_px)
        return checked, known

    def _independent(
        self, images: list[NDArray[np.uint8]], cameras: list[Camera]
    ) -> list[FrameResult]:
        clock = StageClock()
        observed = self._pipeline.find(images, [c.size_px for c in cameras], clock)
        faces = [[(face, None) for face in in_image] for in_image in observed]
        results = self._gaze_results(images, cameras, faces, clock)
        timings = clock.timings_ms(images=len(images))
        return [
            self._frame_result(in_image, camera, detector_ran=True, timings_ms=timings)
            for in_image, camera in zip(results, cameras, strict=True)
        ]

    def _next_frame(
        self, image: NDArray[np.uint8], camera: Camera, timestamp_s: float
    ) -> FrameResult:
        clock = StageClock()
        if self._stream_camera is None or not _same_view(self._stream_camera, camera):
            self._gaze_crops.clear()  # whose rotations are of the camera before
            self._stream_camera = camera
        tracks, detector_ran = self._pipeline.follow(image, camera.size_px, clock)
        faces = [[(track.seen, track.track_id) for track in tracks]]
        (results,) = self._gaze_results([image], [camera], faces, clock)
        self._last_timestamp_s = timestamp_s
        return self._frame_result(
            results,
            camera,
            detector_ran=detector_ran,
            timings_ms=clock.timings_ms(images=1),
            timestamp_s=timestamp_s,
        )

    def _frame_result(
        self,
        faces: list[FaceResult],
        camera: Camera,
        *,
        detector_ran: bool,
        timings_ms: Mapping[str, float],
        timestamp_s: float | None = None,
    ) -> FrameResult:
        return FrameResult(
            faces=tuple(sorted(faces, key=_negative_area)),
            image_size_px=camera.size_px,
            camera=camera,
            camera_is_assumed=self._camera is None,
            timestamp_s=timestamp_s,
            detector_ran=detector_ran,
            timings_ms=timings_ms,
        )

    def _gaze_results(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera],
        observed: Sequence[Sequence[tuple[FaceObservation, int | None]]],
        clock: StageClock,
    ) -> list[list[FaceResult]]:
        """Return the results of each image's faces; the gaze network sees all as one batch."""
        with clock.stage("pose"):
            faces = [
                face
                for index, in_image in enumerate(observed)
                for seen, track_id in in_image
                if (face := _posed_face(index, seen, track_id, cameras[index])) is not None
            ]
        results: list[list[FaceResult]] = [[] for _ in images]
        invalid = self._pipeline.saw_invalid_numbers
        if faces:
            with clock.stage("normalize"):
                rotations, crops = self._normalized(images, cameras, faces)
            with clock.stage("gaze"):
                pitch_yaw, log_sigma = self._gaze.run(crops)
            for face, rotation, angles, sigma in zip(
                faces, rotations, pitch_yaw, log_sigma, strict=True
            ):
                result = _face_result(face, rotation, angles, float(sigma))
                if result is None:
                    invalid = True
                else:
                    results[face.image_index].append(result)
        if invalid:
            self._warn_of_invalid_numbers()
        return results

    def _normalized(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera],
        faces: Sequence[_Face],
    ) -> tuple[list[NDArray[np.float64]], NDArray[np.float32]]:
        """Return the rotation of each face's normalised camera, and all crops as one batch."""
        normalization = self._gaze.normalization
        anew = []
        for face in faces:
            center_mm = face.head_pose.translation_mm
            rotation = normalization.rotation(center_mm, face.head_pose.camera_from_head)
            camera = cameras[face.image_index]
            image_from_crop = normalization.image_from_crop(camera, center_mm, rotation)
            anew.append((face.track_id, Crop(image_from_crop, rotation)))
        places = self._gaze_crops.choose(anew)
        crops = []
        for index, image in enumerate(images):
            own = [
                place.image_from_crop
                for face, place in zip(faces, places, strict=True)
                if face.image_index == index
            ]
            if own:
                crops.append(self._gaze.sample(image, np.stack(own)))
        rotations = [place.rotation for place in places]
        return rotations, crops[0] if len(crops) == 1 else np.concatenate(crops)

    def _camera_for(self, size_px: tuple[int, int]) -> Camera:
        if self._sized_camera is None or self._sized_camera.size_px != size_px:
            if self._camera is None:
                self._sized_camera = Camera.from_fov(*size_px, self._options.horizontal_fov_deg)
            else:
                self._sized_camera = self._camera.scaled_to(*size_px)
        return self._sized_camera

    def _checked_timestamp(self, timestamp_s: float) -> float:
        try:
            value = float(timestamp_s)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise InputError(
                f"timestamp_s is {timestamp_s!r}; expected seconds as a number, or None for an "
                "image of its own."
            )
        last = self._last_timestamp_s
        if last is not None and value <= last:
            raise InputError(
                f"timestamp_s is {value} after {last}; expected it to increase from frame to "
                "frame. Call reset() before another stream, and use one estimator per camera."
            )
        return value

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("the estimator is closed; make a new GazeEstimator.")

    def _warn_of_invalid_numbers(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                "a network gave numbers that are not finite, and the faces concerned are left out; "
                "its file is probably of too low a precision or not trained. Said once per "
                "estimator.",
                RuntimeWarning,
                stacklevel=5,
            )


def _same_view(first: Camera, second: Camera) -> bool:
    return first is second or (
        first.size_px == second.size_px
        and np.array_equal(first.matrix, second.matrix)
        and np.array_equal(first.distortion, second.distortion)
    )


def _posed_face(
    index: int, seen: FaceObservation, track_id: int | None, camera: Camera
) -> _Face | None:
    try:
        pose = head_pose_from_landmarks(seen.landmarks_px, camera)
    except InputError:  # landmarks in one place: whatever was seen, it is no face
        return None
    finite = np.all(np.isfinite(pose.camera_from_head)) and np.all(np.isfinite(pose.translation_mm))
    return _Face(index, seen, track_id, pose) if finite else None


def _face_result(
    face: _Face, rotation: NDArray[np.float64], angles: NDArray[np.float64], log_sigma: float
) -> FaceResult | None:
    gaze = gaze_from_network(angles, log_sigma, rotation=rotation, head_pose=face.head_pose)
    if gaze is None:
        return None
    seen = face.seen.visibility
    return FaceResult(
        bbox_px=face.seen.box_px,
        confidence=face.seen.presence,
        landmarks_px=face.seen.landmarks_px.astype(np.float32),
        irises_px=face.seen.irises_px.astype(np.float32),
        head_pose=face.head_pose,
        eye_openness=face.seen.openness.astype(np.float32),
        gaze=gaze,
        track_id=face.track_id,
        visibility=None if seen is None else seen.astype(np.float32),
    )


def _negative_area(face: FaceResult) -> float:
    x0, y0, x1, y1 = face.bbox_px.tolist()
    return -float((x1 - x0) * (y1 - y0))


def _checked_model(model: str | Path | None) -> str | Path | None:
    if model is not None and not isinstance(model, (str, Path)):
        raise ConfigurationError(
            f"model is a {type(model).__name__}; expected the path of a model file or folder, or "
            "None. Pass options and camera by their names."
        )
    return model


def _checked_options(options: EstimatorOptions | None) -> EstimatorOptions:
    if options is None:
        return EstimatorOptions()
    if not isinstance(options, EstimatorOptions):
        raise ConfigurationError(
            f"options is a {type(options).__name__}; expected EstimatorOptions(...)."
        )
    return options


def _checked_camera(camera: Camera | None) -> Camera | None:
    if camera is not None and not isinstance(camera, Camera):
        raise ConfigurationError(
            f"camera is a {type(camera).__name__}; expected a Camera. Read a file with "
            "Camera.load(path)."
        )
    return camera
