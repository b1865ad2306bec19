"""The estimator: images in, people's gaze out."""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ._call import Call
from ._checks import real_number, shown
from ._errors import BackendError, ConfigurationError, InputError, ModelError
from ._fork import OWNERS, never_free
from ._images import checked_image
from ._options import EstimatorOptions
from ._results import FaceResult, FrameResult
from .faces.crop_network import CropRequest
from .faces.detector import FaceDetector
from .faces.gaze_network import GazeNetwork, gaze_from_network
from .faces.hysteresis import Crop, CropHysteresis
from .faces.landmarks import LandmarkNetwork
from .faces.pipeline import FacePipeline
from .faces.tracks import Track
from .geometry import HeadPose, head_pose_from_landmarks
from .geometry.camera import Camera
from .models.cards import ModelCard
from .models.files import TASKS, resolve_models

_Floats = NDArray[np.float64]
_IMAGES_AT_ONCE = 8
"""Of a batch; more would only cost memory."""

_CLOSED = "the estimator is closed; make a new GazeEstimator."
_FORKED = (
    "the estimator was made before this process was forked, and the threads of its networks stayed "
    "behind; make a new GazeEstimator in each process, or start processes by 'spawn'."
)


class _Frame(NamedTuple):
    """One checked image."""

    image: NDArray[np.uint8]
    camera: Camera
    """At the size of the image."""
    camera_is_assumed: bool
    timestamp_s: float | None


class _Posed(NamedTuple):
    """One face on its way through the gaze stage."""

    track: Track
    head_pose: HeadPose
    crop: Crop


