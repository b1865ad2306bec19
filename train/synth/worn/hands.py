"""A hand: finger bones as tapered capsules, melted into one skin.

Local frame, millimetres, of a right hand: the wrist's middle is the origin, y runs along the
fingers, x towards the thumb and z out of the palm.  Tubes and a slab are laid around the bones and
every vertex is then moved onto the smooth union of the capsules that it belongs to, so that fingers
grow out of the palm without seams while neighbouring fingers stay apart.  Lengths are those of an
average adult hand (Greiner, "Hand anthropometry of US Army personnel", 1991).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from train.synth.figure.meshes import Mesh, merge
from train.synth.worn.fitting import Floats, Numbers, Part, bar, dye, lattice, rgb

_KNUCKLES = np.array([[27, 90, 0], [6, 96, -2], [-15, 91, -1], [-34, 81, 3]], float)
_BONES = np.array([[41, 24, 19], [45, 28, 20], [41, 26, 20], [33, 19, 18]], float)
_RADII = np.array(
    [[9.8, 8.9, 8.0, 6.7], [10, 9.0, 8.2, 6.8], [9.6, 8.6, 7.8, 6.5], [8.6, 7.5, 6.8, 5.8]]
)
_SPLAY = np.radians([7.0, 1.0, -6.0, -15.0])
_SIDES = 10


@dataclass(frozen=True, slots=True)
class Pose:
    """Joint angles in degrees: index, middle, ring, little."""

    knuckle: tuple[float, float, float, float]
    middle: tuple[float, float, float, float]
    spread: float = 1.0
    thumb: tuple[float, float, float] = (0.75, 0.62, 0.35)
    """Direction of the thumb's metacarpal."""
    thumb_bend: tuple[float, float] = (12.0, 15.0)
    thumb_turn: tuple[float, float, float] = field(default=(-0.5, 0.75, 0.45))
    """The direction that the thumb bends towards."""


OPEN = Pose((8, 5, 6, 10), (10, 8, 10, 14))
RELAXED = Pose((22, 28, 32, 36), (26, 32, 36, 38), 0.7)
FIST = Pose(
    (72, 76, 78, 80), (98, 100, 100, 98), 0.35, (0.62, 0.58, 0.62), (35, 45), (-0.85, 0.35, 0.3)
)
POINT = Pose((14, 70, 76, 78), (16, 96, 98, 96), 0.5, (0.62, 0.6, 0.6), (30, 40), (-0.9, 0.35, 0.2))
PINCH = Pose(
    (55, 41, 35, 31), (41, 25, 21, 21), 0.9, (0.25, 0.57, 0.81), (13, 30), (-0.44, 0.64, 0.17)
)
GRIP = Pose(
    (44, 46, 48, 50), (62, 64, 64, 62), 0.6, (0.50, 0.55, 0.75), (24, 28), (-0.6, 0.75, 0.0)
)
THINKER = Pose(
    (10, 66, 72, 76), (12, 84, 88, 88), 0.7, (0.85, 0.55, 0.25), (8, 12), (-0.2, 0.9, 0.2)
)


@dataclass(frozen=True, slots=True)
class Hand:
    """A posed hand in its own frame."""

    skin: Mesh
    nails: Mesh
    tips: Numbers
    """(5, 3) fingertips: thumb, index, middle, ring, little."""
    joints: Numbers
    """(4, 3) middle joints of the fingers."""


