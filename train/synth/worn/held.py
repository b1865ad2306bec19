"""Things before a face: held ones with the hand that holds them, and standing ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from train.synth.figure.meshes import Mesh, merge
from train.synth.worn import hands
from train.synth.worn.fitting import Floats, Numbers, Part, bar, dye, ellipsoid, lattice, rgb

OBJECTS = ("phone", "cup", "book", "pen", "microphone", "wheel", "bars")
_OBJECT_SHARES = np.array([0.24, 0.2, 0.14, 0.1, 0.12, 0.08, 0.12])
_TOWARDS_CAMERA = ("phone", "book", "wheel", "bars")
BLACK = rgb(0.015, 0.015, 0.016)


@dataclass(frozen=True, slots=True)
class Draws:
    """Everything that is random about a thing, drawn at once whatever is used."""

    marks: Numbers
    """(68, 3) landmarks in the frame that the thing is laid out in."""
    side: float
    """1 for the person's left hand, −1 for the right."""
    a: Numbers
    """(8,) normal."""
    u: Numbers
    """(8,) uniform."""
    jitter: Numbers
    color: Floats
    skin: Floats
    dress: Numbers

    @property
    def mouth(self) -> Numbers:
        """The mouth's middle (3,)."""
        return np.asarray(self.marks[48:60].mean(0))

    @property
    def nearest(self) -> float:
        """Depth of what is foremost of the face."""
        return float(self.marks[:, 2].min())


def thing_in_front(
    rng: np.random.Generator, marks: Numbers, skin: Floats, toward: Numbers
) -> list[Part]:
    """Parts of a thing that hides some of the face.

    ``marks`` (68, 3) are the landmarks and ``toward`` (3,) the direction of the camera, in the head
    frame: things that do not touch the mouth are put between the face and the camera.
    """
    kind = str(rng.choice(OBJECTS, p=_OBJECT_SHARES))
    side = 1.0 if rng.random() < 0.5 else -1.0
    a, u = rng.normal(0, 1, 8), rng.uniform(0, 1, 8)
    draws = Draws(marks, side, a, u, rng.normal(0, 1, 8), dye(rng), skin, hands.draw_dress(rng))
    make = {
        "phone": _phone,
        "cup": _cup,
        "book": _book,
        "pen": _pen,
        "microphone": _microphone,
        "wheel": _wheel,
        "bars": _bars,
    }[kind]
    if kind not in _TOWARDS_CAMERA:
        return make(draws)
    # Laid out as if the camera were straight ahead, then turned to where it is.
    z = -toward / np.linalg.norm(toward)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], 1)
    parts = make(replace(draws, marks=marks @ turn))
    return [replace(p, mesh=hands.turned(p.mesh, turn, np.zeros(3))) for p in parts]


def _phone(d: Draws) -> list[Part]:
    """Before the lower face or a side of it, rarely before the eyes."""
    a, u = d.a, d.u
    place = d.mouth + (d.side * (15 + 45 * u[0]), 35 - 60 * u[1] ** 2, 0)
    place[2] = d.nearest - 25 - 90 * u[2]
    lean = hands.frame(
        np.array([0.12 * a[0], -1, 0.15 * a[1]]), np.array([0.2 * a[2], 0.25, 1]), d.side
    )
    body = _slab((37, 76, 4.5), lean, place, 5.0)
    lens = place - lean[:, 2] * 5.0 + lean[:, 1] * 54 + lean[:, 0] * 20
    eye = ellipsoid(lens, (lean * (8.0, 12.0, 1.6)).T)
    return [
        Part(body, rgb(0.02, 0.02, 0.022) if u[3] < 0.6 else d.color, 90.0, 0.7),
        Part(eye, rgb(0.006, 0.006, 0.008), 110.0, 1.0, shadow=False),
        *_held(d, place - lean[:, 1] * 22, lean[:, 1], lean[:, 2], 6.0),
    ]


