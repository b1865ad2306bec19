"""Real surroundings: panoramas of a folder that light faces and are seen in eyes and behind heads.

A panorama (``*.hdr``, equirectangular, linear light, the horizon in its middle row) takes the place
of a painted environment: turned so that what is brightest lies where the picture's factors want
the light from, balanced to white as cameras do, then handled like any other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

REAL_SHARE = 0.7
"""Share of pictures with real surroundings, of those that a panorama can light."""
REAL_KINDS = ("office", "window", "lamp", "overcast", "sun", "night_street")
"""Kinds of light that panoramas stand for; a studio, a screen and a car are what they are."""
PAINTED_BEHIND = ("plain", "car_interior")
"""Kinds of background that stay, whatever lights the face."""
VIEW_PX = (512, 256)
LIGHT_PX = (128, 64)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


class EnvironmentsError(ValueError):
    """A folder of panoramas that cannot be used; says what was found and expected."""


@dataclass(frozen=True, slots=True, eq=False)
class Panorama:
    """One panorama in linear light, of mean luminance 1."""

    name: str
    sha256: str
    view: Image
    """(256, 512, 3) RGB."""
    light: Image
    """(64, 128, 3), for what is lit by it."""
    brightest: float
    """Where it is brightest, as a share of the way around."""
    one_sided: float
    """0 as bright all around to 1 bright on one side alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Turned:
    """A panorama about one camera."""

    panorama: Panorama
    panorama_from_camera: Floats
    """(3, 3), azimuth 0 of its result being where the panorama is brightest but for the shift."""
    shift: float
    """Share of the way around by which it is turned off that."""
    balance: Floats
    """(3,) factors on its colours."""

    def radiance(self, rays: Floats) -> Image:
        """What arrives along rays (H, W, 3) of the camera, for what is lit."""
        return self._seen(self.panorama.light, rays)

    def behind(self, width: int, height: int, fov_rad: float) -> Image:
        """(height, width, 3) of what a camera sees that looks along +z."""
        focal = width / 2 / np.tan(fov_rad / 2)
        x = (np.arange(width) - (width - 1) / 2) / focal
        y = (np.arange(height) - (height - 1) / 2) / focal
        rays = np.stack(np.broadcast_arrays(x[None], y[:, None], np.float64(1.0)), -1)
        rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        return self._seen(self.panorama.view, rays)

    def _seen(self, image: Image, rays: Floats) -> Image:
        d = rays @ self.panorama_from_camera
        around = np.arctan2(d[..., 0], -d[..., 2]) / (2 * np.pi)
        u = (around + self.panorama.brightest + self.shift) % 1.0
        v = np.arccos(np.clip(-d[..., 1], -1, 1)) / np.pi
        height, width = image.shape[:2]
        wide = np.concatenate([image, image[:, :1]], 1)  # closes behind the last column
        x = np.asarray((u * width - 0.5) % width, np.float32)
        y = np.asarray(np.clip(v * height - 0.5, 0, height - 1), np.float32)
        out = cv2.remap(wide, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out * self.balance.astype(np.float32), np.float32)


def load_panoramas(folder: Path) -> tuple[Panorama, ...]:
    """The panoramas ``*.hdr`` of a folder, by name.

    Raises :class:`EnvironmentsError` for a folder without any, and for a file that is none.
    """
    if not folder.is_dir():
        raise EnvironmentsError(f"{folder} is no folder; expected one of panoramas, *.hdr")
    paths = sorted(folder.glob("*.hdr"))
    if not paths:
        raise EnvironmentsError(f"{folder} holds no *.hdr; expected panoramas")
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> Panorama:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EnvironmentsError(f"{path} cannot be read: {error.strerror or error}") from None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None or image.dtype != np.float32 or image.ndim != 3 or image.shape[2] != 3:
        raise EnvironmentsError(f"{path} is no panorama; expected a Radiance picture in colour")
    height, width = image.shape[:2]
    if width != 2 * height:
        raise EnvironmentsError(f"{path} has {width} x {height} pixels; expected 2:1, all around")
    rgb = np.ascontiguousarray(image[..., ::-1])
    if not np.isfinite(rgb).all() or not rgb.max() > 0 or rgb.min() < 0:
        raise EnvironmentsError(f"{path} holds no light, or some that is no number")
    light = cv2.resize(rgb, LIGHT_PX, interpolation=cv2.INTER_AREA)
    solid = np.sin((np.arange(LIGHT_PX[1]) + 0.5) / LIGHT_PX[1] * np.pi)[:, None]
    value = (light @ _LUMINANCE) * solid
    mean = np.float32(value.sum() / (solid.sum() * LIGHT_PX[0]))
    turns = np.exp(2j * np.pi * (np.arange(LIGHT_PX[0]) + 0.5) / LIGHT_PX[0])
    side = complex((value.sum(0) * turns).sum() / value.sum())
    return Panorama(
        name=path.stem,
        sha256=hashlib.sha256(data).hexdigest(),
        view=np.asarray(cv2.resize(rgb, VIEW_PX, interpolation=cv2.INTER_AREA) / mean, np.float32),
        light=np.asarray(light / mean, np.float32),
        brightest=float(np.angle(side) / (2 * np.pi)) % 1.0,
        one_sided=abs(side),
    )


def pick_panorama(
    rng: np.random.Generator, panoramas: tuple[Panorama, ...], kind: str
) -> Panorama | None:
    """The panorama that stands for light of a kind in one picture; None for a painted one."""
    u, number = rng.random(), rng.random()
    if not panoramas or kind not in REAL_KINDS or u >= REAL_SHARE:
        return None
    return panoramas[int(number * len(panoramas))]


def turned(
    rng: np.random.Generator, panorama: Panorama, camera_from_place: Floats, cast: Floats
) -> Turned:
    """A panorama with its bright side at azimuth 0 of the place, or about there where it is dim.

    ``cast`` (3,) is the colour that white has for the camera.
    """
    shift = rng.normal(0.0, 0.05 + 0.12 * (1 - panorama.one_sided))
    mean = panorama.light.mean((0, 1)).astype(np.float64)
    white = np.maximum(mean / (mean @ _LUMINANCE), 0.05) ** -rng.uniform(0.6, 0.95)
    return Turned(panorama, camera_from_place, float(shift), white / (white @ _LUMINANCE) * cast)