def pose_hand(pose: Pose, jitter: Numbers, *, left: bool) -> Hand:
    """The hand in a pose.  ``jitter`` (8,) in standard units loosens the joints."""
    chains, radii, backs = [], [], []
    for finger in range(4):
        bend = pose.knuckle[finger] + 5 * jitter[finger]
        more = pose.middle[finger] * (1 + 0.08 * jitter[4 + finger])
        turn = np.cumsum(np.radians([bend, more, 0.65 * more]))
        splay = _SPLAY[finger] * pose.spread
        ahead = np.array([np.sin(splay), np.cos(splay), 0.0])
        along = np.cos(turn)[:, None] * ahead + np.sin(turn)[:, None] * [0.0, 0, 1]
        steps = along * _BONES[finger][:, None]
        steps[:, 0] -= 0.10 * np.sin(turn) * steps[:, 2] * np.sign(_KNUCKLES[finger, 0])
        chains.append(np.vstack([_KNUCKLES[finger], _KNUCKLES[finger] + np.cumsum(steps, 0)]))
        radii.append(_RADII[finger])
        backs.append(np.sin(turn[-1]) * ahead - np.cos(turn[-1]) * np.array([0, 0, 1.0]))
    thumb, back = _thumb(pose, jitter)
    chains.append(thumb)
    radii.append(np.array([15.5, 11.5, 10.2, 8.2]))
    backs.append(back)
    skin = merge(
        [_palm(chains), *[_finger(c, r, chains) for c, r in zip(chains, radii, strict=True)]]
    )
    nails = merge([_nail(c, r, b) for c, r, b in zip(chains, radii, backs, strict=True)])
    tips = np.array([chains[4][-1], *[c[-1] for c in chains[:4]]])
    joints = np.array([c[1] for c in chains[:4]])
    if left:
        flip = np.array([-1.0, 1, 1], np.float32)
        for mesh in (skin, nails):
            mesh.vertices, mesh.normals = mesh.vertices * flip, mesh.normals * flip
        tips, joints = tips * flip, joints * flip
    return Hand(skin, nails, tips, joints)


def _thumb(pose: Pose, jitter: Numbers) -> tuple[Numbers, Numbers]:
    start = np.array([22.0, 18, 6])
    along = np.array(pose.thumb) / np.linalg.norm(pose.thumb)
    toward = np.array(pose.thumb_turn, float)
    points, turn = [start, start + 44 * along], 0.0
    for length, bend in zip((33.0, 26.0), pose.thumb_bend, strict=True):
        turn += np.radians(bend + 3 * jitter[0])
        side = toward - (toward @ along) * along
        side /= np.linalg.norm(side)
        points.append(points[-1] + length * (np.cos(turn) * along + np.sin(turn) * side))
    last = points[-1] - points[-2]
    last /= np.linalg.norm(last)
    back = np.array([0.45, 0.1, -0.9]) * (1, 1, 1)
    back = back - (back @ last) * last
    return np.array(points), back / np.linalg.norm(back)


def _palm_bones(chains: list[Numbers]) -> tuple[Numbers, Numbers, Numbers]:
    """Capsules (a, b, radii) of the palm: metacarpals, both balls and the wrist."""
    wrist = np.array([[13, 2, 0], [5, 2, 0], [-4, 2, 0], [-13, 2, 0]], float)
    start = np.vstack([wrist, [[18, 20, 6], [-24, 18, 5], [0, -22, 0], [-9, -22, 0], [9, -22, 0]]])
    end = np.vstack(
        [_KNUCKLES, chains[4][1:2], [[-31, 62, 5], [0, 10, 0], [-12, 10, 0], [12, 10, 0]]]
    )
    radii = np.array(
        [[14, 11.5], [14, 11.8], [14, 11.2], [13, 10.0], [14, 12], [13, 11]]
        + [[17, 17], [15.5, 15.5], [15.5, 15.5]],
        float,
    )
    return start, end, radii


def _settle(points: Numbers, bones: tuple[Numbers, Numbers, Numbers], melt: float) -> Mesh:
    """Points (n, 3) moved onto the smooth union of capsules, with its normals."""
    start, end, radii = bones
    axis = end - start
    square = (axis**2).sum(1)
    along, base = (start * axis).sum(1), (start**2).sum(1)
    gradient = np.zeros_like(points)
    for step in range(4):
        onto = points @ axis.T - along
        share = np.clip(onto / square, 0, 1)
        from_start = (points**2).sum(1)[:, None] - 2 * points @ start.T + base
        length = np.sqrt(np.maximum(from_start - 2 * share * onto + share**2 * square, 1e-6))
        distance = length - radii[:, 0] - share * (radii[:, 1] - radii[:, 0])
        least = distance.min(1, keepdims=True)
        weight = np.exp((least - distance) / melt)
        total = weight.sum(1, keepdims=True)
        pull = weight / total / length
        gradient = points * pull.sum(1, keepdims=True) - pull @ start - (pull * share) @ axis
        gradient /= np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-6
        if step < 3:
            points = points - (least - melt * np.log(total)) * gradient
    return Mesh(points.astype(np.float32), gradient.astype(np.float32), np.zeros((0, 3), np.int32))