def _cup(d: Draws) -> list[Part]:
    up = np.array([0.12 * d.a[0], -1.0, 0.25 + 0.5 * d.u[1]])
    up /= np.linalg.norm(up)
    wide = 34 + 7 * d.u[0]
    lip = d.mouth + (0.0, 2.0, -5 - 30 * d.u[2])
    center = lip - up * 45 + (0.0, 0, -wide)
    wall = [(0, 0.7), (0, 0.72), (1, 0.95), (1, 1.0), (0.98, 0.93), (0.1, 0.68)]
    lean = hands.frame(up, np.array([0.0, up[2], -up[1]]), 1.0)
    mesh = hands.turned(_turning(wall, 92, wide), lean, center - up * 46)
    return [
        Part(mesh, d.color, 70.0, 0.5),
        *_held(d, center, up, np.array([0, 0, 1.0]), wide),
    ]


def _book(d: Draws) -> list[Part]:
    """Open, its upper edge before the mouth or the nose."""
    a, u = d.a, d.u
    place = d.mouth + (8 * a[0], 80 - 24 * u[0], 0)
    place[2] = d.nearest - 30 - 70 * u[1]
    leaf = np.array([0.08 * a[1], -1.0, 0.25 * a[2]])
    covers, grips = [], []
    for s in (-1.0, 1.0):
        lean = hands.frame(leaf, np.array([s * 0.35, 0.0, 1.0]), 1.0)
        covers.append(_slab((70, 95, 5 + 4 * u[2]), lean, place + lean[:, 0] * s * -70, 2.0))
        at = place + (s * (70 + 50 * u[3]), 60, -4)
        one = replace(d, side=s)
        grips += _held(one, at, np.array([s * -0.5, -0.8, 0]), np.array([0, 0, 1.0]), 6.0)
    return [Part(merge(covers), d.color, 25.0, 0.2), *grips]


def _pen(d: Draws) -> list[Part]:
    """Its end at the lips."""
    end = d.mouth + (d.side * 10 * d.u[0], 2.0, -6.0)
    away = np.array([d.side * (0.4 + d.u[1]), 0.55 * d.a[0] + 0.3, -0.8])
    away /= np.linalg.norm(away)
    path = end + np.array([[0], [10], [130], [142]]) * away
    pen = bar(path, np.array([[1.5] * 2, [4] * 2, [4] * 2, [3.2] * 2]), sides=10)
    hand = hands.pose_hand(hands.PINCH, d.jitter, left=d.side > 0)
    turn = hands.frame(-away - (0.0, 0.3, 0.0), np.array([-d.side, 0, 0.3]), d.side)
    at = end + 95 * away
    shift = at - turn @ hand.tips[:2].mean(0)
    elbow = at + (d.side * 150, 330.0, -40.0)
    return [
        Part(pen, d.color, 80.0, 0.6),
        *hands.placed(hand, turn, shift, 1.0, elbow, d.skin, d.dress),
    ]


def _microphone(d: Draws) -> list[Part]:
    a, u = d.a, d.u
    away = np.array([d.side * (0.2 + 0.5 * u[0]), 0.75, -0.45])
    away /= np.linalg.norm(away)
    head = d.mouth + (4 * a[0], 8 + 6 * u[1], -28 - 20 * u[2])
    ball = ellipsoid(head, np.eye(3) * (23 + 4 * u[3]), rings=12, sectors=16)
    path = head + np.array([[14], [24], [40], [180]]) * away
    shaft = bar(path, np.array([[17.0] * 2, [19] * 2, [17] * 2, [12] * 2]), sides=14)
    return [
        Part(ball, rgb(0.25, 0.25, 0.25) if u[4] < 0.6 else BLACK, 20.0, 0.6),
        Part(shaft, BLACK, 40.0, 0.4),
        *_held(d, head + 90 * away, -away, np.array([0.0, 0.3, 1]), 16.0),
    ]


def _wheel(d: Draws) -> list[Part]:
    """The upper rim of a steering wheel."""
    u, chin = d.u, d.marks[8]
    radius, tilt = 180 + 15 * u[0], 0.45 + 0.3 * u[1]
    low = radius * np.cos(tilt) - 20 - 70 * u[2]
    center = chin + np.array([25 * d.a[0], low, -190 - 120 * u[3]])
    angle = np.linspace(0, 2 * np.pi, 48)
    plane = np.array([[1.0, 0, 0], [0.0, -np.cos(tilt), -np.sin(tilt)]])
    path = center + radius * (np.stack([np.cos(angle), np.sin(angle)], 1) @ plane)
    up = tuple(float(v) for v in np.cross(*plane))
    return [Part(bar(path, np.full((48, 2), 14.0), up=up, sides=10), BLACK, 15.0, 0.2)]


