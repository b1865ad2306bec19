"""Geometry of faces, heads and gaze: what training and run time share.

Frames, signs and units are stated once, in :mod:`clipgaze_sdk._results`: camera frame x right,
y down, z forward; head frame x to the person's left, y down, z into the head; millimetres; pixel
centres at integers; rotations named ``target_from_source``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._angles import angle_between, angles_from_vector, mirror_angles, vector_from_angles
from ._camera import Camera
from ._errors import ConfigurationError, InputError
from ._face_model import FACE_MODEL_MM, MIRRORED_LANDMARKS
from ._head_pose import head_pose_from_landmarks
from ._points import finite_pixels, landmark_pixels
from ._results import HeadPose

__all__ = [
    "FACE_MODEL_MM",
    "MIRRORED_LANDMARKS",
    "GazeNormalization",
    "HeadPose",
    "angle_between",
    "angles_from_vector",
    "box_from_landmarks",
    "draw_arrow_offset",
    "face_crop",
    "face_crop_from_detection",
    "face_crop_from_landmarks",
    "head_pose_from_landmarks",
    "mirror_angles",
    "vector_from_angles",
]

_EYES = slice(36, 48)
_MOUTH = slice(48, 68)
_BROWS = slice(17, 27)

_FOREHEAD = 0.35
"""Height of the forehead above the brows, in units of the height from brows to chin."""
_BOX_ASPECT = 0.78
"""Width over height of an upright box with forehead, between a frontal face and a half profile."""
_HOMOGRAPHY_GRID = 9


@dataclass(frozen=True, slots=True)
class GazeNormalization:
    """Data normalisation of Zhang, Sugano and Bulling (ETRA 2018).

    A virtual camera of fixed focal length is turned towards the face centre with its x axis in the
    head's horizontal plane, and the face is scaled to a fixed distance: ``W = C_n S R C^-1``.
    Gaze goes with R only: ``g_n = R g`` and ``g = R^T g_n``.

    Raises:
        ConfigurationError: a number is not above zero.

    Example:
        >>> normalization = GazeNormalization(
        ...     focal_px=960.0, distance_mm=600.0, size_px=(224, 224), center_px=(111.5, 111.5)
        ... )
        >>> normalization.rotation([0.0, 0.0, 500.0], np.eye(3)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    focal_px: float
    """Focal length of the virtual camera, pixels of the crop."""
    distance_mm: float
    """Distance at which the virtual camera sees the face centre."""
    size_px: tuple[int, int]
    """(width, height) of the crop."""
    center_px: tuple[float, float]
    """Crop pixel at which the face centre is seen."""

    def __post_init__(self) -> None:
        if min(self.focal_px, self.distance_mm, *self.size_px) <= 0:
            raise ConfigurationError(
                f"normalisation has focal_px={self.focal_px}, distance_mm={self.distance_mm}, "
                f"size_px={self.size_px}; expected numbers above zero."
            )

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) intrinsics C_n of the virtual camera."""
        cx, cy = self.center_px
        return np.array([[self.focal_px, 0.0, cx], [0.0, self.focal_px, cy], [0.0, 0.0, 1.0]])

    def rotation(self, center_mm: ArrayLike, camera_from_head: ArrayLike) -> NDArray[np.float64]:
        """Return R, ``normalized_from_camera``.

        Args:
            center_mm: (3,) face centre in the camera frame.
            camera_from_head: (3, 3) rotation of the head.

        Returns:
            (3, 3) float64 rotation; its rows are right, down and forward of the virtual camera.

        Raises:
            InputError: a wrong shape, or a face centre at the camera itself.
        """
        center = _array(center_mm, (3,), "center_mm")
        head = _array(camera_from_head, (3, 3), "camera_from_head")
        distance = float(np.linalg.norm(center))
        if not distance > 0.0:
            raise InputError("center_mm is at the camera; expected a point in front of it.")
        forward = center / distance
        down = np.cross(forward, head[:, 0])
        length = float(np.linalg.norm(down))
        if length < 1e-6:  # the head's x axis points at the camera: an exact ear-on view
            down = head[:, 1] - forward * (forward @ head[:, 1])
            length = float(np.linalg.norm(down))
        down = down / length
        return np.stack([np.cross(down, forward), down, forward])

    def image_from_crop(
        self, camera: Camera, center_mm: ArrayLike, rotation: ArrayLike
    ) -> NDArray[np.float64]:
        """Return the homography from crop pixels to image pixels, ``W^-1``.

        With lens distortion there is no exact homography; the one returned fits a grid of crop
        points that are projected through the lens model.

        Args:
            camera: of the image.
            center_mm: (3,) face centre in the camera frame.
            rotation: (3, 3) from :meth:`rotation`.

        Returns:
            (3, 3) float64, its last element 1.

        Raises:
            InputError: a wrong shape.
        """
        center = _array(center_mm, (3,), "center_mm")
        turn = _array(rotation, (3, 3), "rotation")
        scale = np.diag([1.0, 1.0, self.distance_mm / float(np.linalg.norm(center))])
        ray_from_crop = np.asarray(np.linalg.inv(self.matrix @ scale @ turn), dtype=np.float64)
        if not camera.has_distortion:
            return _scaled_to_one(camera.matrix @ ray_from_crop)
        columns, rows = (np.linspace(0.0, n - 1.0, _HOMOGRAPHY_GRID) for n in self.size_px)
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        pixels = camera.project(np.column_stack([grid, np.ones(len(grid))]) @ ray_from_crop.T)
        seen = np.all(np.isfinite(pixels), axis=1)
        if np.count_nonzero(seen) < 4:
            return _scaled_to_one(camera.matrix @ ray_from_crop)
        return _fitted_homography(grid[seen], pixels[seen])

    def crop_from_image(
        self, camera: Camera, center_mm: ArrayLike, rotation: ArrayLike
    ) -> NDArray[np.float64]:
        """Return the homography from image pixels to crop pixels, ``W``; see the inverse."""
        return _scaled_to_one(np.linalg.inv(self.image_from_crop(camera, center_mm, rotation)))


def face_crop(
    points_px: ArrayLike,
    eyes_px: ArrayLike,
    mouth_px: ArrayLike,
    *,
    size_px: int,
    scale: float,
) -> NDArray[np.float64]:
    """Return the similarity that cuts an upright square around points.

    "Up" is the direction from the mouth to the eyes.  The square is centred on the points'
    bounding box in that rotated frame, and its side is ``scale`` times the box's longer side.

    Args:
        points_px: (N, 2) image pixels, N at least 1.
        eyes_px: (2,) middle of the eyes.
        mouth_px: (2,) middle of the mouth.
        size_px: side of the crop, pixels; its edges are at -0.5 and size_px - 0.5.
        scale: side of the square in units of the box's longer side.

    Returns:
        (3, 3) float64 ``image_from_crop``.

    Raises:
        InputError: a wrong shape, or numbers that are not finite.
    """
    points = finite_pixels(points_px, "points_px")
    right, down = _face_axes(eyes_px, mouth_px)
    along = np.stack([points @ right, points @ down], axis=1)
    low, high = along.min(axis=0), along.max(axis=0)
    middle = (low + high) / 2.0
    center = right * middle[0] + down * middle[1]
    side = scale * float(np.max(high - low))
    return _similarity(center, right, down, side=side, size_px=size_px)


def face_crop_from_landmarks(
    landmarks_px: ArrayLike, *, size_px: int, scale: float
) -> NDArray[np.float64]:
    """Return :func:`face_crop` of 68 landmarks (or more: further points are left out).

    Args:
        landmarks_px: (68 or more, 2) in Multi-PIE order, image pixels.
        size_px: side of the crop, pixels.
        scale: side of the square in units of the landmarks' longer side.

    Returns:
        (3, 3) float64 ``image_from_crop``.

    Raises:
        InputError: a wrong shape, or numbers that are not finite.
    """
    points = landmark_pixels(landmarks_px)
    return face_crop(
        points,
        points[_EYES].mean(axis=0),
        points[_MOUTH].mean(axis=0),
        size_px=size_px,
        scale=scale,
    )


def face_crop_from_detection(
    box_px: ArrayLike, points_px: ArrayLike, *, size_px: int, scale: float
) -> NDArray[np.float64]:
    """Return nearly the crop that the landmarks of a detected face would give.

    The box is upright in the image and includes the forehead; its size in the face's own rotated
    frame follows from the roll and an average aspect ratio.

    Args:
        box_px: (4,) x0, y0, x1, y1.
        points_px: (5, 2) right eye, left eye, nose tip, right and left mouth corner.
        size_px: side of the crop, pixels.
        scale: as for :func:`face_crop_from_landmarks`.

    Returns:
        (3, 3) float64 ``image_from_crop``.

    Raises:
        InputError: a wrong shape, or numbers that are not finite.
    """
    x0, y0, x1, y1 = _array(box_px, (4,), "box_px")
    points = _array(points_px, (5, 2), "points_px")
    right, down = _face_axes(points[:2].mean(axis=0), points[3:].mean(axis=0))
    # An ellipse of width a and height b fills its upright box of size w by h when turned by the
    # roll: w^2 + h^2 = a^2 + b^2, whatever the roll.
    height = float(np.hypot(x1 - x0, y1 - y0)) / float(np.hypot(1.0, _BOX_ASPECT))
    below_brows = height / (1.0 + _FOREHEAD)
    center = np.array([x0 + x1, y0 + y1]) / 2.0 + down * (height - below_brows) / 2.0
    side = scale * max(below_brows, _BOX_ASPECT * height)
    return _similarity(center, right, down, side=side, size_px=size_px)


def box_from_landmarks(landmarks_px: ArrayLike) -> NDArray[np.float32]:
    """Return the upright box of a face, forehead included, as a detector gives it.

    Args:
        landmarks_px: (68 or more, 2) in Multi-PIE order, image pixels.

    Returns:
        (4,) float32 x0, y0, x1, y1.

    Raises:
        InputError: a wrong shape, or numbers that are not finite.
    """
    points = landmark_pixels(landmarks_px)
    _, down = _face_axes(points[_EYES].mean(axis=0), points[_MOUTH].mean(axis=0))
    depth = points @ down
    forehead = points[_BROWS] - down * _FOREHEAD * float(depth.max() - depth[_BROWS].min())
    everything = np.vstack([points, forehead])
    return np.concatenate([everything.min(axis=0), everything.max(axis=0)]).astype(np.float32)


def draw_arrow_offset(pitch_rad: float, yaw_rad: float, length: float) -> tuple[float, float]:
    """Return where the tip of a gaze arrow is, relative to its start.

    Args:
        pitch_rad: up is positive.
        yaw_rad: towards the image's left is positive.
        length: of an arrow that lies in the image plane, pixels.

    Returns:
        (dx, dy) pixels, y down.
    """
    x, y, _ = vector_from_angles([pitch_rad, yaw_rad])
    return length * float(x), length * float(y)


def _face_axes(
    eyes_px: ArrayLike, mouth_px: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit (right, down) of an upright face; the image's own axes if eyes meet mouth."""
    down = _array(mouth_px, (2,), "mouth_px") - _array(eyes_px, (2,), "eyes_px")
    length = float(np.linalg.norm(down))
    down = down / length if length > 1e-6 else np.array([0.0, 1.0])
    return np.array([down[1], -down[0]]), down