def _tube(chain: Numbers, radii: Numbers) -> Numbers:
    """Rings (n, _SIDES, 3) around a chain of joints, closed by a round tip."""
    lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)])
    total = at[-1]
    along = np.concatenate(
        [np.linspace(0, total, 13), total + radii[-1] * np.array([0.45, 0.8, 0.96, 1.0])]
    )
    clipped = np.minimum(along, total)
    middle = np.stack([np.interp(clipped, at, k) for k in chain.T], 1)
    ahead = np.gradient(np.stack([np.interp(along, at, k) for k in chain.T], 1), axis=0)
    ahead[-5:] = chain[-1] - chain[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    middle = middle + np.maximum(along - total, 0)[:, None] * ahead
    side = np.cross(ahead, [0.31, 0.1, -0.2] + np.cross(chain[1] - chain[0], [1.0, 0.2, 0.1]))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(side, ahead)
    radius = np.interp(clipped, at, radii)
    over = np.clip((along - total) / radii[-1], 0, 1)
    radius = radius * np.sqrt(np.maximum(1 - over**2, 0.002))
    angle = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)[:, None]
    ring = np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None]
    return np.asarray(middle[:, None] + radius[:, None, None] * ring)


def _finger(chain: Numbers, radii: Numbers, chains: list[Numbers]) -> Mesh:
    rings = _tube(chain, radii)
    start, end, wide = _palm_bones(chains)
    own = np.stack([radii[:-1], radii[1:]], 1)
    own[:, 0] *= 1.03  # knuckles stand out a little
    bones = (
        np.vstack([chain[:-1], start[:5]]),
        np.vstack([chain[1:], end[:5]]),
        np.vstack([own, wide[:5]]),
    )
    mesh = _settle(rings.reshape(-1, 3), bones, 4.0 if chain is chains[4] else 1.8)
    return Mesh(mesh.vertices, mesh.normals, lattice(len(rings), _SIDES, closed=True))


def _palm(chains: list[Numbers]) -> Mesh:
    """A slab from the forearm to the knuckles, melted onto the bones."""
    y = np.array([-40, -34, -22, -8, 4, 16, 28, 40, 52, 64, 75, 85, 93, 99, 102.0])
    half = np.interp(y, [-40, -34, -22, -8, 40, 80, 102], [1, 18, 26, 28, 42, 44, 36])
    thick = np.interp(y, [-40, -34, -22, 60, 95, 102], [1, 12, 17, 15, 12, 3])
    lean = np.interp(y, [0, 102], [0, -5.0])
    angle = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    x = lean[:, None] + half[:, None] * np.cos(angle)
    top = y[:, None] - 0.16 * np.maximum(y[:, None] - 40, 0) * (np.cos(angle) < 0) * -np.cos(angle)
    points = np.stack([x, top, thick[:, None] * np.sin(angle)], -1)
    start, end, radii = _palm_bones(chains)
    first = [(c[0] + 0.3 * (c[1] - c[0])) for c in chains[:4]]
    bones = (
        np.vstack([start, [c[0] for c in chains[:4]]]),
        np.vstack([end, first]),
        np.vstack([radii, [[10.5, 9.6], [10.8, 9.8], [10.2, 9.4], [9.2, 8.4]]]),
    )
    mesh = _settle(points.reshape(-1, 3), bones, 3.5)
    return Mesh(mesh.vertices, mesh.normals, lattice(len(y), 22, closed=True))


