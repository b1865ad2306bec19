"""The normalised camera in which the gaze network sees a face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import checked_count, checked_number
from .._errors import InputError
from .arrays import finite_array
from .camera import Camera

_Floats = NDArray[np.float64]

_HOMOGRAPHY_GRID = 9
_MAX = 1e6


@dataclass(frozen=True, slots=True)
class GazeNormalization:
    """Data normalisation of Zhang, Sugano and Bulling (ETRA 2018).

    A virtual camera of fixed focal length is turned towards the face centre with its x axis in the
    head's horizontal plane, and the face is scaled to a fixed distance: ``W = C_n S R C^-1``.
    Gaze goes with R only: ``g_n = R g`` and ``g = R^T g_n``.

    Raises:
        ConfigurationError: a number is outside of what makes a crop.
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
        for name in ("focal_px", "distance_mm"):
            checked_number(name, getattr(self, name), low=1.0, high=_MAX)
        for side, middle in zip(self.size_px, self.center_px, strict=True):
            checked_count("size_px", side, high=int(_MAX))
            checked_number("center_px", middle, low=-_MAX, high=_MAX)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) intrinsics C_n of the virtual camera."""
        cx, cy = self.center_px
        return np.array([[self.focal_px, 0.0, cx], [0.0, self.focal_px, cy], [0.0, 0.0, 1.0]])

    def rotation(self, center_mm: ArrayLike, camera_from_head: ArrayLike) -> NDArray[np.float64]:
        """Return R, ``normalized_from_camera`` (3, 3): right, down, forward of the virtual camera.

        Args:
            center_mm: (3,) face centre in the camera frame.
            camera_from_head: (3, 3) rotation of the head.

        Raises:
            InputError: a wrong shape, or a face centre at the camera itself.
        """
        center = finite_array("center_mm", center_mm, (3,))
        head = finite_array("camera_from_head", camera_from_head, (3, 3))
        distance = float(np.linalg.norm(center))
        if not distance > 0.0:
            raise InputError("center_mm is at the camera; expected a point in front of it.")
        forward = center / distance
        down = np.cross(forward, head[:, 0])
        if np.linalg.norm(down) < 1e-6:  # the head's x axis points at the camera: exactly ear-on
            down = head[:, 1] - forward * (forward @ head[:, 1])
        down = down / np.linalg.norm(down)
        return np.stack([np.cross(down, forward), down, forward])

    def image_from_crop(
        self, camera: Camera, center_mm: ArrayLike, rotation: ArrayLike
    ) -> NDArray[np.float64]:
        """Return the homography (3, 3) from crop pixels to image pixels, ``W^-1``.

        With lens distortion there is no exact homography; the one returned fits a grid of crop
        points that are projected through the lens model.

        Args:
            camera: of the image.
            center_mm: (3,) face centre in the camera frame.
            rotation: (3, 3) from :meth:`rotation`.

        Raises:
            InputError: a wrong shape.
        """
        center = finite_array("center_mm", center_mm, (3,))
        turn = finite_array("rotation", rotation, (3, 3))
        scale = np.diag([1.0, 1.0, self.distance_mm / float(np.linalg.norm(center))])
        ray_from_crop = np.asarray(np.linalg.inv(self.matrix @ scale @ turn), dtype=np.float64)
        undistorted = _scaled_to_one(camera.matrix @ ray_from_crop)
        if not camera.has_distortion:
            return undistorted
        columns, rows = (np.linspace(0.0, n - 1.0, _HOMOGRAPHY_GRID) for n in self.size_px)
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        pixels = camera.project(np.column_stack([grid, np.ones(len(grid))]) @ ray_from_crop.T)
        seen = np.all(np.isfinite(pixels), axis=1)
        enough = np.count_nonzero(seen) >= 4
        return _fitted_homography(grid[seen], pixels[seen]) if enough else undistorted


def _fitted_homography(source: _Floats, target: _Floats) -> _Floats:
    """Return the homography that maps source to target best, by a normalised direct fit."""
    to_source, to_target = _centering(source), _centering(target)
    points = np.column_stack([source, np.ones(len(source))]) @ to_source.T
    u, v = (target @ to_target[:2, :2].T + to_target[:2, 2]).T
    zero = np.zeros_like(points)
    of_u = np.hstack([points, zero, -u[:, None] * points[:, :2]])
    of_v = np.hstack([zero, points, -v[:, None] * points[:, :2]])
    solution = np.linalg.lstsq(np.vstack([of_u, of_v]), np.concatenate([u, v]), rcond=None)[0]
    fitted = np.append(solution, 1.0).reshape(3, 3)
    return _scaled_to_one(np.linalg.inv(to_target) @ fitted @ to_source)


def _centering(points: _Floats) -> _Floats:
    """Return the map that moves points to the origin and scales them to about one."""
    middle = points.mean(axis=0)
    scale = 1.0 / max(float(np.abs(points - middle).max()), 1e-9)
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1.0]])


def _scaled_to_one(homography: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(homography / homography[2, 2], dtype=np.float64)
