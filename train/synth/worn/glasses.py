"""Spectacles and sunglasses that sit on a person's nose and ears.

Sizes are those of the trade (boxed lens width 44 to 56 mm, bridge 15 to 22 mm, vertex distance 12
to 16 mm, pantoscopic tilt 5 to 12 degrees); a front is drawn flat and bent onto a depth function,
which is that of a wrapped front with a spherical lens at each eye.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from train.synth.figure.facekit import PARTS, FaceKit
from train.synth.figure.meshes import Mesh, merge
from train.synth.streams import Streams
from train.synth.worn.fitting import (
    Floats,
    Numbers,
    Part,
    anatomy,
    bar,
    ellipsoid,
    lattice,
    rgb,
    sweep,
)
from train.synth.worn.glasses_design import Design, draw_design, lens_outline

TINTS = (
    (0.30, 0.14, 0.03),
    (0.05, 0.10, 0.30),
    (0.40, 0.28, 0.02),
    (0.35, 0.06, 0.12),
    (0.06, 0.06, 0.065),
    (0.05, 0.18, 0.08),
    (0.22, 0.07, 0.30),
)


@dataclass(frozen=True, slots=True)
class Front:
    """A fitted front: where it is and how deep."""

    design: Design
    center: Numbers
    """(3,) between the lenses' middles."""
    middle: float
    """From the symmetry axis to a lens's middle."""

    def depth(self, u: Numbers, v: Numbers, *, lens: bool = True) -> Numbers:
        """Depth of the front's surface behind its middle, for u to the side and v down."""
        d = self.design
        side = np.abs(u)
        z = (side**2 - self.middle**2) / (2 * d.wrap) + v * np.tan(d.tilt)
        return np.asarray(z + ((side - self.middle) ** 2 + v**2) / (2 * d.base) if lens else z)

    def place(self, u: Numbers, v: Numbers, z: Numbers) -> Numbers:
        """Head-frame points (..., 3) of flat ones."""
        c, s = np.cos(self.design.roll), np.sin(self.design.roll)
        return np.asarray(self.center + np.stack([c * u - s * v, s * u + c * v, z], -1))

    def normals(self, u: Numbers, v: Numbers) -> Numbers:
        """Outward unit normals (..., 3) of the lenses."""
        d, side = self.design, np.abs(u)
        dx = np.sign(u) * (side / d.wrap + (side - self.middle) / d.base)
        dy = np.tan(d.tilt) + v / d.base
        n = np.stack([dx, dy, -np.ones_like(dx)], -1)
        return np.asarray(n / np.linalg.norm(n, axis=-1, keepdims=True))


def glasses(streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]) -> list[Part]:
    """Parts of the glasses that ``on`` asks for (``glasses`` or ``sunglasses``), or none.

    ``calm`` (26719, 3) is the person without expression.  ``thick_frame`` changes the rim alone,
    ``tinted_lenses``, ``lens_reflections`` and ``sunglasses`` the lenses alone.
    """
    if not (on.get("glasses") or on.get("sunglasses")):
        return []
    design = draw_design(
        streams("glasses"), thick=bool(on.get("thick_frame")), sun=bool(on.get("sunglasses"))
    )
    front, outline = _fit(design, kit, calm)
    parts: list[Part] = []
    fine: list[Mesh] = []
    solid = _rims(front, outline)
    hinges = _hinges(front, outline)
    solid += [_bridge(front, outline)] if design.style != "rimless" else []
    temples, tips = _temples(front, hinges, kit, calm)
    (fine if design.metal else solid).extend(temples)
    pads, arms = _nose_pads(front, outline, kit, calm)
    fine += arms
    if design.style == "rimless":
        fine.append(_bridge(front, outline))
    gloss, specular = (45.0, 1.0) if design.metal else (50.0, 0.5)
    if design.metal:
        solid, fine = [], solid + fine
    if solid:
        parts.append(Part(merge(solid), design.color, gloss, specular, eyewear=True))
    if fine:
        wire = design.color if design.metal else rgb(0.5, 0.48, 0.45)
        parts.append(Part(merge(fine), wire, 45.0, 1.0, eyewear=True))
    if tips:
        parts.append(Part(merge(tips), design.tip_color, 60.0, 0.4, eyewear=True))
    if pads:
        parts.append(_clear(merge(pads), rgb(0.5, 0.5, 0.48), 0.45))
    if design.style in ("rimless", "half rim"):
        parts.append(_clear(_lens_edges(front, outline), rgb(0.35, 0.37, 0.37), 0.4))
    return [*parts, _lenses(streams("lenses"), front, outline, on)]


def _clear(mesh: Mesh, color: Floats, alpha: float) -> Part:
    return Part(mesh, color, 90.0, 0.8, alpha=alpha, shadow=False, hides=False)


