"""A camera: linear light in, an 8-bit picture out, with the faults that cameras have.

In the order of a camera: defocus and motion, vignetting, sampling, exposure, shot and read noise,
white balance and colour, tone curve, sharpening, 8 bit, JPEG.  The noise is Poisson-Gaussian
(Foi, Trimeche, Katkovnik and Egiazarian, IEEE TIP 2008): its variance is a line in the signal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.defocus import disk_kernel

Image = NDArray[np.float32]
Bytes = NDArray[np.uint8]
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_WHITE = 16384  # the index of linear 1.0 in the tone tables, which reach to 4.0
_LEVELS = 4096  # of the encoded value, between the two halves of the tone curve
_TILE = 640
# Numbers in the place of pictures, which OpenCV's types do not know.
_ZERO: Any = 0
_ZEROS: Any = (0.0, 0.0, 0.0, 0.0)

FAULTS = (
    "noise",
    "motion_blur",
    "defocus",
    "low_resolution",
    "jpeg_artifacts",
    "low_contrast",
    "dark",
    "overexposed",
)
"""Factors that make a picture worse; see :func:`sample_sensor`."""
FACE_LIGHT = 0.3
"""Linear light of a face that a camera has exposed for, its eyes then at some 110 to 160 of 255."""
MOST_GAIN = 8.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """One camera's settings for one picture.  Pixels are those of the picture as rendered."""

    exposure: float = 1.0
    """Factor on linear light; where the camera meters, on that of a face exposed for."""
    metering: float = 0.0
    """How far the camera exposes for the face: 0 not at all, 1 every face alike."""
    filmic: bool = False
    """Highlights roll off softly instead of clipping at 1."""
    gamma: float = 1.0
    """Exponent on the encoded value; above 1 darkens the middle tones."""
    contrast: float = 1.0
    """Slope at the middle of the tone curve; below 1 blacks rise and whites fall."""
    pivot: float = 0.5
    """Encoded value (0 to 1) that ``contrast`` below 1 leaves alone."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    shot_noise: float = 0.0
    """Variance of linear light per unit of signal, after exposure."""
    read_noise: float = 0.0
    """Standard deviation of linear light in the dark."""
    chroma_noise: float = 0.0
    """Share (0 to 1) of the noise's variance that is coarse blotches of colour."""
    grain: float = 0.0
    """0 for noise of single pixels, 1 for the softer noise that demosaicing leaves."""
    defocus_px: float = 0.0
    """Radius of the circle of confusion."""
    motion_px: float = 0.0
    """Length of the path during exposure."""
    motion_angle: float = 0.0
    """Its direction in radians from x towards y."""
    motion_bend: float = 0.0
    """Sagitta of the path as a share of its length."""
    sharpen: float = 0.0
    """Strength of the unsharp mask."""
    jpeg_quality: int | None = None
    downscale: float = 1.0
    """The sensor has this many times fewer pixels along a side; the picture is enlarged again."""
    grey: bool = False
    """One channel, as of an infrared camera."""
    vignette: float = 0.0
    """Loss of light in the corners, 0 to 1."""


def identity_sensor() -> Sensor:
    """No faults: exposure 1, the sRGB curve, no noise, no blur, no JPEG."""
    return Sensor()


