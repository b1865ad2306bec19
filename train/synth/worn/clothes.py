"""What is worn about the neck and shoulders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from train.synth.figure.facekit import FaceKit
from train.synth.figure.meshes import Mesh, merge
from train.synth.streams import Streams
from train.synth.worn.fitting import (
    BUST_CENTER,
    Floats,
    Numbers,
    Part,
    anatomy,
    bar,
    dye,
    sheet,
    surface,
    weave,
)

COLUMNS = 48
AROUND = np.linspace(-1, 1, COLUMNS, endpoint=False)
"""Share of the way around the neck: 0 the front, positive to the person's left, ±1 the back."""
GARMENTS = ("t-shirt", "v-neck", "shirt", "hoodie", "jacket", "turtleneck", "scarf")
_SHARES = np.array([0.26, 0.12, 0.2, 0.12, 0.16, 0.08, 0.06])
_TURN = np.array([0, 0.22, 0.5, 0.75, 1.0])
_BODY = np.array(  # rings down the body: front, oblique, side, oblique behind, back, on the mean
    [
        [[0, 122, 46], [40, 116, 58], [62, 108, 104], [46, 106, 153], [0, 108, 167]],
        [[0, 150, 58], [48, 140, 64], [68, 122, 106], [54, 116, 160], [0, 120, 173]],
        [[0, 170, 50], [76, 154, 54], [112, 131, 106], [88, 127, 172], [0, 133, 191]],
        [[0, 202, 34], [106, 186, 40], [168, 154, 110], [126, 154, 188], [0, 166, 208]],
        [[0, 245, 20], [122, 240, 28], [202, 206, 112], [144, 214, 196], [0, 222, 214]],
        [[0, 340, 12], [132, 335, 20], [216, 330, 110], [152, 335, 194], [0, 335, 214]],
    ],
    float,
)
_STEPS = 12
"""Rows between two rings of a body."""
_NECKS = {  # how low a neckline is: in front, beside and behind, and its corner (1 a straight V)
    "crew": (152, 122, 120, 2.0),
    "scoop": (184, 128, 126, 2.0),
    "vee": (206, 121, 120, 1.0),
    "tight": (130, 112, 112, 2.0),
    "open": (318, 121, 119, 1.0),
}


@cache
def _around() -> Numbers:
    """(COLUMNS, 8) weights of a ring's knots: a closed cubic spline, which is linear in them."""
    turn = np.concatenate([-_TURN[:0:-1], _TURN])
    knots = np.eye(len(turn) - 1)
    return np.asarray(CubicSpline(turn, [*knots, knots[0]], bc_type="periodic")(AROUND))


@cache
def _down() -> Numbers:
    """(steps + 1, rings) weights of the rings of a body: a cubic spline down it."""
    rows = np.linspace(0, len(_BODY) - 1, _STEPS * (len(_BODY) - 1) + 1)
    return np.asarray(CubicSpline(np.arange(len(_BODY)), np.eye(len(_BODY)))(rows))


class Bust:
    """A person's neck and shoulders as clothes see them."""

    def __init__(self, kit: FaceKit, calm: Floats) -> None:
        self._anatomy = anatomy(kit)
        self._calm = calm
        moved = calm[self._anatomy.bust] - self._anatomy.neutral[self._anatomy.bust]
        self.shift = moved.mean(0).astype(np.float64)
        self.center = BUST_CENTER + self.shift

    def ring(self, knots: Numbers) -> Numbers:
        """Points (..., COLUMNS, 3) around, from knots (..., 5, 3) of the left half."""
        other = knots[..., -2:0:-1, :] * (-1, 1, 1)
        return np.asarray(
            _around() @ np.concatenate([knots[..., -1:, :], other, knots[..., :-1, :]], -2)
            + self.shift
        )

    def cleared(
        self, points: Numbers, least: Numbers | float, most: Numbers | float = np.inf
    ) -> Numbers:
        """``points`` (..., 3) moved to between ``least`` and ``most`` mm above the skin."""
        ray = points - self.center
        length = np.linalg.norm(ray, axis=-1)
        azimuth = np.arctan2(ray[..., 0], -ray[..., 2])
        elevation = np.arcsin(np.clip(-ray[..., 1] / length, -1, 1))
        skin = self._anatomy.around_bust(azimuth, elevation)(self._calm).reshape(ray.shape)
        skin = np.linalg.norm(skin - self.center, axis=-1)
        reach = np.clip(length, skin + least, skin + most)
        reach = np.where(elevation > -1.1, reach, length)  # the bust is open below
        return np.asarray(self.center + ray * (reach / length)[..., None])