# -- fit ------------------------------------------------------------------------------------------


def _fit(design: Design, kit: FaceKit, calm: Floats) -> tuple[Front, Numbers]:
    """The front at its place on a person, and one lens's outline (POINTS, 2) of u (≥ 0) and v.

    The lenses are ``vertex`` mm before the corneas, or further where the nose, the brow or the
    cheeks would touch; the outline gives way where it would cut into the nose's sides.
    """
    marks = calm[kit.landmarks].astype(np.float64)
    eyes = marks[[36, 39, 42, 45]].mean(0)
    cornea = min(
        float(calm[slice(*PARTS[f"eyeball_{side}"]), 2].min()) for side in ("left", "right")
    )
    head = np.abs(marks[[0, 16], 0]).mean() / 73.6  # frames are sold in sizes
    width = design.lens[0] * float(np.clip(head, 0.93, 1.07))
    middle = max((design.bridge + width) / 2, 29.5)
    y = eyes[1] + design.drop
    flat = lens_outline(design) * (width / 2, design.lens[1] / 2)
    u, v = middle + flat[:, 0], flat[:, 1]
    front = Front(design, np.array([eyes[0] * 0.5, y, cornea - design.vertex - 1.0]), middle)
    ridge = np.interp(y + _bridge_height(design), marks[27:31, 1], marks[27:31, 2])
    seat = 0.6 if not design.metal else 2.0
    bridge_z = front.depth(np.zeros(1), np.array([_bridge_height(design)]), lens=False)[0]
    forward = front.center[2] + bridge_z + design.rim[1] / 2 - (ridge - seat)
    face = calm[anatomy(kit).front].astype(np.float64) - front.center
    face[:, 2] += max(forward, 0.0)
    front.center[2] -= max(forward, 0.0)
    # Against brow and cheeks: how far each bit of rim is behind what is in front of it.
    grow = 1 + design.rim[0] / np.hypot(*flat.T)
    ru, rv = middle + flat[:, 0] * grow, flat[:, 1] * grow
    rz = front.depth(ru, rv) + design.rim[1] / 2
    ahead = face[face[:, 2] - 1.3 < rz.max()]  # nothing else can push the rim
    near = np.hypot(ru[:, None] - np.abs(ahead[:, 0]), rv[:, None] - ahead[:, 1]) < 3.5
    near &= (ru > 17)[:, None]
    behind = np.where(near, rz[:, None] - (ahead[:, 2] - 1.3), 0.0).max(initial=0.0)
    front.center[2] -= float(behind)
    face[:, 2] += float(behind)
    # Against the nose: nothing of it that sticks through the front may be outside the outline.
    face = face[np.abs(face[:, 0]) < 24]
    through = face[:, 2] < front.depth(np.abs(face[:, 0]), face[:, 1]) + design.rim[1] / 2
    face = face[through]
    rows = np.abs(v[:, None] - face[:, 1]) < 2.5
    nose = np.where(rows, np.abs(face[:, 0]), 0.0).max(1, initial=0.0) + design.rim[0] + 0.8
    u = np.maximum(u, np.where(u < middle, nose, 0.0))
    u = np.maximum(u, 0.25 * np.roll(u, 1) + 0.5 * u + 0.25 * np.roll(u, -1) * (u < middle))
    return front, np.stack([u, v], 1)


def _bridge_height(design: Design) -> float:
    share = {"aviator": 0.45, "round": 0.25, "panto": 0.35, "rimless": 0.25}.get(design.style, 0.4)
    return -share * design.lens[1] / 2


def _edge(outline: Numbers, v: float, *, nasal: bool) -> Numbers:
    """The outline's point (2,) at height ``v`` on its nasal or outer side."""
    mid = (outline[:, 0].min() + outline[:, 0].max()) / 2
    side = outline[outline[:, 0] < mid] if nasal else outline[outline[:, 0] >= mid]
    side = side[np.argsort(side[:, 1])]
    return np.array([np.interp(v, side[:, 1], side[:, 0]), v])


# -- parts ----------------------------------------------------------------------------------------


def _outward(outline: Numbers) -> Numbers:
    along = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))


def _rim(front: Front, outline: Numbers, half: Numbers, deep: float, sign: float) -> Mesh:
    """A rim just outside the outline, ``half`` (n,) its half widths."""
    normal = _outward(outline)
    u, v = (outline + normal * half[:, None]).T
    path = front.place(sign * u, v, front.depth(u, v))
    across = np.stack([sign * normal[:, 0], normal[:, 1], np.zeros(len(u))], 1)
    third = front.normals(sign * u, v)
    across -= (across * third).sum(1, keepdims=True) * third
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    radii = np.stack([half, np.full(len(u), deep / 2)], 1)
    return sweep(path, across, third, radii, closed=True, sides=8, square=3.0)