class GazeEstimator:
    """Finds the people in images and says where each of them looks.

    An estimator may be shared by threads: a lock lets one call in at a time, and results are those
    of serial calls.  A stream (calls with ``timestamp_s``) is one sequence of frames per estimator;
    give each camera an estimator of its own.  An estimator does not go into another process: in a
    forked child it counts as closed, and it cannot be pickled or copied.

    Args:
        model: None for the bundled networks; an ``.onnx`` file with its card beside it, or the name
            of a bundled one (``clipgaze models`` lists them); a TensorRT ``.engine`` with its
            side-car, built on this machine by ``clipgaze build-engine``; or a folder with some or
            all of ``face_detector``, ``face_landmarks`` and ``gaze``, each as ``.engine`` or
            ``.onnx``.  What is not given comes from the wheel, on ONNX Runtime, in the precision of
            the options.
        camera: of the images.  Without it, a horizontal field of view is assumed (see
            ``EstimatorOptions.horizontal_fov_deg``), and results say so.
        options: see :class:`EstimatorOptions`.

    Raises:
        ConfigurationError: an argument is of a wrong type, or the model has another precision than
            the options ask for.
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
        _check_model(model)
        _check_camera(camera)
        _check_type("options", options, EstimatorOptions, "EstimatorOptions(...).")
        self._options = options = options or EstimatorOptions()
        self._camera = camera
        wanted = tuple(t for t in TASKS if t != "face_detector" or options.detector == "bundled")
        models = resolve_models(model, tasks=wanted, precision=options.precision)
        self._cards = MappingProxyType({task: file.card for task, file in models.items()})
        with ExitStack() as loaded:  # closed again if a later one cannot be loaded
            # Popped, so that the bytes of each go once it is loaded.
            detector = FaceDetector(models.pop("face_detector", None), options)
            loaded.callback(detector.close)
            landmarks = LandmarkNetwork(models.pop("face_landmarks"), options)
            loaded.callback(landmarks.close)
            self._gaze = GazeNetwork(models.pop("gaze"), options)
            loaded.pop_all()
        self._pipeline = FacePipeline(detector, landmarks, options)
        self._gaze_crops = CropHysteresis(self._gaze.normalization.size_px)
        self._lock = threading.Lock()
        self._closed_because: str | None = None
        self._last_timestamp_s: float | None = None
        self._sized_camera: Camera | None = None
        self._stream_camera: Camera | None = None
        self._warned = False
        OWNERS.add(self)

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
            ModelError: a network's answer is not what its card says.
        """
        _check_camera(camera)
        with self._lock:
            self._check_open()
            call = Call()
            frame = self._checked(image, camera, timestamp_s)
            if frame.timestamp_s is None:
                (result,) = self._independent([frame], call)
            else:
                result = self._next_frame(frame, call)
            self._warn_of_invalid_numbers(call)
        return result

    def estimate_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[FrameResult]:
        """Return the results of independent images, in their order; sizes may differ.

        Args:
            images: as for :meth:`estimate`.

        Raises:
            InputError: an image cannot be used; the message says which.
            BackendError: the estimator is closed, or a network failed.
        """
        if not isinstance(images, (Sequence, np.ndarray)):
            raise InputError(
                f"images is a {type(images).__name__}; expected a sequence of images, as a list."
            )
        sides = 2 if self._options.color == "nv12" else 3
        if isinstance(images, np.ndarray) and images.ndim <= sides:
            raise InputError(
                f"images is one array of shape {images.shape}; expected a sequence of images. Use "
                "estimate(image) for one image, or pass [image]."
            )
        with self._lock:
            self._check_open()
            frames = []
            for index, image in enumerate(images):
                try:
                    frames.append(self._checked(image))
                except InputError as error:
                    raise InputError(f"images[{index}]: {error}") from error
            results: list[FrameResult] = []
            for start in range(0, len(frames), _IMAGES_AT_ONCE):
                call = Call()
                results += self._independent(frames[start : start + _IMAGES_AT_ONCE], call)
                self._warn_of_invalid_numbers(call)
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
            if self._closed_because is None:
                self._closed_because = _CLOSED
                self._pipeline.close()
                self._gaze.close()

    def _after_fork(self) -> None:
        """Count as closed in a forked child, without freeing what cannot be freed there."""
        self._lock = threading.Lock()  # which a thread of the parent may hold
        never_free((self._pipeline, self._gaze))  # even if the fork came in the midst of close()
        if self._closed_because is None:
            self._closed_because = _FORKED

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise BackendError(
            "an estimator cannot be pickled or copied, since its networks live in this process; "
            "make one in each process. Its camera, its options and results can be."
        )

    def __enter__(self) -> GazeEstimator:
        with self._lock:
            self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(
        self, image: object, camera: Camera | None = None, timestamp_s: float | None = None
    ) -> _Frame:
        checked, size_px = checked_image(image, self._options.color)
        sized = self._camera_for(size_px) if camera is None else camera.scaled_to(*size_px)
        assumed = camera is None and self._camera is None
        return _Frame(checked, sized, assumed, self._checked_timestamp(timestamp_s))

    def _independent(self, frames: Sequence[_Frame], call: Call) -> list[FrameResult]:
        sizes_px = [frame.camera.size_px for frame in frames]
        observed = self._pipeline.find([frame.image for frame in frames], sizes_px, call)
        return self._results(frames, [[Track(None, face) for face in of] for of in observed], call)

    def _next_frame(self, frame: _Frame, call: Call) -> FrameResult:
        before, self._stream_camera = self._stream_camera, frame.camera
        same = before is frame.camera or (before and before.to_dict() == frame.camera.to_dict())
        if not same:
            self._gaze_crops.clear()  # whose rotations are of the camera before
        tracks = self._pipeline.follow(frame.image, frame.camera.size_px, call)
        (result,) = self._results([frame], [tracks], call)
        self._last_timestamp_s = frame.timestamp_s
        return result

    def _results(
        self, frames: Sequence[_Frame], tracks: Sequence[Sequence[Track]], call: Call
    ) -> list[FrameResult]:
        faces = self._faces(frames, tracks, call)
        return [
            FrameResult(
                faces=tuple(sorted(of_frame, key=_area, reverse=True)),
                image_size_px=frame.camera.size_px,
                camera=frame.camera,
                camera_is_assumed=frame.camera_is_assumed,
                timestamp_s=frame.timestamp_s,
                detector_ran=call.detector_ran,
                timings_ms=call.timings_ms(images=len(frames)),
            )
            for frame, of_frame in zip(frames, faces, strict=True)
        ]

    def _faces(
        self, frames: Sequence[_Frame], tracks: Sequence[Sequence[Track]], call: Call
    ) -> list[list[FaceResult]]:
        """Return the results of each image's faces; the gaze network sees all as one batch."""
        with call.stage("pose"):
            cameras = [frame.camera for frame in frames]
            posed = [self._posed(*of) for of in zip(cameras, tracks, strict=True)]
        if not any(posed):
            return [[] for _ in frames]
        with call.stage("normalize"):
            places = [self._gaze.places([face.crop for face in faces]) for faces in posed]
            images = [frame.image for frame in frames]
            crops = self._gaze.crops([*map(CropRequest, images, places)])
        with call.stage("gaze"):
            answers = zip(*self._gaze.run(crops, np.concatenate(places)), strict=True)
        found = [[_face_result(face, *next(answers)) for face in faces] for faces in posed]
        call.saw_invalid_numbers |= any(None in faces for faces in found)
        return [[face for face in faces if face is not None] for faces in found]

    def _posed(self, camera: Camera, tracks: Sequence[Track]) -> list[_Posed]:
        """Return those of an image's faces that have a pose, and where their crops are."""
        posed = []
        for track in tracks:
            # An error means that whatever was seen is no face.
            with suppress(InputError, np.linalg.LinAlgError):
                marks = track.seen.landmarks_px
                pose = head_pose_from_landmarks(marks, camera)
                posed.append(_Posed(track, pose, self._gaze.crop_of(pose, camera, marks)))
        crops = self._gaze_crops.choose((face.track.track_id, face.crop) for face in posed)
        return [face._replace(crop=crop) for face, crop in zip(posed, crops, strict=True)]

    def _camera_for(self, size_px: tuple[int, int]) -> Camera:
        if self._sized_camera is None or self._sized_camera.size_px != size_px:
            camera = self._camera or Camera.from_fov(*size_px, self._options.horizontal_fov_deg)
            self._sized_camera = camera.scaled_to(*size_px)
        return self._sized_camera

    def _checked_timestamp(self, timestamp_s: float | None) -> float | None:
        if timestamp_s is None:
            return None
        value = real_number(timestamp_s)
        if not math.isfinite(value):
            raise InputError(
                f"timestamp_s is {shown(timestamp_s)}; expected seconds as a number, or None for "
                "an image of its own."
            )
        last = self._last_timestamp_s
        if last is not None and value <= last:
            raise InputError(
                f"timestamp_s is {value} after {last}; expected it to increase from frame to "
                "frame. Call reset() before another stream, and use one estimator per camera."
            )
        return value

    def _check_open(self) -> None:
        if self._closed_because is not None:
            raise BackendError(self._closed_because)

    def _warn_of_invalid_numbers(self, call: Call) -> None:
        if call.saw_invalid_numbers and not self._warned:
            self._warned = True
            warnings.warn(
                "a network gave numbers that are not finite or far too large, and the faces "
                "concerned are left out; its file is probably of too low a precision or not "
                "trained. Said once per estimator.",
                RuntimeWarning,
                stacklevel=3,  # public methods call this themselves: it is their caller's line
            )