def clothes(streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]) -> list[Part]:
    """Parts of one garment or two.  ``on`` asks for nothing here: everyone wears something."""
    rng, bust = streams("clothes"), Bust(kit, calm)
    kind = str(rng.choice(GARMENTS, p=_SHARES))
    broad, neck, deep = rng.uniform((0.9, -5, 0), (1.12, 5, 1))
    color, inner, accent = dye(rng), dye(rng), dye(rng)
    pattern = weave(rng, 0.3, 2, 7)
    folds, phase = rng.uniform(0.8, 2.6), rng.uniform(0, 6.3, 2)
    scoop, tie, white = rng.random(3)

    def body(cut: str, least: float) -> Numbers:
        return _body(bust, cut, broad, neck, folds, phase, least)

    def cloth(mesh: Mesh, which: Floats = color, scale: float = pattern) -> Part:
        return Part(mesh, which, 6.0, 0.03, pattern=scale)

    middle = bust.center + (0, 60, 0)
    if kind in ("t-shirt", "v-neck"):
        cut = "vee" if kind == "v-neck" else "scoop" if scoop < 0.25 else "crew"
        points = body(cut, 3.0)
        trim = accent if tie < 0.15 else color
        parts = [cloth(surface(points, closed=True, toward=middle))]
        return [*parts, cloth(_rib(points[0], bust, 2.0 + 2.5 * deep), trim)]
    if kind == "turtleneck":
        points = body("tight", 3.0)
        return [cloth(merge([surface(points, closed=True, toward=middle), _roll(bust, deep)]))]
    if kind == "hoodie":
        points = body("crew", 5.0)
        hood = merge([surface(points, closed=True, toward=middle), _hood(bust, deep)])
        return [cloth(hood), cloth(_cords(points, bust), accent)]
    if kind == "scarf":
        points = body("crew", 3.0)
        wound = _scarf(bust, folds, phase, deep)
        return [cloth(surface(points, closed=True, toward=middle), inner, 0.0), cloth(wound)]
    shirt_color = (
        color if kind == "shirt" else np.full(3, 0.75, np.float32) if white < 0.6 else inner
    )
    points = body("vee" if kind == "shirt" and tie > 0.4 else "crew", 3.0)
    if kind == "shirt" or white < 0.8:
        shirt = merge([surface(points, closed=True, toward=middle), _collar(bust, points[0], deep)])
    else:
        shirt = merge([surface(points, closed=True, toward=middle), _rib(points[0], bust, 3.0)])
    parts = [cloth(shirt, shirt_color, pattern if kind == "shirt" else 0.0)]
    if kind == "jacket":
        if tie < 0.35 and white < 0.8:
            parts.append(Part(_tie(points), accent, 25.0, 0.2, pattern=pattern))
        coat = body("open", 10.0)
        lapels = _lapels(coat, bust, deep)
        parts.append(cloth(merge([surface(coat, closed=True, toward=middle), lapels])))
    return parts


