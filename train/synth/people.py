"""Who is rendered: identity, colours, and the skin texture painted for one person."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.facekit import IDENTITY_MODES, FaceKit

TEXTURE_PX = 768

SKIN_TONES_SRGB = np.array(
    [
        [246, 222, 206],
        [238, 205, 182],
        [226, 185, 157],
        [208, 160, 128],
        [184, 134, 100],
        [154, 106, 76],
        [120, 80, 58],
        [88, 58, 44],
        [62, 42, 34],
    ],
    dtype=np.float32,
)
"""A ramp from light to dark skin (sRGB); tones between are interpolated, hue varied around it."""

HAIR_SRGB = {
    "black": (22, 18, 17),
    "dark brown": (48, 34, 26),
    "brown": (86, 60, 42),
    "light brown": (130, 98, 68),
    "blond": (196, 164, 112),
    "red": (140, 66, 34),
    "grey": (140, 138, 136),
    "white": (214, 212, 208),
}

IRIS_SRGB = {
    "dark brown": ((46, 28, 18), (74, 46, 28)),
    "brown": ((84, 54, 30), (116, 78, 44)),
    "hazel": ((112, 88, 48), (96, 104, 62)),
    "green": ((92, 112, 78), (128, 136, 88)),
    "blue": ((92, 124, 156), (142, 166, 188)),
    "grey": ((112, 122, 130), (152, 160, 164)),
}


def linear_from_srgb(srgb: NDArray[np.float32] | tuple[int, ...]) -> NDArray[np.float32]:
    """Linear light in [0, 1] of 8-bit sRGB values (a power of 2.2, like the tone curve)."""
    return (np.asarray(srgb, dtype=np.float32) / 255.0) ** np.float32(2.2)


@dataclass(slots=True)
class Person:
    """Everything that stays the same between two pictures of one rendered person."""

    identity: NDArray[np.float32]
    """(100,) identity coefficients in standard deviations."""
    skin_color: NDArray[np.float32]
    hair_color: NDArray[np.float32]
    iris_colors: NDArray[np.float32]
    """(2, 3) linear."""
    iris_radius_mm: float
    kappa_rad: tuple[float, float]
    """Angle of the visual axis from the optical axis: (nasal, up), radians."""
    hair: dict[str, float]
    texture: NDArray[np.uint8]
    """(768, 768, 3) albedo, sRGB, RGB order; row 0 is v = 0."""
    attributes: dict[str, bool | str] = field(default_factory=dict)


def sample_person(rng: np.random.Generator, kit: FaceKit) -> Person:
    """Draw a person: shape, colours, hair and a painted skin."""
    identity = rng.normal(0.0, 0.85, IDENTITY_MODES).astype(np.float32)
    tone = float(rng.uniform(0, len(SKIN_TONES_SRGB) - 1))
    low = int(tone)
    mix = tone - low
    ramp = SKIN_TONES_SRGB
    skin = ramp[low] * (1 - mix) + ramp[min(low + 1, len(ramp) - 1)] * mix
    skin = np.clip(skin * rng.normal(1.0, (0.04, 0.035, 0.05)), 20, 252).astype(np.float32)
    dark = tone > 4.0
    names = list(HAIR_SRGB)
    weights = np.array(
        [5, 3, 0.4, 0.1, 0.05, 0.05, 1, 0.6] if dark else [3, 3, 3, 2, 2, 1, 1.3, 0.8]
    )
    hair_name = str(rng.choice(names, p=weights / weights.sum()))
    hair = np.clip(np.array(HAIR_SRGB[hair_name]) * rng.uniform(0.75, 1.25), 4, 240)
    iris_names = list(IRIS_SRGB)
    iris_weights = np.array([6, 2, 0.4, 0.1, 0.1, 0.1] if dark else [2, 3, 2, 1.2, 2.5, 1])
    iris_name = str(rng.choice(iris_names, p=iris_weights / iris_weights.sum()))
    iris = np.array(IRIS_SRGB[iris_name], dtype=np.float32) * rng.uniform(0.7, 1.2)
    style = str(rng.choice(["bald", "short", "medium", "long"], p=[0.1, 0.38, 0.24, 0.28]))
    beard = str(rng.choice(["none", "stubble", "moustache", "beard"], p=[0.62, 0.15, 0.08, 0.15]))
    if style == "long":
        beard = "none"
    makeup = bool(rng.random() < (0.4 if style in ("medium", "long") and beard == "none" else 0.04))
    attributes: dict[str, bool | str] = {
        "hair_color": hair_name,
        "hair_style": style,
        "beard": beard,
        "make_up": makeup,
        "iris": iris_name,
        "dark_skin": dark,
    }
    return Person(
        identity=identity,
        skin_color=linear_from_srgb(skin),
        hair_color=linear_from_srgb(hair.astype(np.float32)),
        iris_colors=linear_from_srgb(np.clip(iris, 8, 230)),
        iris_radius_mm=float(rng.normal(5.9, 0.22)),
        kappa_rad=(
            float(np.radians(rng.normal(4.5, 1.5))),
            float(np.radians(rng.normal(1.5, 1.2))),
        ),
        hair=_hair(rng, style),
        texture=_paint_skin(rng, kit, skin, hair, beard, makeup),
        attributes=attributes,
    )


def _hair(rng: np.random.Generator, style: str) -> dict[str, float]:
    length = {"bald": 0.0, "short": rng.uniform(4, 16), "medium": rng.uniform(14, 30)}.get(
        style, rng.uniform(10, 28)
    )
    return {
        "length_mm": float(length),
        "front_deg": float(rng.normal(41, 5)),
        "temple_deg": float(rng.normal(14, 6)),
        "fringe": float(rng.random() < 0.2) * float(rng.uniform(8, 22)),
        "recede": float(rng.random() < 0.15) * float(rng.uniform(5, 16)),
        "curtain": float(style == "long") * float(rng.uniform(0.5, 1.0)),
        "side": float(rng.uniform(-1, 1)),
    }


def _uv_px(kit: FaceKit, landmarks: list[int] | range) -> NDArray[np.float32]:
    return (kit.uv[kit.landmarks[list(landmarks)]] * (TEXTURE_PX - 1)).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, cells: int) -> NDArray[np.float32]:
    small = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(small, (TEXTURE_PX, TEXTURE_PX), interpolation=cv2.INTER_CUBIC)


def _blob(center: NDArray[np.float32], radius: tuple[float, float]) -> NDArray[np.float32]:
    y, x = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX].astype(np.float32)
    return np.exp(-(((x - center[0]) / radius[0]) ** 2 + ((y - center[1]) / radius[1]) ** 2))


def _paint_skin(
    rng: np.random.Generator,
    kit: FaceKit,
    skin: NDArray[np.float32],
    hair: NDArray[np.float64],
    beard: str,
    makeup: bool,
) -> NDArray[np.uint8]:
    image = np.ones((TEXTURE_PX, TEXTURE_PX, 3), np.float32) * skin
    blotch = (
        0.5 * _smooth_noise(rng, 8) + 0.35 * _smooth_noise(rng, 24) + 0.3 * _smooth_noise(rng, 90)
    )
    pores = cv2.GaussianBlur(
        rng.normal(0, 1, (TEXTURE_PX, TEXTURE_PX)).astype(np.float32), (0, 0), 0.8
    )
    image *= (1 + 0.025 * blotch + rng.uniform(0.02, 0.07) * pores)[..., None]
    red = np.array([1.06, 0.90, 0.90], np.float32)
    for cheek in ((2, 31), (14, 35)):
        center = _uv_px(kit, list(cheek)).mean(0)
        _tint(image, _blob(center, (75, 70)) * rng.uniform(0, 0.9), red)
    _tint(image, _blob(_uv_px(kit, [30])[0], (38, 45)) * rng.uniform(0, 0.9), red)
    for eye in (range(36, 42), range(42, 48)):  # sockets are darker
        center = _uv_px(kit, eye).mean(0) + (0, 10)
        _tint(
            image,
            _blob(center, (62, 40)) * rng.uniform(0.1, 1.0),
            np.array([0.80, 0.74, 0.74], np.float32),
        )
    if rng.random() < 0.25:
        _freckles(rng, image)
    if rng.random() < 0.45:
        _wrinkles(rng, kit, image)
    _lips(rng, kit, image, makeup)
    if makeup:
        shade = rng.uniform(20, 200, 3).astype(np.float32) / 200
        for eye in (range(36, 40), range(42, 46)):
            _tint(
                image,
                _blob(_uv_px(kit, eye).mean(0) + (0, 14), (46, 22)) * rng.uniform(0.3, 0.9),
                shade,
            )
    _eye_lines(rng, kit, image, makeup)
    _brows(rng, kit, image, hair)
    if beard != "none":
        _beard(rng, kit, image, hair, beard)
    return np.clip(image, 0, 255).astype(np.uint8)


def _tint(
    image: NDArray[np.float32], mask: NDArray[np.float32], factor: NDArray[np.float32]
) -> None:
    image *= 1 + mask[..., None] * (factor - 1)


def _freckles(rng: np.random.Generator, image: NDArray[np.float32]) -> None:
    spots = (rng.random((TEXTURE_PX, TEXTURE_PX)) > 0.9965).astype(np.float32)
    spots = np.clip(cv2.GaussianBlur(spots, (0, 0), 1.4) * 9, 0, 1) * rng.uniform(0.2, 0.7)
    _tint(image, spots, np.array([0.78, 0.66, 0.58], np.float32))


def _wrinkles(rng: np.random.Generator, kit: FaceKit, image: NDArray[np.float32]) -> None:
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    brow = _uv_px(kit, range(17, 27))
    top = float(brow[:, 1].max())
    for row in range(int(rng.integers(2, 5))):  # forehead
        y = top + 25 + 22 * row + rng.normal(0, 4)
        xs = np.linspace(240, 530, 12)
        points = np.stack([xs, y + rng.normal(0, 2.5, 12)], 1).astype(np.int32)
        cv2.polylines(mask, [points], False, float(rng.uniform(0.3, 0.9)), 2, cv2.LINE_AA)
    for nose, mouth in ((31, 48), (35, 54)):  # nasolabial folds
        a, b = _uv_px(kit, [nose, mouth])
        side = -1 if nose == 31 else 1
        middle = (a + b) / 2 + (side * 18, 0)
        points = np.array([a + (side * 10, 6), middle, b + (side * 16, 0)]).astype(np.int32)
        cv2.polylines(mask, [points], False, float(rng.uniform(0.3, 1)), 3, cv2.LINE_AA)
    for outer, side in ((36, -1), (45, 1)):  # crow's feet
        a = _uv_px(kit, [outer])[0]
        for k in range(3):
            end = a + (side * rng.uniform(25, 45), (k - 1) * 14 + rng.normal(0, 3))
            cv2.line(
                mask,
                (a + (side * 10, 0)).astype(int).tolist(),
                end.astype(int).tolist(),
                0.6,
                1,
                cv2.LINE_AA,
            )
    mask = cv2.GaussianBlur(mask, (0, 0), 1.6)
    _tint(image, mask * float(rng.uniform(0.3, 1)), np.array([0.72, 0.66, 0.64], np.float32))


def _lips(rng: np.random.Generator, kit: FaceKit, image: NDArray[np.float32], makeup: bool) -> None:
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    cv2.fillPoly(mask, [_uv_px(kit, range(48, 60)).astype(np.int32)], 1.0, cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), 3.0)
    if makeup:
        lipstick = np.array(
            [rng.uniform(90, 215), rng.uniform(20, 95), rng.uniform(40, 105)], np.float32
        )
        strength = rng.uniform(0.4, 0.95)
        image += (mask * strength)[..., None] * (lipstick - image)
    else:
        _tint(image, mask * rng.uniform(0.4, 1), np.array([0.92, 0.66, 0.68], np.float32))


def _eye_lines(
    rng: np.random.Generator, kit: FaceKit, image: NDArray[np.float32], makeup: bool
) -> None:
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    for upper, lower in (
        ((36, 37, 38, 39), (39, 40, 41, 36)),
        ((42, 43, 44, 45), (45, 46, 47, 42)),
    ):
        width = int(rng.integers(3, 7)) if makeup else int(rng.integers(1, 4))
        cv2.polylines(
            mask, [_uv_px(kit, list(upper)).astype(np.int32)], False, 1.0, width, cv2.LINE_AA
        )
        if makeup and rng.random() < 0.5:
            cv2.polylines(
                mask, [_uv_px(kit, list(lower)).astype(np.int32)], False, 0.8, 2, cv2.LINE_AA
            )
    mask = cv2.GaussianBlur(mask, (0, 0), 1.0)
    _tint(image, np.clip(mask * rng.uniform(0.4, 1), 0, 1), np.array([0.25, 0.2, 0.2], np.float32))


def _brows(
    rng: np.random.Generator, kit: FaceKit, image: NDArray[np.float32], hair: NDArray[np.float64]
) -> None:
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    thickness = rng.uniform(6, 17)
    drop = rng.uniform(2, 14)
    count = int(rng.integers(140, 420))
    for indices, side in ((range(17, 22), -1), (range(22, 27), 1)):
        line = _uv_px(kit, indices)
        line = line[np.argsort(np.abs(line[:, 0] - TEXTURE_PX / 2))]  # from the nose outwards
        along = np.linspace(0, 1, 5)
        t = rng.random(count) ** 0.9
        profile = np.interp(t, [0, 0.1, 0.55, 1], [0.55, 1, 0.9, 0.18])
        x = np.interp(t, along, line[:, 0])
        y = (
            np.interp(t, along, line[:, 1])
            - drop
            + rng.normal(0, 0.45, count) * thickness * profile
        )
        lean = np.interp(t, [0, 0.4, 1], [1.2, 0.45, -0.15]) + rng.normal(0, 0.15, count)
        for cx, cy, angle in zip(x, y, lean, strict=True):
            size = rng.uniform(8, 15)
            end = (
                int(16 * (cx + side * size * np.cos(angle))),
                int(16 * (cy + size * np.sin(angle))),
            )
            cv2.line(
                mask,
                (int(16 * cx), int(16 * cy)),
                end,
                float(rng.uniform(0.5, 1)),
                1,
                cv2.LINE_AA,
                4,
            )
    mask = np.clip(cv2.GaussianBlur(mask, (0, 0), 0.9) * rng.uniform(0.75, 1.6), 0, 1)
    image += (mask * rng.uniform(0.6, 0.95))[..., None] * (np.minimum(hair * 0.8, 150) - image)


def _beard(
    rng: np.random.Generator,
    kit: FaceKit,
    image: NDArray[np.float32],
    hair: NDArray[np.float64],
    kind: str,
) -> None:
    region = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    moustache = np.vstack(
        [_uv_px(kit, [48, 31]), _uv_px(kit, [35, 54]), _uv_px(kit, range(52, 49, -1))]
    )
    cv2.fillPoly(region, [moustache.astype(np.int32)], 1.0)
    if kind != "moustache":
        jaw = np.vstack([_uv_px(kit, range(2, 15)) - (0, 25), _uv_px(kit, [54, 57, 48])])
        jaw[3:10, 1] -= 45
        cv2.fillPoly(region, [jaw.astype(np.int32)], 1.0)
    lips = np.zeros_like(region)
    cv2.fillPoly(lips, [_uv_px(kit, range(48, 60)).astype(np.int32)], 1.0)
    region = np.clip(cv2.GaussianBlur(region, (0, 0), 9), 0, 1) * (
        1 - cv2.GaussianBlur(lips, (0, 0), 2)
    )
    grain = cv2.GaussianBlur(
        rng.normal(0, 1, region.shape).astype(np.float32), (0, 0), 1.0, sigmaY=2.0
    )
    grain = np.clip(0.5 + 1.6 * grain, 0, 1)
    strength = rng.uniform(0.2, 0.5) if kind == "stubble" else rng.uniform(0.75, 0.97)
    mask = region * ((0.5 * grain + 0.3) if kind == "stubble" else (0.35 * grain + 0.65)) * strength
    image += mask[..., None] * (np.minimum(hair, 170) - image)