def _similarity(
    center: NDArray[np.float64],
    right: NDArray[np.float64],
    down: NDArray[np.float64],
    *,
    side: float,
    size_px: int,
) -> NDArray[np.float64]:
    step = max(side, 1e-3) / size_px
    corner = center - (right + down) * step * (size_px - 1) / 2.0
    return np.array(
        [
            [right[0] * step, down[0] * step, corner[0]],
            [right[1] * step, down[1] * step, corner[1]],
            [0.0, 0.0, 1.0],
        ]
    )


def _fitted_homography(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the homography that maps source to target best, by a normalised direct fit."""
    to_source, to_target = _centering(source), _centering(target)
    x, y = (source @ to_source[:2, :2].T + to_source[:2, 2]).T
    u, v = (target @ to_target[:2, :2].T + to_target[:2, 2]).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = np.vstack(
        [
            np.column_stack([x, y, one, zero, zero, zero, -u * x, -u * y]),
            np.column_stack([zero, zero, zero, x, y, one, -v * x, -v * y]),
        ]
    )
    solution = np.linalg.lstsq(rows, np.concatenate([u, v]), rcond=None)[0]
    fitted = np.append(solution, 1.0).reshape(3, 3)
    return _scaled_to_one(np.linalg.inv(to_target) @ fitted @ to_source)


def _centering(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the map that moves points to the origin and scales them to about one."""
    middle = points.mean(axis=0)
    scale = 1.0 / max(float(np.abs(points - middle).max()), 1e-9)
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1.0]])


def _scaled_to_one(homography: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(homography / homography[2, 2], dtype=np.float64)


def _array(value: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise InputError(
            f"{name} has shape {array.shape} with values {array.ravel()[:9]}; expected {shape}, "
            "all finite."
        )
    return array