def sample_sensor(
    rng: np.random.Generator,
    on: Mapping[str, bool],
    *,
    iso_range: tuple[float, float] = (100, 3200),
    face_px: float,
) -> Sensor:
    """A camera whose faults are clear where switched ``on`` and mild elsewhere.

    ``face_px`` is how many pixels 140 mm of face take: sizes of blur follow it, so that a fault
    looks alike at all distances and leaves the eyes discernible.  ``rng`` is used alike whatever
    is on; dark wins over overexposed.
    """
    u = iter(rng.random(40).tolist())

    # Faults add up: where several meet, each is weaker, or no eye could be made out.
    together = sum(on.get(name, False) for name in FAULTS)
    share = 1.0 if together < 2 else together**-0.6

    def pick(name: str, off: tuple[float, float], of: tuple[float, float]) -> float:
        if not on.get(name, False):
            return span(*off)
        mild = 0.5 * (off[0] + off[1])
        return span(*(mild + share * (end - mild) for end in of))

    def span(low: float, high: float) -> float:
        return float(low + (high - low) * next(u))

    low, high = iso_range
    dim = bool(on.get("dark", False))
    # Little light is made up for by gain, and what shows of it is mostly its noise.
    iso = low * (high / low) ** (pick("noise", (0.0, 0.3), (0.85, 1.1)) + (0.15 if dim else 0.0))
    per_iso = 1e-6 * np.exp(span(0.4, 1.0))  # small and large sensors
    defocus = pick("defocus", (0.0, 0.004), (0.013, 0.024)) * face_px
    motion = pick("motion_blur", (0.0, 0.010), (0.035, 0.065)) * face_px
    wanted = 1 / pick("low_resolution", (1 / 400, 1 / 120), (1 / 46, 1 / 30))
    quality = pick("jpeg_artifacts", (78, 97), (10, 22))
    small_face = max(0.0, 1 - face_px / 120)
    keep_raw = next(u) < 0.5
    grade, light = next(u), next(u)
    exposure = float(np.exp(span(-0.22, 0.22)))
    balance = [float(np.exp(v - 0.5) ** 0.08) for v in (next(u), next(u))]
    jpeg = on.get("jpeg_artifacts", False)
    downscale = max(1.0, face_px / wanted)
    # Of a face in 40 pixels less noise leaves as much to see as of one in 200.
    signal = FACE_LIGHT * exposure
    noise = np.sqrt(per_iso * iso * signal + (3e-6 * iso + 0.0008) ** 2)
    least = float(np.clip(3.5 * 200 / (face_px / downscale), 3.5, 8.0)) * max(1.0, together**0.5)
    iso *= min(1.0, float(signal / least / noise) ** 2)
    sensor = Sensor(
        exposure=exposure,
        filmic=next(u) < 0.6,
        gamma=span(0.88, 1.12),
        contrast=pick("low_contrast", (0.93, 1.2), (0.35, 0.55)),
        pivot=0.35 + 0.4 * light,
        white_balance=(balance[0], 1.0, balance[1]),
        saturation=span(0.75, 1.2),
        shot_noise=float(per_iso * iso),
        read_noise=float(3e-6 * iso + 0.0008),
        chroma_noise=span(0.0, 0.4),
        grain=span(0.0, 1.0),
        defocus_px=defocus,
        motion_px=motion,
        motion_angle=np.pi * next(u),
        motion_bend=span(-0.2, 0.2),
        sharpen=max(0.0, span(-0.4, 0.9)),
        jpeg_quality=round(quality + 25 * small_face * jpeg) if jpeg or not keep_raw else None,
        downscale=downscale,
        grey=bool(on.get("near_infrared", False)),
        vignette=max(0.0, span(-0.3, 0.4)),
        metering=span(0.6, 1.0),
    )
    error = _exposure_error(next(u), grade, on)
    return replace(sensor, exposure=sensor.exposure * error)


def _exposure_error(chance: float, grade: float, on: Mapping[str, bool]) -> float:
    """How far a camera's exposure is from what the face needs: mostly near, at times far off."""
    if on.get("dark", False):
        return 0.14 + 0.16 * grade if chance < 0.12 else 0.38 + 0.35 * grade
    if on.get("overexposed", False):
        return 2.0 + 1.3 * grade
    if chance < 0.03:
        return 0.35 + 0.3 * grade
    return 1.3 + 0.4 * grade if chance > 0.97 else 1.0


def metered(sensor: Sensor, face: float) -> Sensor:
    """The sensor's exposure for a face of this mean linear light, and the noise of its gain.

    Without :attr:`Sensor.metering` the sensor stays as it is.
    """
    if sensor.metering <= 0 or face <= 0:
        return sensor
    gain = float(np.clip((FACE_LIGHT / face) ** sensor.metering, 1 / MOST_GAIN, MOST_GAIN))
    more = max(gain, 1.0)  # a bright place shortens the exposure instead
    return replace(
        sensor,
        exposure=sensor.exposure * gain,
        shot_noise=sensor.shot_noise * more,
        read_noise=sensor.read_noise * more,
    )


