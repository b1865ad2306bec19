"""The pinhole camera with OpenCV's lens distortion."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import checked_number, real_number, shown
from .._errors import ConfigurationError, InputError
from .._frozen import FrozenRecord, frozen
from .arrays import components, float_array

_Floats = NDArray[np.float64]

_DISTORTION_LENGTHS = (0, 4, 5, 8, 12, 14)
_NEWTON_STEPS = 15
_CONVERGED_PX = 1e-9
_MAX_NUMBER = 1e9
_MAX_SIDE_PX = 1e6
_LEAST_FOCAL_PX = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Camera(FrozenRecord):
    """Intrinsics of one camera at one image size; pixel centres are at integers.

    Raises:
        ConfigurationError: the numbers cannot be a camera.

    Example:
        >>> camera = Camera.from_fov(1280, 720, horizontal_fov_deg=60.0)
        >>> camera.project([[0.0, 0.0, 600.0]]).tolist()
        [[639.5, 359.5]]
    """

    matrix: NDArray[np.float64]
    """(3, 3) upper triangular, pixels: focal lengths, skew, principal point."""
    distortion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(k,) OpenCV's coefficients in OpenCV's order, k one of 0, 4, 5, 8, 12, 14."""
    size_px: tuple[int, int] = field(kw_only=True)
    """(width, height) of the images that the matrix is for."""

    def __post_init__(self) -> None:
        matrix = _numbers("camera matrix", self.matrix)
        distortion = _numbers("distortion", self.distortion).ravel()
        if matrix.shape != (3, 3) or not np.array_equal(matrix[2], (0.0, 0.0, 1.0)):
            raise ConfigurationError(
                f"camera matrix is {matrix.tolist()}; expected [[fx, s, cx], [0, fy, cy], "
                "[0, 0, 1]] in pixels, as a calibration writes it."
            )
        if min(matrix[0, 0], matrix[1, 1]) < _LEAST_FOCAL_PX or matrix[1, 0] != 0:
            raise ConfigurationError(
                f"camera matrix is {matrix.tolist()}; expected focal lengths above zero (of "
                f"{_LEAST_FOCAL_PX} px at least) and a zero below the diagonal."
            )
        if distortion.size not in _DISTORTION_LENGTHS:
            raise ConfigurationError(
                f"distortion has {distortion.size} coefficients; expected one of "
                f"{_DISTORTION_LENGTHS}, in OpenCV's order."
            )
        object.__setattr__(self, "matrix", frozen(matrix))
        object.__setattr__(self, "distortion", frozen(distortion))
        object.__setattr__(self, "size_px", _whole_size(self.size_px))

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_deg: float = 60.0) -> Camera:
        """Return a camera without distortion that looks out of the middle of the image.

        Args:
            width: pixels.
            height: pixels.
            horizontal_fov_deg: angle between the left and the right edge; a webcam has 50 to 80.

        Raises:
            ConfigurationError: a value is outside its range.
        """
        width, height = _whole_size((width, height))
        fov = checked_number("horizontal_fov_deg", horizontal_fov_deg, low=0.01, high=179.9)
        focal = 0.5 * width / math.tan(math.radians(fov) / 2.0)
        matrix = [[focal, 0.0, (width - 1) / 2.0], [0.0, focal, (height - 1) / 2.0], [0, 0, 1.0]]
        return cls(np.array(matrix), size_px=(width, height))

    @classmethod
    def load(cls, path: str | Path) -> Camera:
        """Read a camera from YAML, in the form of OpenCV or of ROS's camera_info.

        Raises:
            ConfigurationError: the file is missing, unreadable, or not of either form.
        """
        from .camera_files import read_camera_file

        matrix, distortion, size_px = read_camera_file(path)
        return cls(matrix, distortion, size_px=size_px)

    def save(self, path: str | Path, *, form: Literal["ros", "opencv"] = "opencv") -> None:
        """Write the camera as YAML; :meth:`load` reads it back exactly.

        Raises:
            ConfigurationError: ``form`` is unknown, or the file cannot be written.
        """
        from .camera_files import write_camera_file

        write_camera_file(path, (self.matrix, self.distortion, self.size_px), form)

    def project(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the pixels (N, 2) of points (N, 3) in the camera frame, of any unit.

        NaN for points that are not in front of the camera.  :class:`InputError` for other shapes.
        """
        points = components("points_mm", points_mm, 3, points=True)
        in_front = points[:, 2] > 0.0
        safe = np.where(in_front[:, None], points, (0.0, 0.0, 1.0))
        ideal = safe[:, :2] / safe[:, 2:]
        pixels = self._distorted(ideal)[0] if self.has_distortion else self._pixels(ideal)
        pixels[~in_front] = np.nan
        return pixels

    def undistort(self, points_px: ArrayLike) -> NDArray[np.float64]:
        """Return where pixels (N, 2) would be if the lens had no distortion.

        So in the ideal pinhole camera of the same matrix.  :class:`InputError` for other shapes.
        """
        observed = components("points_px", points_px, 2, points=True)
        if not self.has_distortion or len(observed) == 0:
            return observed.copy()
        # Newton's method on the forward model, whose derivative OpenCV gives; the best step is
        # kept, so that points beyond the lens model's reach end up near instead of nowhere.
        guess = self._rays(observed)[:, :2]
        best, best_error = guess, np.full(len(guess), np.inf)
        for _ in range(_NEWTON_STEPS):
            pixels, slope = self._distorted(guess)
            residual = observed - pixels
            error = np.linalg.norm(residual, axis=1)
            better = error < best_error
            best = np.where(better[:, None], guess, best)
            best_error = np.where(better, error, best_error)
            if not np.any(error > _CONVERGED_PX):
                break
            # A step that left the numbers stays where it is.
            lost = ~(np.isfinite(error) & np.all(np.isfinite(slope), axis=(1, 2)))
            slope[lost], residual[lost] = 0.0, 0.0
            guess = guess + np.einsum("nij,nj->ni", np.linalg.pinv(slope), residual)
        return self._pixels(best)

    def rays(self, points_px: ArrayLike) -> NDArray[np.float64]:
        """Return the directions (N, 3) that pixels (N, 2) see, distortion taken off.

        In the camera frame, with z = 1: not of unit length.  :class:`InputError` for other shapes.
        """
        return self._rays(self.undistort(points_px))

    def mirrored(self) -> Camera:
        """Return the camera of the mirrored image, in which x becomes width - 1 - x."""
        matrix = self.matrix.copy()
        matrix[0, 1:] = -matrix[0, 1], self.size_px[0] - 1 - matrix[0, 2]
        # p2, s1, s2 and tau_y push points sideways, so they change sign; the rest is even in x.
        signs = np.where(np.isin(np.arange(self.distortion.size), (3, 8, 9, 13)), -1.0, 1.0)
        return Camera(matrix, signs * self.distortion, size_px=self.size_px)

    def scaled_to(self, width: int, height: int) -> Camera:
        """Return the camera of the same picture at another size.

        Raises:
            ConfigurationError: it is no size.
            InputError: the aspect ratio differs by more than a pixel's rounding.
        """
        width, height = _whole_size((width, height))
        if (width, height) == self.size_px:
            return self
        scale_x, scale_y = width / self.size_px[0], height / self.size_px[1]
        mismatch_px = abs(scale_x - scale_y) * min(width / scale_x, height / scale_y)
        if mismatch_px > 1.0:
            raise InputError(
                f"the image is {width}x{height} px but the camera is for "
                f"{self.size_px[0]}x{self.size_px[1]} px; expected the same aspect ratio. Use the "
                "calibration of this image format, or crop the camera's matrix to it."
            )
        to_scaled = np.diag([scale_x, scale_y, 1.0])
        to_scaled[:2, 2] = 0.5 * scale_x - 0.5, 0.5 * scale_y - 0.5
        return Camera(to_scaled @ self.matrix, self.distortion, size_px=(width, height))

    @property
    def has_distortion(self) -> bool:
        """True if any coefficient is not zero."""
        return bool(np.any(self.distortion))

    def _pixels(self, ideal: NDArray[np.float64]) -> NDArray[np.float64]:
        return ideal @ self.matrix[:2, :2].T + self.matrix[:2, 2]

    def _rays(self, ideal_px: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = np.linalg.solve(self.matrix[:2, :2], (ideal_px - self.matrix[:2, 2]).T)
        return np.column_stack([*flat, np.ones(len(ideal_px))])

    def _distorted(self, ideal: _Floats) -> tuple[_Floats, _Floats]:
        """Return the pixels (N, 2) of z = 1 points (N, 2), and their derivative (N, 2, 2)."""
        from .._opencv import cv2

        if len(ideal) == 0:
            return np.zeros((0, 2)), np.zeros((0, 2, 2))
        points = np.ascontiguousarray(np.column_stack([ideal, np.ones(len(ideal))]))
        zero = np.zeros(3)
        # Unit intrinsics: OpenCV ignores the skew, so the matrix is applied here.
        bent, jacobian = cv2.projectPoints(points, zero, zero, np.eye(3), self.distortion)
        slope = np.asarray(jacobian, dtype=np.float64)[:, 3:5].reshape(-1, 2, 2)
        pixels = self._pixels(np.asarray(bent, dtype=np.float64).reshape(-1, 2))
        return pixels, self.matrix[:2, :2] @ slope


def _numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    array = float_array(name, value, ConfigurationError)
    if not np.all(np.abs(array) <= _MAX_NUMBER):  # false for NaN
        raise ConfigurationError(
            f"{name} is {array.tolist()}; expected finite numbers of at most {_MAX_NUMBER:g}."
        )
    return array


def _whole_size(value: Any) -> tuple[int, int]:
    try:
        width, height = (real_number(side) for side in value)
    except (TypeError, ValueError):
        width = height = math.nan
    if not all(1 <= side <= _MAX_SIDE_PX and side == int(side) for side in (width, height)):
        raise ConfigurationError(
            f"size_px is {shown(value)}; expected (width, height) in whole pixels, of 1 to "
            f"{_MAX_SIDE_PX:g}."
        )
    return int(width), int(height)
