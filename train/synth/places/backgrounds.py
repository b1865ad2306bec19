"""Procedural backgrounds: painted places; no photograph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import InputError
from clipgaze_sdk.writing import write_files
from train.synth.defocus import disk_kernel
from train.synth.places.interiors import car_interior, clutter, office, room
from train.synth.places.lighting import LUMINANCE, Lighting, backdrop
from train.synth.places.photographed import PAINTED_BEHIND, Turned
from train.synth.places.scenery import PLACES

Image = NDArray[np.float32]
PAINTERS: dict[str, Callable[[np.random.Generator], Image]] = {
    **PLACES,
    "room": room,
    "office": office,
    "car_interior": car_interior,
    "clutter": clutter,
}
KINDS = tuple(sorted(PAINTERS))
_PER_KIND = 24
_IN_MEMORY = 64
"""Pictures kept decoded (1.2 MB each); reading another takes 4 ms."""
BRIGHTEST = 12.0
"""Linear light of a sun or a lamp behind the head."""
_FOLDER = "backgrounds-v1"
"""To be renamed whenever the painters change."""
_LINEAR = (np.linspace(0, 1, 256) ** 2.2 * 1.5).astype(np.float32)
"""Light of the baked bytes; 1.5 leaves windows and lamps brighter than white paper."""


@lru_cache(maxsize=_IN_MEMORY)
def baked(kind: str, number: int) -> NDArray[np.uint8]:
    """Picture ``number`` of a kind (640, 640, 3), always the same; see :data:`_LINEAR`.

    Kept as a JPEG file in the user's cache, since painting takes up to 0.3 s: every process
    decodes the same bytes.
    """
    path = Path.home() / ".cache" / "clipgaze" / _FOLDER / f"{kind}-{number:02d}.jpg"
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        data = np.zeros(0, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        data = cv2.imencode(".jpg", _painted(kind, number), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        with contextlib.suppress(
            OSError, InputError
        ):  # a home that cannot be written costs time only
            path.parent.mkdir(parents=True, exist_ok=True)
            write_files({path: data.tobytes()})
    return np.asarray(picture, np.uint8)


def _painted(kind: str, number: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([4099, KINDS.index(kind), number])
    light = PAINTERS[kind](rng)
    light = light * np.float32(0.3 / max(float(np.mean(light @ LUMINANCE.astype("f4"))), 1e-3))
    return np.asarray(np.round(np.clip(light / 1.5, 0, 1) ** (1 / 2.2) * 255), np.uint8)


class Backgrounds:
    """Parts of a fixed pool of painted pictures, made when first asked for, in linear light."""

    def __init__(self, per_kind: int = _PER_KIND) -> None:
        self._per_kind = per_kind

    def sample(
        self,
        rng: np.random.Generator,
        kind: str,
        width: int,
        height: int,
        lighting: Lighting | None = None,
    ) -> Image:
        """A random part, turned, zoomed, defocused and tinted: (height, width, 3) linear light.

        With ``lighting`` it is as bright and as coloured as what the camera sees behind the head.
        """
        number = int(rng.integers(self._per_kind))
        u = rng.random(8)
        if lighting is not None and lighting.real and kind not in PAINTED_BEHIND:
            return _real(lighting, lighting.real, u, width, height)
        tint = np.exp(rng.normal(0, 0.06, 3))
        image = baked(kind, number)
        side = image.shape[0]
        scale = min(side / max(width, height), 2.2 * (0.42 / 2.2) ** u[0])
        w, h = min(side, round(width * scale)), min(side, round(height * scale))
        x, y = int(u[1] * (side - w)), int(u[2] * (side - h))
        part = image[y : y + h, x : x + w]
        if u[3] < 0.5:
            part = part[:, ::-1]
        mode = cv2.INTER_AREA if scale > 1.2 else cv2.INTER_LINEAR
        cut = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=mode)
        gain = tint * 0.3 * float(np.exp(1.6 * (u[5] - 0.6)))
        if lighting is not None:
            gain = _level(lighting, u[6]) * tint
        table = _LINEAR[:, None, None] * (gain / 0.3).astype(np.float32)
        light = cv2.LUT(cut, table)
        if lighting is not None and lighting.near_infrared:
            light = cv2.transform(light, np.repeat(LUMINANCE[None], 3, 0))
        blur = float(max(0.0, u[4] * 1.3 - 0.4)) ** 1.5 * 0.03 * max(width, height)
        return _defocused(np.asarray(light, np.float32), blur)


def _real(
    lighting: Lighting, real: Turned, u: NDArray[np.float64], width: int, height: int
) -> Image:
    """What a panorama shows behind the head, as bright as a painted place would be."""
    light = real.behind(width, height, 0.4 + 0.9 * float(u[0]))
    value = max(float(cv2.mean(light)[0] + cv2.mean(light)[1]) / 2, 1e-4)
    wanted = float(_level(lighting, float(u[6])) @ LUMINANCE)
    light = np.minimum(light * np.float32(wanted / value), np.float32(BRIGHTEST))
    return _defocused(light, 0.004 * max(width, height) * (1 + 4 * float(u[4])))


def _level(lighting: Lighting, free: float) -> NDArray[np.float64]:
    """Mean colour (3,) of the picture behind the head; bounded, so that something is seen."""
    seen = backdrop(lighting)
    value = max(float(seen @ LUMINANCE), 1e-4)
    wanted = float(np.clip(value, 0.05, 1.1)) * 2.0 ** (free - 0.5)
    return np.asarray(wanted * np.sqrt(np.maximum(seen / value, 1e-3)))


def _defocused(light: Image, radius: float) -> Image:
    """Disks of light, as behind the plane of focus; made on fewer pixels where they are large."""
    if radius < 0.5:
        return light
    scale = max(1.0, radius / 2.5)
    height, width = light.shape[:2]
    size = (max(8, round(width / scale)), max(8, round(height / scale)))
    small = cv2.resize(light, size, interpolation=cv2.INTER_AREA) if scale > 1 else light
    small = cv2.filter2D(small, -1, disk_kernel(radius / scale), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0))