def expose(rng: np.random.Generator, linear: Image, sensor: Sensor) -> Bytes:
    """The picture (H, W, 3) uint8 RGB that ``sensor`` makes of ``linear`` (H, W, 3) light.

    ``rng`` is used alike whatever the sensor.
    """
    height, width = linear.shape[:2]
    where = rng.integers(0, _TILE, 4)
    turn = rng.random(2) < 0.5
    x = np.asarray(linear, np.float32)
    if sensor.grey:
        x = np.asarray(cv2.transform(x, _LUMINANCE[None]), np.float32)
    x = _blurred(x, sensor)
    if sensor.downscale > 1:
        size = (max(1, round(width / sensor.downscale)), max(1, round(height / sensor.downscale)))
        x = np.asarray(cv2.resize(x, size, interpolation=cv2.INTER_AREA), np.float32)
    x = _exposed(x, sensor)
    x = _noisy(x, sensor, where, turn)
    y = _developed(x, sensor)
    if sensor.sharpen > 0.02:
        soft = cv2.GaussianBlur(y, (0, 0), 1.1)
        y = np.asarray(cv2.addWeighted(y, 1 + sensor.sharpen, soft, -sensor.sharpen, 0), np.uint8)
    if sensor.downscale > 1:
        y = np.asarray(cv2.resize(y, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if sensor.jpeg_quality is not None:
        flags = cv2.IMREAD_GRAYSCALE if sensor.grey else cv2.IMREAD_COLOR
        # The encoder takes BGR; it is told the truth, as JPEG keeps colour less well than light.
        bgr = y if sensor.grey else cv2.cvtColor(y, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality])[1]
        y = np.asarray(cv2.imdecode(data, flags), np.uint8)
        y = y if sensor.grey else np.asarray(cv2.cvtColor(y, cv2.COLOR_BGR2RGB), np.uint8)
    return np.asarray(cv2.cvtColor(y, cv2.COLOR_GRAY2RGB) if sensor.grey else y, np.uint8)


def _blurred(x: Image, sensor: Sensor) -> Image:
    """Defocus and motion; wide blurs are made on fewer pixels, which they would smooth anyway."""
    blurs: tuple[tuple[float, float, Callable[[float], Image]], ...] = (
        (sensor.defocus_px, 2.4, lambda s: disk_kernel(sensor.defocus_px / s)),
        (sensor.motion_px, 5.5, lambda s: _path_kernel(sensor, s)),
    )
    for extent, limit, kernel in blurs:
        if extent < 0.3:
            continue
        height, width = x.shape[:2]
        scale = max(1.0, extent / limit)
        if scale > 1.3 and min(height, width) / scale >= 8:
            size = (round(width / scale), round(height / scale))
            small = cv2.resize(x, size, interpolation=cv2.INTER_AREA)
            small = cv2.filter2D(small, -1, kernel(scale), borderType=cv2.BORDER_REPLICATE)
            blurred = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        else:
            blurred = cv2.filter2D(x, -1, kernel(1.0), borderType=cv2.BORDER_REPLICATE)
        x = np.asarray(blurred, np.float32)
    return x


def _path_kernel(sensor: Sensor, scale: float) -> Image:
    """A slightly bent stroke through the middle, of ``motion_px / scale`` pixels; sums to 1."""
    length = sensor.motion_px / scale
    half = int(np.ceil(length / 2 + 1))
    t = np.linspace(-0.5, 0.5, 33)
    along, aside = t * length, sensor.motion_bend * length * (1 / 12 - t * t)
    c, s = np.cos(sensor.motion_angle), np.sin(sensor.motion_angle)
    x, y = along * c - aside * s + half, along * s + aside * c + half
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    for dy, dx, w in ((0, 0, (1 - fy) * (1 - fx)), (0, 1, (1 - fy) * fx), (1, 0, fy * (1 - fx))):
        np.add.at(kernel, (y0 + dy, x0 + dx), w)
    np.add.at(kernel, (y0 + 1, x0 + 1), fy * fx)
    return np.asarray(kernel / kernel.sum(), np.float32)


@lru_cache(maxsize=8)
def _corners(width: int, height: int) -> Image:
    """0 in the middle of the picture to 1 in its corners (H, W)."""
    y, x = np.mgrid[0:height, 0:width]
    r2 = ((x + 0.5) / width * 2 - 1) ** 2 + ((y + 0.5) / height * 2 - 1) ** 2
    return np.asarray(r2 / 2, np.float32)


def _exposed(x: Image, sensor: Sensor) -> Image:
    if sensor.vignette < 0.01:
        return x * np.float32(sensor.exposure)
    gain = sensor.exposure * (1 - sensor.vignette * _corners(x.shape[1], x.shape[0]))
    return np.asarray(x * (gain if x.ndim == 2 else gain[..., None]), np.float32)


@lru_cache(maxsize=3)
def _noise_tile(kind: str) -> Image:
    """Noise (640, 640, 3) of unit variance that closes at its edges.

    'pixel' differs from pixel to pixel, 'soft' is correlated between neighbours and channels, as
    interpolation of the colour mosaic makes it, 'blotch' is coarse and of colour only.
    """
    rng = np.random.default_rng([77, len(kind)])
    white = rng.standard_normal((_TILE, _TILE, 3)).astype(np.float32)
    if kind == "soft":
        white += 0.7 * white.mean(-1, keepdims=True) * np.sqrt(3)
        white = _wrapped_blur(white, 0.65)
    elif kind == "blotch":
        white = _wrapped_blur(white, 2.2)
        white -= (white @ np.array([0.25, 0.5, 0.25], np.float32))[..., None]
    return np.asarray(white / white.std((0, 1)), np.float32)


def _wrapped_blur(x: Image, sigma: float) -> Image:
    pad = int(4 * sigma) + 1
    wide = cv2.copyMakeBorder(x, pad, pad, pad, pad, cv2.BORDER_WRAP)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), sigma)[pad:-pad, pad:-pad])