def _nail(chain: Numbers, radii: Numbers, back: Numbers) -> Mesh:
    """A nail: a curved patch on the back of the last bone."""
    along = chain[-1] - chain[-2]
    along = along / np.linalg.norm(along)
    side = np.cross(along, back)
    u, v = np.meshgrid(np.linspace(-0.95, 0.95, 5), np.linspace(-1, 1, 5))
    tip = radii[-1]
    narrow = np.sqrt(np.maximum(1 - 0.55 * v**2, 0.1))
    ray = np.sin(u * narrow)[..., None] * side + np.cos(u * narrow)[..., None] * back
    base = chain[-1] + (v * 0.75 * tip + 0.1 * tip)[..., None] * along
    reach = (tip + 0.75) * np.sqrt(np.clip(1 - np.maximum(0.75 * v + 0.1, 0) ** 2, 0.3, 1))
    points = base + reach[..., None] * ray
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        ray.reshape(-1, 3).astype(np.float32),
        lattice(5, 5, closed=False),
    )


# -- a hand in the head frame ---------------------------------------------------------------------


def draw_dress(rng: np.random.Generator) -> Numbers:
    """(9,) of a sleeve, an elbow and nails: drawn at once, whatever is used."""
    return np.concatenate([rng.uniform(0, 1, 6), dye(rng)]).astype(np.float64)


def frame(fingers: Numbers, palm: Numbers, side: float) -> Numbers:
    """Rotation head-from-hand (3, 3) of directions; a left hand's mesh is mirrored already."""
    y = fingers / np.linalg.norm(fingers)
    z = palm - (palm @ y) * y
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], 1)


def placed(
    hand: Hand,
    turn: Numbers,
    shift: Numbers,
    size: float,
    elbow: Numbers,
    skin: Floats,
    dress: Numbers,
) -> list[Part]:
    """The hand at its place with its forearm, its nails and perhaps a sleeve."""
    skin = np.asarray(skin, np.float32)
    wrist = shift - size * 20 * turn[:, 1]
    start = shift - size * 2 * turn[:, 1]
    bend = np.array([0.0, 0.04, 0.12, 0.25, 0.45, 0.7, 1.0])[:, None]
    away = elbow - wrist
    away *= 230 / np.linalg.norm(away)
    path = np.vstack([start, wrist + bend * away])
    wide = np.array([20, 24.5, 25, 27, 32, 39, 43, 46.0]) * size
    radii = np.stack([wide, wide * np.linspace(0.69, 0.95, 8)], 1)
    up = tuple(float(v) for v in turn[:, 2])
    arm = bar(path, radii, up=up, sides=14)
    parts = [
        Part(merge([turned(hand.skin, turn, shift, size), arm]), skin, 14.0, 0.25),
        _nails(turned(hand.nails, turn, shift, size), skin, dress),
    ]
    if dress[0] < 0.65:
        from_wrist = 0.02 + 0.45 * dress[3] ** 2
        rows = np.array([0.0, 0.01, 0.08, 0.3, 0.6, 1.0])[:, None]
        cuff = wrist + (from_wrist + (1.02 - from_wrist) * rows) * away
        loose = np.interp(from_wrist + rows[:, 0], [0, 0.45, 1], [31, 40, 52]) * size + 4 * dress[4]
        cloth = np.asarray(dress[6:9], np.float32)
        sleeve = bar(cuff, np.stack([loose, loose * 0.9], 1), up=up, sides=16)
        parts.append(Part(sleeve, cloth, 6.0, 0.03))
    return parts


def _nails(mesh: Mesh, skin: Floats, dress: Numbers) -> Part:
    if dress[5] < 0.12:  # varnish
        color = rgb(0.45, 0.02, 0.04) if dress[5] < 0.08 else np.asarray(dress[6:9], np.float32)
        return Part(mesh, color, 90.0, 0.8, shadow=False)
    pale = 0.7 * skin + 0.3 * rgb(0.55, 0.36, 0.32)
    return Part(mesh, pale.astype(np.float32), 50.0, 0.4, shadow=False)


def turned(mesh: Mesh, turn: Numbers, shift: Numbers, size: float = 1.0) -> Mesh:
    return Mesh(
        (size * mesh.vertices @ turn.T + shift).astype(np.float32),
        (mesh.normals @ turn.T).astype(np.float32),
        mesh.triangles,
    )