def _body(
    bust: Bust,
    cut: str,
    broad: float,
    neck: float,
    folds: float,
    phase: Numbers,
    least: float,
) -> Numbers:
    """A garment's surface (rows, COLUMNS, 3) from its neckline to the chest."""
    front, side, back, corner = _NECKS[cut]
    rings = bust.ring(_BODY * np.array([broad, 1.0, 1.0]))
    steps = _STEPS * (len(_BODY) - 1)
    fine = np.tensordot(_down(), rings, 1)
    # Each column of the body begins where the neckline crosses it.
    turn = np.abs(AROUND)
    if corner < 2:
        fall = np.clip(1 - np.sin(np.pi * np.minimum(turn, 0.42)) / np.sin(np.pi * 0.42), 0, 1)
    else:
        fall = np.clip(np.cos(np.pi * turn), 0, 1) ** 1.5
    line = side + (back - side) * np.clip((turn - 0.45) / 0.55, 0, 1)
    line = line + (front + neck - side) * fall + bust.shift[1]
    start = np.maximum((fine[..., 1] < line).sum(0) - 1, 0)
    share = np.array([0, 0.03, 0.08, 0.15, 0.23, 0.32, 0.42, 0.53, 0.64, 0.76, 0.88, 1.0])[:, None]
    rows = start + share * (steps - start)
    low = np.minimum(rows.astype(int), steps - 1)
    part = (rows - low)[..., None]
    column = np.arange(COLUMNS)
    points = fine[low, column] * (1 - part) + fine[low + 1, column] * part
    points[0, :, 1] = np.maximum(line, fine[0, :, 1])
    grow = np.clip((rows - 12) / 24, 0, 1) * np.minimum(share / 0.15, 1)
    wave = np.sin(5 * np.pi * AROUND + 0.10 * rows + phase[0])
    wave = wave + 0.7 * np.sin(11 * np.pi * AROUND - 0.14 * rows + phase[1])
    away = points - bust.center
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    settle = np.minimum(share / 0.08, 1)
    points = points + (folds * grow * wave + (least - 3) * settle)[..., None] * away
    if cut == "open":
        return bust.cleared(points, least + 4 * settle)
    hug = np.full((len(rows), 1), np.inf)  # the edge lies against the neck
    hug[:3, 0] = least + np.array([0.5, 3.0, 7.0])
    return bust.cleared(points, least + 2 * settle * (share > 0.05), hug)


def _rib(edge: Numbers, bust: Bust, half: float) -> Mesh:
    """The knitted band around a neckline."""
    path = np.concatenate([edge, edge[:2]])
    return bar(path, np.full((len(path), 2), (half, 1.5)), up=(0.0, -0.8, -0.6), square=3.0)


def _neck(bust: Bust, heights: Numbers, out: Numbers) -> Numbers:
    """Rings (rows, COLUMNS, 3) around the neck: heights (rows, 3) in front, beside, behind."""
    front, side, back = heights.T
    knots = np.zeros((len(heights), 5, 3))
    knots[:, 0] = np.stack([0 * front, front, 30 - out + 0.42 * (front - 128)], 1)
    knots[:, 1] = np.stack([44 + 0.7 * out, 0.6 * front + 0.4 * side, 42 - 0.8 * out], 1)
    knots[:, 2] = np.stack([62 + out, side, 98 + 0 * side], 1)
    knots[:, 3] = np.stack([44 + 0.7 * out, 0.4 * side + 0.6 * back, 148 + 0.8 * out], 1)
    knots[:, 4] = np.stack([0 * back, back, 164 + out], 1)
    return bust.ring(knots)


def _roll(bust: Bust, deep: float) -> Mesh:
    """A turtleneck's collar: up the neck and folded over."""
    top = np.array([112 - 6 * deep, 92 - 8 * deep, 96.0])
    low = np.array([150, 128, 130.0])
    share = np.array([0.0, 0.0, 0.15, 0.5, 0.85, 1.0])[:, None]
    heights = top + (low - top) * share
    out = np.array([1.5, 4.5, 7.0, 8.0, 8.5, 6.0])
    points = bust.cleared(_neck(bust, heights, out), 2.0 + 0.4 * out[:, None])
    return surface(points, closed=True, toward=bust.center)


def _collar(bust: Bust, edge: Numbers, deep: float) -> Mesh:
    """A shirt's collar: a fold high behind the neck, its points in front below the throat."""
    turn = np.linspace(-0.97, 0.97, 41)
    fold = np.abs(turn)  # 0 behind the neck, 1 in front
    rows = np.array([0.0, 0.12, 0.4, 0.75, 1.0])[:, None]
    half = 66 + 14 * rows
    angle = np.pi * turn
    x = np.sin(angle) * half
    z = 100 + np.cos(angle) * (64 + 12 * rows)
    high = 100 + 34 * fold**2 + 10 * fold**6
    low = high + 32 + (18 + 16 * deep) * fold**8
    y = high + (low - high) * rows
    z = z - 4 * rows * fold**4 - 0.25 * np.maximum(y - 135, 0) * fold**4
    points = np.stack([x, y, z], -1) + bust.shift
    points[:, fold > 0.9] += np.array([0, 0, -3.0])
    points = bust.cleared(points, 4.0 + 2 * rows)
    return sheet(points, 1.4, closed=False, toward=bust.center)