def _rims(front: Front, outline: Numbers) -> list[Mesh]:
    """Both rims: thicker above for plastic, down to a wire below for half rims."""
    d = front.design
    if d.style == "rimless":
        return []
    up = np.clip(0.5 - outline[:, 1] / d.lens[1], 0, 1)  # 1 at the top
    out = np.clip((outline[:, 0] - front.middle) / d.lens[0] + 0.5, 0, 1)
    wide = np.full(len(outline), d.rim[0] / 2)
    if not d.metal:
        strong = {"cat-eye": 0.5, "wayfarer": 0.45}.get(d.style, 0.25)
        wide = wide * (0.8 + 0.3 * up + strong * up * out**2)
    rims = []
    for sign in (-1.0, 1.0):
        if d.style == "browline":
            share = np.clip((up - 0.42) / 0.2, 0, 1)
            rims.append(
                _rim(front, outline, 0.4 + share * np.minimum(2.2 + wide, 4.2), d.rim[1], sign)
            )
        elif d.style == "half rim":
            share = np.clip((up - 0.45) / 0.15, 0, 1)
            rims.append(_rim(front, outline, 0.15 + share * wide, 1.0 + d.rim[1] / 2, sign))
        else:
            rims.append(_rim(front, outline, wide, d.rim[1], sign))
    return rims


def _bridge(front: Front, outline: Numbers) -> Mesh:
    d = front.design
    height = _bridge_height(d)
    start = _edge(outline, height, nasal=True)
    t = np.linspace(-1, 1, 11)
    arch = (1 - t**2) * (1.2 if not d.metal else 2.5)
    u, v = t * (start[0] - 0.3), height - arch
    end = front.depth(start[:1], start[1:])[0]
    middle = front.depth(np.zeros(1), np.array([height]), lens=False)[0]
    z = end + (middle - end) * (1 - t**2)
    thick = np.array([0.85, 0.95]) if d.metal else np.array([1.5, 0.5 * d.rim[0] + 0.5])
    radii = np.repeat(np.maximum(thick, 0.7)[None], 11, 0) * (1 + 0.25 * t[:, None] ** 2)
    bars = [bar(front.place(u, v, z), radii, square=2.5 if d.metal else 3.0)]
    if d.style == "aviator":  # the second bar, along the brow
        top = _edge(outline, -0.88 * d.lens[1] / 2, nasal=True)
        u2, v2 = t * (top[0] + 2.0), np.full(11, top[1])
        z2 = front.depth(np.abs(u2), v2, lens=False)
        bars.append(bar(front.place(u2, v2, z2 + 0.5), np.full((11, 2), 0.9)))
    return merge(bars)


def _hinges(front: Front, outline: Numbers) -> Numbers:
    """(2, 3) where the temples leave the front, flat (u, v, depth): right, left."""
    d = front.design
    v = -d.hinge * d.lens[1] / 2
    at = _edge(outline, v, nasal=False) + (0.6 * d.rim[0], 0.0)
    z = float(front.depth(at[:1], at[1:])[0])
    return np.array([[-at[0], v, z], [at[0], v, z]])


def _temples(
    front: Front, hinges: Numbers, kit: FaceKit, calm: Floats
) -> tuple[list[Mesh], list[Mesh]]:
    """(temples, tips): from the hinges to above the ears, then down behind them."""
    d, body = front.design, anatomy(kit)
    tall = 1.1 if d.metal else 2.6 + 0.35 * d.rim[0]
    thin = 0.75 if d.metal else 1.3 + 0.12 * d.rim[0]
    temples, tips = [], []
    side = calm[body.side].astype(np.float64)
    for sign, hinge in zip((-1.0, 1.0), hinges, strict=True):
        notch = calm[body.vertex(sign * 77, -30, 94)].astype(np.float64)
        behind = calm[body.vertex(sign * 73, -8, 117)].astype(np.float64)
        start = front.place(*(np.array([x]) for x in hinge))[0]
        end = notch + (sign * (thin + 0.6), -1.5, 2.0)
        corner = start + (sign * (1.5 + 0.5 * thin), 0, 2.5)
        t = np.linspace(0.06, 1, 12)[:, None]
        line = corner + (end - corner) * t
        # Outside of the cheekbone by a hair, wherever the straight line would cut it.
        mine = side[side[:, 0] * sign > 0]
        close = np.hypot(line[:, 1:2] - mine[:, 1], line[:, 2:] - mine[:, 2]) < 6
        wall = np.where(close, np.abs(mine[:, 0]), 0).max(1) + thin + 0.7
        wall = np.maximum(wall, 0.5 * np.roll(wall, 1) + 0.5 * np.roll(wall, -1))
        line[:, 0] = sign * np.maximum(np.abs(line[:, 0]), wall)
        down = behind + (sign * 1.5, 0, -3.0) - line[-1]
        tail = line[-1] + down * np.array([[0.3], [0.65], [1.0], [1.35]])
        tail[:, 1] += np.array([-3.0, -2.5, 1.0, 9.0])
        path = np.vstack([start, corner, line, tail])
        n = len(path)
        profile = np.interp(np.arange(n), [0, 2, n - 5, n - 1], [1.15, 1.0, 0.75, 0.8])
        radii = np.stack([np.full(n, thin), tall * profile], 1)
        if d.metal:
            temples.append(bar(path, radii, square=3.0))
            tips.append(bar(path[-7:], np.full((7, 2), (1.3, 2.0)), square=2.5))
        else:
            temples.append(bar(path, radii, square=3.5))
    return temples, tips


