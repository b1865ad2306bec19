"""Procedural backgrounds: painted places, and quick abstract pictures; no photograph."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.interiors import car_interior, clutter, office, room
from train.synth.lighting import LUMINANCE, Lighting, backdrop
from train.synth.scenery import PLACES
from train.synth.sensor import disk_kernel

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
        with contextlib.suppress(OSError):  # a home that cannot be written costs time only
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            partial.write_bytes(data.tobytes())
            partial.replace(path)
    return np.asarray(picture, np.uint8)


def _painted(kind: str, number: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([4099, KINDS.index(kind), number])
    light = PAINTERS[kind](rng)
    light = light * np.float32(0.3 / max(float(np.mean(light @ LUMINANCE.astype("f4"))), 1e-3))
    return np.round(np.clip(light / 1.5, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


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
        part = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=mode)
        gain = tint * 0.3 * float(np.exp(1.6 * (u[5] - 0.6)))
        if lighting is not None:
            gain = _level(lighting, u[6]) * tint
        table = _LINEAR[:, None, None] * (gain / 0.3).astype(np.float32)
        light = cv2.LUT(part, table)
        if lighting is not None and lighting.near_infrared:
            light = cv2.transform(light, np.repeat(LUMINANCE[None], 3, 0))
        blur = float(max(0.0, u[4] * 1.3 - 0.4)) ** 1.5 * 0.03 * max(width, height)
        return _defocused(light, blur)


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


def sample_background(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """A background (height, width, 3) uint8, sharp or blurred, plain or busy."""
    image = _gradient(rng, width, height)
    kind = rng.random()
    if kind < 0.8:
        image = _noise(rng, image)
    if kind > 0.25:
        for _ in range(int(rng.integers(1, 40))):
            _shape(rng, image)
    if rng.random() < 0.3:
        _stripes(rng, image)
    if rng.random() < 0.3:
        _skin_like_blobs(rng, image)
    if rng.random() < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), float(np.exp(rng.uniform(-0.7, 2.6))))
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(1, 9), image.shape)
    image = (image - 128) * rng.uniform(0.6, 1.4) + 128 + rng.uniform(-50, 50)
    if rng.random() < 0.08:
        image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    return np.clip(image, 0, 255).astype(np.uint8)


def _color(rng: np.random.Generator) -> NDArray[np.float64]:
    grey = rng.uniform(10, 245)
    return np.clip(grey + rng.normal(0, 1, 3) * rng.uniform(2, 70), 0, 255)


def _gradient(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    corners = np.stack([_color(rng) for _ in range(4)]).reshape(2, 2, 3)
    return np.asarray(
        cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), np.float64
    )


def _noise(rng: np.random.Generator, image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = image.shape[:2]
    out = image
    for _ in range(int(rng.integers(1, 5))):
        cells = int(np.exp(rng.uniform(np.log(2), np.log(120))))
        small = rng.normal(
            0, rng.uniform(3, 40), (cells, max(1, int(cells * rng.uniform(0.2, 3))), 3)
        )
        if rng.random() < 0.6:
            small = np.repeat(small[..., :1], 3, -1)
        mode = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        out = out + cv2.resize(small, (width, height), interpolation=mode)
    return out


def _shape(rng: np.random.Generator, image: NDArray[np.float64]) -> None:
    height, width = image.shape[:2]
    color = _color(rng).tolist()
    x, y = int(rng.uniform(-0.1, 1.1) * width), int(rng.uniform(-0.1, 1.1) * height)
    size = np.exp(rng.uniform(np.log(0.02), np.log(0.5))) * max(width, height)
    w, h = int(size * rng.uniform(0.2, 1)) + 1, int(size * rng.uniform(0.2, 1)) + 1
    line = -1 if rng.random() < 0.6 else int(rng.integers(1, 6))
    kind = rng.integers(4)
    if kind == 0:
        cv2.rectangle(image, (x, y), (x + w, y + h), color, line, cv2.LINE_AA)
    elif kind == 1:
        cv2.ellipse(
            image, (x, y), (w, h), float(rng.uniform(0, 180)), 0, 360, color, line, cv2.LINE_AA
        )
    elif kind == 2:
        cv2.line(
            image,
            (x, y),
            (x + 2 * w, int(y + rng.uniform(-2, 2) * h)),
            color,
            int(rng.integers(1, 12)),
            cv2.LINE_AA,
        )
    else:
        points = np.array([x, y]) + rng.uniform(-1, 1, (int(rng.integers(3, 8)), 2)) * (w, h)
        cv2.fillPoly(image, [points.astype(np.int32)], color, cv2.LINE_AA)


def _stripes(rng: np.random.Generator, image: NDArray[np.float64]) -> None:
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, np.pi)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / rng.uniform(4, 80))
    image += (np.sign(wave) if rng.random() < 0.5 else wave)[..., None] * rng.uniform(4, 50)


def _skin_like_blobs(rng: np.random.Generator, image: NDArray[np.float64]) -> None:
    """Hands, fruit, wood: skin-coloured things that are not faces."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 6))):
        layer = image.copy()
        color = np.array([rng.uniform(70, 250), 0, 0])
        color[1] = color[0] * rng.uniform(0.6, 0.85)
        color[2] = color[0] * rng.uniform(0.4, 0.75)
        center = (int(rng.uniform(0, 1) * width), int(rng.uniform(0, 1) * height))
        axes = tuple(int(v) + 2 for v in rng.uniform(0.02, 0.2, 2) * max(width, height))
        cv2.ellipse(
            layer, center, axes, float(rng.uniform(0, 180)), 0, 360, color.tolist(), -1, cv2.LINE_AA
        )
        for _ in range(int(rng.integers(0, 5))):
            spot = (
                int(center[0] + rng.normal(0, 0.5) * axes[0]),
                int(center[1] + rng.normal(0, 0.5) * axes[1]),
            )
            radius = max(1, int(min(axes) * rng.uniform(0.05, 0.3)))
            cv2.circle(
                layer, spot, radius, (color * rng.uniform(0.1, 1.2)).tolist(), -1, cv2.LINE_AA
            )
        image[:] = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.5, 3)))