def _face_result(
    posed: _Posed, pitch_yaw: _Floats, log_sigma: float, irises_px: _Floats, openness: _Floats
) -> FaceResult | None:
    """Return a face's result; None if the gaze network's numbers are none.

    Irises and openness that the gaze network does not say are the landmark network's.
    """
    gaze = gaze_from_network(
        pitch_yaw, log_sigma, rotation=posed.crop.rotation, head_pose=posed.head_pose
    )
    if gaze is None:
        return None
    face, visibility = posed.track.seen, posed.track.seen.visibility
    irises = np.where(np.isfinite(irises_px), irises_px, face.irises_px)
    openness = np.where(np.isfinite(openness), openness, face.openness)
    return FaceResult(
        bbox_px=face.box_px,
        confidence=face.presence,
        landmarks_px=face.landmarks_px.astype(np.float32),
        irises_px=irises.astype(np.float32),
        head_pose=posed.head_pose,
        eye_openness=np.clip(openness, 0.0, 1.0).astype(np.float32),
        gaze=gaze,
        track_id=posed.track.track_id,
        visibility=None if visibility is None else visibility.astype(np.float32),
    )


def _area(face: FaceResult) -> float:
    x0, y0, x1, y1 = face.bbox_px.tolist()
    return float((x1 - x0) * (y1 - y0))


def _check_type(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    if value is not None and not isinstance(value, kinds):
        raise ConfigurationError(f"{name} is a {type(value).__name__}; expected {expected}")


def _check_camera(camera: object) -> None:
    _check_type("camera", camera, Camera, "a Camera. Read a file with Camera.load(path).")


def _check_model(model: str | Path | None) -> None:
    expected = "the path of a model file or folder, or None. Name the other arguments."
    _check_type("model", model, (str, Path), expected)
    try:
        os.stat(model or "")
    except FileNotFoundError:  # which is said better where files are looked for
        pass
    except (OSError, ValueError) as error:
        raise ModelError(f"model {shown(str(model))} cannot be read ({error}).") from error