def _bars(d: Draws) -> list[Part]:
    """Three bars side by side, upright or level."""
    a, u, eyes = d.a, d.u, d.marks[36:48].mean(0)
    lean = 0.10 * a[0] + (np.pi / 2 if u[0] < 0.25 else 0.0)
    along = np.array([np.sin(lean), np.cos(lean), 0.05 * a[1]])
    across = np.array([np.cos(lean), -np.sin(lean), 0.0])
    thick, apart = 4 + 9 * u[1], 85 + 70 * u[2]
    bars = []
    for k in (-1, 0, 1):
        middle = eyes + (u[3] - 0.5 + k) * apart * across + (0, 20.0, -70 - 160 * u[4])
        path = middle + np.linspace(-420, 420, 5)[:, None] * along
        bars.append(bar(path, np.full((5, 2), thick), up=(0.0, 0.1, -1.0), sides=10))
    metal = bool(u[5] < 0.5)
    color = rgb(0.25, 0.25, 0.26) if metal else d.color
    return [Part(merge(bars), color, 60.0, 1.0 if metal else 0.3)]


def _held(d: Draws, at: Numbers, axis: Numbers, palm: Numbers, radius: float) -> list[Part]:
    """A hand around something of ``radius`` mm, which runs along ``axis`` on the thumb's side.

    ``palm`` is the direction from the hand's back to the thing.
    """
    hand = hands.pose_hand(hands.GRIP, d.jitter, left=d.side > 0)
    axis = axis / np.linalg.norm(axis)
    palm = palm - (palm @ axis) * axis
    palm = palm / np.linalg.norm(palm)
    x = -d.side * axis  # a left hand's thumb is on its −x
    turn = np.stack([x, np.cross(palm, x), palm], 1)
    shift = at - turn @ np.array([-4.0 * d.side, 74.0, 12.0 + radius])
    elbow = at + (d.side * 150, 330.0, -40.0)
    return hands.placed(hand, turn, shift, 1.0, elbow, d.skin, d.dress)


def _slab(half: tuple[float, float, float], turn: Numbers, at: Numbers, corner: float) -> Mesh:
    """A box with rounded corners in its plane: half sizes along the columns of ``turn``."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False) + np.pi / 32
    c, s = np.cos(angle), np.sin(angle)
    rim = np.stack([np.sign(c) * (half[0] - corner), np.sign(s) * (half[1] - corner)], 1)
    rim += corner * np.stack([c, s], 1)
    normal = np.stack([c, s, 0 * c], 1)
    rows, normals = [], []
    for scale, z, tilt in (
        (0, -1, 0),
        (0.985, -1, 0),
        (1, -0.8, 1),
        (1, 0.8, 1),
        (0.985, 1, 0),
        (0, 1, 0),
    ):
        flat = np.concatenate([rim * scale, np.full((32, 1), z * half[2])], 1)
        rows.append(flat)
        normals.append(normal if tilt else np.tile([0.0, 0, np.sign(z)], (32, 1)))
    points, shading = np.vstack(rows), np.vstack(normals)
    return Mesh(
        (points @ turn.T + at).astype(np.float32),
        (shading @ turn.T).astype(np.float32),
        lattice(6, 32, closed=True),
    )


def _turning(profile: list[tuple[float, float]], tall: float, radius: float) -> Mesh:
    """A turned thing about y from (share of the height, share of the radius) pairs."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    at = np.array(profile)
    wall = np.stack(
        [
            radius * at[:, 1:] * np.cos(angle),
            np.repeat(tall * at[:, :1], 28, 1),
            radius * at[:, 1:] * np.sin(angle),
        ],
        -1,
    )
    floor = wall.mean(1, keepdims=True)[:1] + np.zeros((1, 28, 3))
    points = np.concatenate([floor, wall])
    normal = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], -1)
    normals = np.tile(normal, (len(points), 1, 1))
    normals[0] = normals[1] = (0.0, -1.0, 0.0)
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        lattice(len(points), 28, closed=True),
    )