def _hood(bust: Bust, deep: float) -> Mesh:
    """A hood that lies down: a thick roll behind the neck that thins to the throat."""
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    back = 0.5 - 0.5 * np.cos(np.pi * AROUND)
    thick = 9 + (13 + 8 * deep) * back
    ring = _neck(bust, np.array([[148.0, 118, 118]]), np.array([17.0]))[0]
    away = ring - bust.center
    away[:, 1] = 0
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    up = np.array([0.0, -1.0, 0.0])
    # The loft goes around; its grid is turned so that columns run along the ring.
    loop = (
        ring
        + (np.cos(angle)[:, None] * 0.8 * thick)[..., None] * away
        + (np.sin(angle)[:, None] * thick)[..., None] * up
    )
    loop = np.concatenate([loop, loop[:1]])
    return surface(loop, closed=True, toward=np.broadcast_to(ring, loop.shape).copy())


def _cords(points: Numbers, bust: Bust) -> Mesh:
    cords = []
    for sign in (-1, 1):
        column = COLUMNS // 2 + sign * 3
        path = points[1:9, column] + (0, 0, -4.0)
        cords.append(bar(path, np.full((8, 2), 2.2), up=(1.0, 0.0, 0.0), sides=6))
    return merge(cords)


def _scarf(bust: Bust, folds: float, phase: Numbers, deep: float) -> Mesh:
    """Wound twice around the neck."""
    coils = []
    for k, (height, out) in enumerate(((132.0, 20.0), (152.0, 26.0))):
        lean = 6 * np.sin(phase[k])
        heights = np.array([[height + 10, height - 8 + lean, height - 16]])
        ring = _neck(bust, heights, np.array([out + 4 * deep]))[0]
        away = ring - bust.center
        away[:, 1] = 0
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        angle = np.linspace(0, 2 * np.pi, 11)[:, None]
        ripple = 1 + 0.07 * folds * np.sin(3 * angle + 9 * AROUND + phase[k])
        loop = (
            ring
            + (np.cos(angle) * 13 * ripple)[..., None] * away
            + (np.sin(angle) * (17 + 5 * deep) * ripple)[..., None] * np.array([0.0, -1.0, 0.0])
        )
        loop[..., 1] += 5 * np.sin(np.pi * AROUND + phase[1 - k])
        coils.append(surface(loop, closed=True, toward=np.broadcast_to(ring, loop.shape).copy()))
    return merge(coils)


def _tie(points: Numbers) -> Mesh:
    """A knot at the throat and the blade below it, on the shirt."""
    line = points[:, COLUMNS // 2] + (0, 0, -6.0)
    rows = np.linspace(0, len(line) - 1, 9)
    path = CubicSpline(np.arange(len(line)), line)(rows)
    half = np.array([17, 15, 11, 17, 20, 23, 26, 30, 34.0])
    across = np.array([-1.0, -0.4, 0.4, 1.0])
    blade = path[:, None] + (half[:, None] * across)[..., None] * np.array([1.0, 0, 0])
    blade[..., 2] += 2.5 * across**2
    blade[:3, :, 2] -= np.array([6, 6, 2.0])[:, None]
    return surface(blade, closed=False, toward=path.mean(0) + (0, 0, 80))


def _lapels(coat: Numbers, bust: Bust, deep: float) -> Mesh:
    """The jacket's edge folded outwards: a collar behind, lapels that widen and end in a point."""
    edge = coat[0]
    turn = np.abs(AROUND)
    keep = np.arange(COLUMNS)
    width = np.interp(turn, [0, 0.05, 0.18, 0.24, 0.3, 1], [4, 14, 46 + 14 * deep, 30, 34, 30])
    outward = coat[3] - coat[0]
    outward[:, 1] = np.maximum(outward[:, 1], 0) * np.where(turn > 0.3, 1.0, 0.25)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    rows = np.array([0.0, 0.08, 0.4, 0.75, 1.0])[:, None]
    points = edge[keep] + (rows * width)[..., None] * outward
    lift = np.interp(rows[:, 0], [0, 0.1, 0.6, 1], [0, 5, 6, 4])
    away = points - bust.center
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    points = points + lift[:, None, None] * away
    points[:, turn > 0.3, 1] -= 10 * (1 - rows)
    points = bust.cleared(points, 11.0 + lift[:, None])
    return sheet(points, 2.0, closed=True, toward=bust.center)