def _nose_pads(
    front: Front, outline: Numbers, kit: FaceKit, calm: Floats
) -> tuple[list[Mesh], list[Mesh]]:
    """(pads, their arms), against the sides of the nose."""
    d = front.design
    if not d.metal and d.style not in ("browline", "half rim", "rimless"):
        return [], []
    v = 0.12 * d.lens[1] / 2
    rim = _edge(outline, v - 1.0, nasal=True)
    face = calm[anatomy(kit).front].astype(np.float64) - front.center
    z = float(front.depth(rim[:1], rim[1:])[0]) + 4.0
    level = (np.abs(face[:, 1] - v) < 4) & (face[:, 2] < z + 1) & (np.abs(face[:, 0]) < 22)
    u = float(np.abs(face[level, 0]).max()) + 1.2 if level.any() else float(rim[0]) - 4
    u = min(u, float(rim[0]) + 2.0)
    pads, arms = [], []
    for sign in (-1.0, 1.0):
        center = front.place(np.array([sign * u]), np.array([v]), np.array([z]))[0]
        lean = np.array([sign * 0.45, 0.15, -0.9])
        axes = np.array([[sign * 0.9, 0.0, 0.45], [sign * 1.3, 6.4, -1.0], lean * 3.6])
        pads.append(ellipsoid(center, axes))
        start = front.place(
            np.array([sign * (rim[0] - 0.5)]), rim[1:], front.depth(rim[:1], rim[1:])
        )[0]
        t = np.linspace(0, 1, 6)[:, None]
        path = start + (center - start) * t + np.sin(np.pi * t) * np.array([0, -1.0, 2.6])
        arms.append(bar(path, np.full((6, 2), 0.45), up=(0.3, -1.0, 0.2), sides=5))
    return pads, arms


def _lens_edges(front: Front, outline: Numbers) -> Mesh:
    """The polished edges of lenses that have no rim there."""
    half = np.full(len(outline), 0.35)
    return merge([_rim(front, outline - _outward(outline) * 0.7, half, 1.8, s) for s in (-1, 1)])


def _lenses(
    rng: np.random.Generator, front: Front, outline: Numbers, on: Mapping[str, bool]
) -> Part:
    """Both lenses' front surfaces with a sphere's normals, as one part."""
    dark_alpha, clear_alpha, tint_alpha = rng.uniform((0.75, 0.02, 0.15), (0.98, 0.08, 0.5))
    tint = int(rng.integers(len(TINTS)))
    mirror, faint, shade = rng.uniform((0.35, 0.0, 0.04), (1.0, 0.10, 0.25))
    plain_dark = rng.random() < 0.6
    shares = np.array([0.0, 0.3, 0.55, 0.78, 0.92, 1.0])[:, None]
    meshes = []
    for sign in (-1.0, 1.0):
        u = front.middle + (outline[:, 0] - front.middle) * shares
        v = outline[:, 1] * shares
        points = front.place(sign * u, v, front.depth(u, v))
        normals = front.normals(sign * u, v)
        meshes.append(
            Mesh(
                points.reshape(-1, 3).astype(np.float32),
                normals.reshape(-1, 3).astype(np.float32),
                lattice(len(shares), len(outline), closed=True),
            )
        )
    color, alpha = rgb(0.3, 0.32, 0.32), float(clear_alpha)
    if on.get("sunglasses"):
        color = rgb(0.008, 0.008, 0.009) if plain_dark else rgb(*TINTS[tint]) * np.float32(shade)
        alpha = float(dark_alpha)
    elif on.get("tinted_lenses"):
        color, alpha = rgb(*TINTS[tint]), float(tint_alpha)
    reflection = float(mirror if on.get("lens_reflections") else faint)
    dark = alpha > 0.6
    return Part(
        merge(meshes),
        color,
        110.0,
        1.0,
        alpha=alpha,
        reflection=reflection,
        shadow=dark,
        hides=dark,
    )