def _cut(
    kind: str, shape: tuple[int, ...], at: NDArray[np.int64], turn: NDArray[np.bool_]
) -> Image:
    """A part of a noise tile, repeated where it is too small."""
    tile = _noise_tile(kind)
    tile = tile[:, :: -1 if turn[0] else 1][:: -1 if turn[1] else 1]
    if shape[0] <= _TILE and shape[1] <= _TILE:
        y, x = int(at[0]) % (_TILE - shape[0] + 1), int(at[1]) % (_TILE - shape[1] + 1)
        part = tile[y : y + shape[0], x : x + shape[1]]
    else:
        rows = (np.arange(shape[0]) + at[0]) % _TILE
        part = tile[rows][:, (np.arange(shape[1]) + at[1]) % _TILE]
    return part[..., 0] if len(shape) == 2 else part


def _noisy(x: Image, sensor: Sensor, at: NDArray[np.int64], turn: NDArray[np.bool_]) -> Image:
    """Add noise of the variance ``shot_noise * signal + read_noise**2``."""
    if sensor.shot_noise == sensor.read_noise == 0:
        return x
    fine = _cut("soft" if sensor.grain > 0.35 else "pixel", x.shape, at, turn)
    spread = cv2.sqrt(cv2.max(sensor.shot_noise * x, _ZERO) + np.float32(sensor.read_noise**2))
    blotch = 0.0 if sensor.grey else sensor.chroma_noise
    noise = np.sqrt(1 - blotch, dtype=np.float32) * fine
    if blotch > 0.02:
        noise = cv2.scaleAdd(_cut("blotch", x.shape, at[2:], turn), float(np.sqrt(blotch)), noise)
    return np.asarray(x + spread * noise)


@lru_cache(maxsize=2)
def _encoding(filmic: bool) -> NDArray[np.uint16]:
    """The fixed half of the tone curve: encoded value (of 4095) for linear light (of 16384)."""
    x = np.arange(65536) / _WHITE
    if filmic:  # straight below 0.5, then towards 1 as an exponential, of the same slope
        x = np.where(x < 0.5, x, 1 - 0.5 * np.exp(-(x - 0.5) / 0.5))
    x = np.clip(x, 0, 1)
    y = np.where(x < 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.round(y * (_LEVELS - 1)).astype(np.uint16)


def tone_table(sensor: Sensor) -> Bytes:
    """(65536,) bytes for linear light from 0 to 4."""
    y = np.linspace(0, 1, _LEVELS) ** sensor.gamma
    if sensor.contrast >= 1:
        y = y + (sensor.contrast - 1) * 2 * y * (1 - y) * (2 * y - 1)
    else:
        y = sensor.pivot + (y - sensor.pivot) * sensor.contrast
    return np.round(np.clip(y, 0, 1) * 255).astype(np.uint8)[_encoding(sensor.filmic)]


def _developed(x: Image, sensor: Sensor) -> Bytes:
    """White balance, saturation and the tone curve."""
    if sensor.grey:
        x = x * np.float32(_WHITE)
    else:
        mix = sensor.saturation * np.eye(3) + (1 - sensor.saturation) * _LUMINANCE[None]
        x = np.asarray(cv2.transform(x, _WHITE * mix * np.array(sensor.white_balance)), np.float32)
    index = cv2.add(x, np.zeros(1), dtype=cv2.CV_16U) if x.ndim == 2 else _saturated(x)
    return np.asarray(tone_table(sensor)[index])


def _saturated(x: Image) -> NDArray[np.uint16]:
    return np.asarray(cv2.add(x, _ZEROS, dtype=cv2.CV_16U))
