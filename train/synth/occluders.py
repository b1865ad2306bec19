"""What comes between a face and the camera: the person's own hand, and things held or standing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from train.synth import hands
from train.synth.fitting import Floats, Numbers, Part, bar, dye, ellipsoid, lattice, rgb
from train.synth.hands import Hand, Pose
from train.synth.meshes import Mesh, merge
from train.synth.streams import Streams


@dataclass(frozen=True, slots=True)
class Gesture:
    """How a hand meets the face, for the person's left side (mirrored for the right)."""

    pose: Pose
    anchor: str
    """Which place of the hand goes to ``place``: palm, index, middle, joint or thumb."""
    fingers: tuple[float, float, float]
    """Direction of the fingers in the head frame."""
    palm: tuple[float, float, float]
    """Direction that the palm faces."""
    landmarks: tuple[int, ...]
    """Whose mean is the place on the face (the left side's numbers)."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    touches: bool = True
    share: float = 1.0


GESTURES = (
    # Cheek in the palm; the fingers up beside the eye.
    Gesture(hands.RELAXED, "palm", (-0.1, -0.95, 0.3), (-0.75, 0.1, 0.65), (12, 13), (-4, 0, -8)),
    # Chin on a fist.
    Gesture(hands.FIST, "joint", (-0.85, -0.4, 0.25), (0.1, -0.85, 0.5), (8,), (4, 14, 6)),
    # Index along the cheek, thumb under the chin.
    Gesture(hands.THINKER, "index", (-0.05, -0.9, 0.3), (-0.5, 0.1, 0.85), (14, 46), (4, 16, 0)),
    # Over the mouth.
    Gesture(hands.RELAXED, "middle", (-0.93, -0.3, 0.2), (-0.1, 0.1, 1.0), (48, 54), (-26, -4, 0)),
    Gesture(hands.OPEN, "palm", (-0.75, -0.62, 0.1), (-0.15, 0.1, 1.0), (51, 57), (14, 6, 0)),
    # Pushing the glasses up.
    Gesture(hands.POINT, "index", (-0.45, -0.85, 0.25), (-0.35, 0.1, 0.95), (27, 28), (0, -3, -14)),
    # An open hand waved before an eye or held up against the light.
    Gesture(
        hands.OPEN, "palm", (-0.2, -0.97, 0.0), (-0.1, 0.0, 1.0), (45,), (16, 10, -60), False, 0.7
    ),
    Gesture(
        hands.OPEN, "middle", (-0.85, -0.4, 0.1), (0.0, 0.5, 0.9), (20, 23), (-20, -22, -25), False
    ),
    # Fingertips together at the lip, the chin or the bridge of the nose.
    Gesture(hands.PINCH, "index", (-0.45, -0.75, 0.45), (-0.75, 0.35, 0.4), (57, 8), (2, 0, -6)),
    Gesture(
        hands.PINCH, "index", (-0.35, -0.8, 0.45), (-0.8, 0.3, 0.4), (27,), (4, 0, -5), share=0.6
    ),
    # Brow in the hand.
    Gesture(
        hands.RELAXED, "middle", (-0.8, -0.55, 0.2), (-0.2, 0.15, 0.97), (22, 23), (-24, -18, 0)
    ),
    # A knuckle at the eye, rubbing.
    Gesture(
        hands.FIST, "joint", (-0.6, -0.7, 0.3), (-0.45, 0.0, 0.9), (45, 46), (6, 8, 0), share=0.6
    ),
    # One finger on the lips.
    Gesture(
        hands.POINT, "index", (-0.12, -0.96, 0.2), (-0.55, 0.0, 0.85), (33,), (0, 2, -8), share=0.5
    ),
    # A hand against the side of the head, fingers in the hair.
    Gesture(hands.RELAXED, "palm", (-0.05, -0.85, 0.55), (-0.9, 0.05, 0.4), (15, 16), (6, 4, 8)),
)
OBJECTS = ("phone", "cup", "book", "pen", "microphone", "wheel", "bars")
_OBJECT_SHARES = np.array([0.24, 0.2, 0.14, 0.1, 0.12, 0.08, 0.12])


def occluders(
    streams: Streams, landmarks_head: Floats, on: Mapping[str, bool], skin_color: Floats
) -> list[Part]:
    """Parts of the hand (``hand_on_face``) and of the thing (``object_in_front``) asked for.

    ``landmarks_head`` (68, 3) are the posed landmarks in the head frame; ``skin_color`` (3,) is
    linear.
    """
    marks = np.asarray(landmarks_head, np.float64)
    parts: list[Part] = []
    if on.get("hand_on_face"):
        parts += _hand_on_face(streams("hand"), marks, skin_color)
    if on.get("object_in_front"):
        parts += _object(streams("object"), marks, skin_color)
    return parts


# -- hands ----------------------------------------------------------------------------------------


def _hand_on_face(rng: np.random.Generator, marks: Numbers, skin: Floats) -> list[Part]:
    shares = np.array([g.share for g in GESTURES])
    gesture = GESTURES[int(rng.choice(len(GESTURES), p=shares / shares.sum()))]
    side = 1.0 if rng.random() < 0.5 else -1.0
    jitter, lean, move = rng.normal(0, 1, 8), rng.normal(0, 0.10, (2, 3)), rng.normal(0, 3.0, 3)
    size = float(rng.normal(0.97, 0.05))
    dress = _dress(rng)
    hand = hands.pose_hand(gesture.pose, jitter, left=side > 0)
    flip = np.array([side, 1, 1])
    turn = _frame(
        np.array(gesture.fingers) * flip + lean[0], np.array(gesture.palm) * flip + lean[1], side
    )
    mirrored = list(gesture.landmarks) if side > 0 else [_MIRROR[k] for k in gesture.landmarks]
    place = marks[mirrored].mean(0) + np.array(gesture.offset) * flip + move
    local = {
        "palm": np.array([0.0, 62, 16]),
        "index": hand.tips[1],
        "middle": hand.joints[1] + (0, 0, 8),
        "joint": hand.joints[:2].mean(0),
        "thumb": hand.tips[0],
    }[gesture.anchor]
    shift = place - size * (turn @ local)
    posed = size * hand.skin.vertices @ turn.T + shift
    if gesture.touches:
        shift = shift + _contact(posed, marks, turn[:, 2])
    elbow = np.array([side * (95 + 60 * dress[1]), 330.0, -60 - 60 * dress[2]])
    return _hand_parts(hand, turn, shift, size, elbow, skin, dress)


_MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
"""The landmark on the other side, for each of the 68."""


def _dress(rng: np.random.Generator) -> Numbers:
    """(9,) of a sleeve, an elbow and nails: drawn at once, whatever is used."""
    return np.concatenate([rng.uniform(0, 1, 6), dye(rng)]).astype(np.float64)


def _frame(fingers: Numbers, palm: Numbers, side: float) -> Numbers:
    """Rotation head-from-hand (3, 3) of directions; a left hand's mesh is mirrored already."""
    y = fingers / np.linalg.norm(fingers)
    z = palm - (palm @ y) * y
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], 1)


def _face_points(marks: Numbers) -> Numbers:
    """Places on the face: the landmarks and, between and above them, cheeks and forehead."""
    brow = marks[17:27]
    forehead = np.vstack([brow + (0, -18, 2), brow * (0.9, 1, 1) + (0, -38, 8)])
    cheeks = []
    for jaw, nose, eye, mouth in (((1, 2, 3, 4), 31, 41, 48), ((15, 14, 13, 12), 35, 46, 54)):
        outer = marks[list(jaw)]
        for inner in (marks[nose], marks[eye], marks[mouth]):
            for t in (0.35, 0.7):
                mid = inner * (1 - t) + outer * t
                cheeks.append(mid + (0, 0, -1) * np.array([26 * t * (1 - t) + 4.0]))
    return np.vstack([marks[:60], forehead, *cheeks])


def _contact(points: Numbers, marks: Numbers, palm: Numbers) -> Numbers:
    """The shift (3,) along the palm's direction that makes a hand just touch the face.

    At each place of the face, the hand's points above or below it (within 10 mm to the side) are
    too deep by what they lie behind the face's tangent there.
    """
    face = _face_points(marks)
    normal = face - np.array([0.0, 12.0, 85.0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    facing = normal @ -palm
    gap = face[:, None] - points
    depth = (gap * normal[:, None]).sum(-1)
    beside = np.sqrt(np.maximum((gap**2).sum(-1) - depth**2, 0))
    hit = (beside < 10) & (facing > 0.35)[:, None] & (depth > -60)
    if not hit.any():
        return np.zeros(3)
    needed = np.where(hit, depth / np.maximum(facing, 0.35)[:, None], -np.inf).max(1)
    needed = np.sort(needed[np.isfinite(needed)])
    most = needed[int(0.9 * (len(needed) - 1))] - 1.0  # soft parts give way a little
    return -palm * float(np.clip(most, -30, 60))


def _hand_parts(
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
    wrist = shift - size * 38 * turn[:, 1]
    start = shift - size * 12 * turn[:, 1]
    bend = np.array([0.0, 0.04, 0.12, 0.25, 0.45, 0.7, 1.0])[:, None]
    away = elbow - wrist
    away *= 230 / np.linalg.norm(away)
    path = np.vstack([start, wrist + bend * away])
    wide = np.array([24, 25, 26, 29, 34, 40, 44, 46.0]) * size
    radii = np.stack([wide, wide * np.linspace(0.72, 0.95, 8)], 1)
    up = tuple(float(v) for v in turn[:, 2])
    arm = bar(path, radii, up=up, sides=14)
    parts = [
        Part(merge([_turned(hand.skin, turn, shift, size), arm]), skin, 14.0, 0.25),
        _nails(_turned(hand.nails, turn, shift, size), skin, dress),
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


def _turned(mesh: Mesh, turn: Numbers, shift: Numbers, size: float = 1.0) -> Mesh:
    return Mesh(
        (size * mesh.vertices @ turn.T + shift).astype(np.float32),
        (mesh.normals @ turn.T).astype(np.float32),
        mesh.triangles,
    )


# -- things ---------------------------------------------------------------------------------------


def _object(rng: np.random.Generator, marks: Numbers, skin: Floats) -> list[Part]:
    kind = str(rng.choice(OBJECTS, p=_OBJECT_SHARES))
    side = 1.0 if rng.random() < 0.5 else -1.0
    a, u = rng.normal(0, 1, 8), rng.uniform(0, 1, 8)
    jitter, color, dress = rng.normal(0, 1, 8), dye(rng), _dress(rng)
    mouth, eyes = marks[48:60].mean(0), marks[36:48].mean(0)
    tip = marks[30]
    if kind in ("wheel", "bars"):
        return _standing(kind, marks, a, u, color)
    if kind == "phone":
        # Before the lower face or a side of it; rarely before the eyes.
        place = mouth + (side * (15 + 45 * u[0]), 35 - 60 * u[1] ** 2, 0)
        place[2] = tip[2] - 25 - 90 * u[2]
        lean = _frame(
            np.array([0.12 * a[0], -1, 0.15 * a[1]]), np.array([0.2 * a[2], 0.25, 1]), side
        )
        thing = [_slab((37, 76, 4.5), lean, place, 5.0)]
        parts = [Part(thing[0], rgb(0.02, 0.02, 0.022) if u[3] < 0.6 else color, 90.0, 0.7)]
        lens = place - lean[:, 2] * 5.0 - lean[:, 1] * -54 + lean[:, 0] * 20
        dot = ellipsoid(lens, (lean * (8.0, 12.0, 1.6)).T)
        parts.append(Part(dot, rgb(0.006, 0.006, 0.008), 110.0, 1.0, shadow=False))
        hold, along = place + lean[:, 1] * 48 + 0 * tip, -lean[:, 1]
        return parts + _holding(hold, along, -lean[:, 2], 8.0, side, jitter, skin, dress)
    if kind == "cup":
        up = np.array([0.12 * a[0], -1.0, 0.25 + 0.5 * u[1]])
        up /= np.linalg.norm(up)
        reach = 34 + 7 * u[0]
        lip = mouth + (0.0, 2.0, -5 - 30 * u[2])
        center = lip - up * 45 + np.array([0.0, 0, -reach])
        cup = _turning(
            [(0, 0.7), (0, 0.72), (1, 0.95), (1, 1.0), (0.98, 0.93), (0.1, 0.68)], 92, reach
        )
        lean = _frame(up, np.array([0.0, up[2], -up[1]]), 1.0)
        mesh = _turned(cup, lean, center - up * 46)
        hold = _holding(center, up, np.array([0, 0, 1.0]), reach, side, jitter, skin, dress)
        return [Part(mesh, color, 70.0, 0.5), *hold]
    if kind == "book":
        place = mouth + (8 * a[0], 68 - 22 * u[0], 0)
        place[2] = tip[2] - 30 - 70 * u[1]
        leaf = np.array([0.08 * a[1], -1.0, 0.25 * a[2]])
        covers = []
        for s in (-1.0, 1.0):
            lean = _frame(leaf, np.array([s * 0.35, 0.0, 1.0]), 1.0)
            covers.append(_slab((70, 95, 5 + 4 * u[2]), lean, place + lean[:, 0] * s * -70, 2.0))
        parts = [Part(merge(covers), color, 25.0, 0.2)]
        for s, turn_u in ((-1.0, u[3]), (1.0, u[4])):
            grip = place + (s * (70 + 50 * turn_u), 60, -4)
            parts += _holding(
                grip,
                np.array([s * -0.5, -0.8, 0]),
                np.array([0, 0, 1.0]),
                6,
                s,
                jitter,
                skin,
                dress,
            )
        return parts
    if kind == "pen":
        end = mouth + (side * 10 * u[0], 2.0, -6.0)
        away = np.array([side * (0.4 + u[1]), 0.55 * a[0] + 0.3, -0.8])
        away /= np.linalg.norm(away)
        path = end + np.array([[0], [10], [130], [142]]) * away
        pen = bar(path, np.array([[1.5] * 2, [4] * 2, [4] * 2, [3.2] * 2]), sides=10)
        hold = end + 95 * away
        fingers = -away + np.array([0.0, -0.3, 0.0])
        return [
            Part(pen, color, 80.0, 0.6),
            *_holding(
                hold, fingers, np.array([-side, 0, 0.3]), 4.0, side, jitter, skin, dress, True
            ),
        ]
    away = np.array([side * (0.2 + 0.5 * u[0]), 0.75, -0.45])
    away /= np.linalg.norm(away)
    head = mouth + (4 * a[0], 8 + 6 * u[1], -28 - 20 * u[2])
    ball = ellipsoid(head, np.eye(3) * (23 + 4 * u[3]), rings=12, sectors=16)
    path = head + np.array([[14], [24], [40], [180]]) * away
    shaft = bar(path, np.array([[17.0] * 2, [19] * 2, [17] * 2, [12] * 2]), sides=14)
    hold = _holding(
        head + 90 * away, -away, np.array([0.0, 0.3, 1]), 16.0, side, jitter, skin, dress
    )
    grille = rgb(0.25, 0.25, 0.25) if u[4] < 0.6 else rgb(0.012, 0.012, 0.012)
    return [Part(ball, grille, 20.0, 0.6), Part(shaft, rgb(0.015, 0.015, 0.016), 40.0, 0.4), *hold]


def _standing(kind: str, marks: Numbers, a: Numbers, u: Numbers, color: Floats) -> list[Part]:
    """A steering wheel's rim or bars: not held by the person."""
    chin, eyes = marks[8], marks[36:48].mean(0)
    if kind == "wheel":
        radius, tilt = 180 + 15 * u[0], 0.45 + 0.3 * u[1]
        center = chin + np.array([25 * a[0], radius - 45 * u[2] + 5, -190 - 120 * u[3]])
        angle = np.linspace(0, 2 * np.pi, 48)
        plane = np.array([[1.0, 0, 0], [0.0, -np.cos(tilt), -np.sin(tilt)]])
        ring = np.cos(angle)[:, None] * plane[0] + np.sin(angle)[:, None] * plane[1]
        path = center + radius * ring
        rim = bar(path, np.full((48, 2), 14.0), up=tuple(np.cross(*plane)), sides=10)
        return [Part(rim, rgb(0.015, 0.015, 0.016), 15.0, 0.2)]
    bars = []
    lean = 0.10 * a[0] + (np.pi / 2 if u[0] < 0.25 else 0.0)
    along = np.array([np.sin(lean), np.cos(lean), 0.05 * a[1]])
    thick, apart = 4 + 9 * u[1], 85 + 70 * u[2]
    first = -0.5 + u[3]
    across = np.array([np.cos(lean), -np.sin(lean), 0.0])
    for k in (-1, 0, 1):
        middle = eyes + (first + k) * apart * across + np.array([0, 20.0, -70 - 160 * u[4]])
        path = middle + np.linspace(-420, 420, 5)[:, None] * along
        bars.append(bar(path, np.full((5, 2), thick), up=(0.0, 0.1, -1.0), sides=10))
    metal = u[5] < 0.5
    return [
        Part(merge(bars), rgb(0.25, 0.25, 0.26) if metal else color, 60.0, 1.0 if metal else 0.3)
    ]


def _holding(
    at: Numbers,
    axis: Numbers,
    away: Numbers,
    radius: float,
    side: float,
    jitter: Numbers,
    skin: Floats,
    dress: Numbers,
    pinched: bool = False,
) -> list[Part]:
    """A hand around something of a radius at a place; its thumb towards ``axis``.

    ``away`` is the direction that the knuckles look in reverse: from the hand's back to the thing.
    """
    hand = hands.pose_hand(hands.PINCH if pinched else hands.GRIP, jitter, left=side > 0)
    if pinched:
        turn = _frame(axis, away, side)
        local = hand.tips[:2].mean(0)
    else:  # the thing runs along the hand's x, in the hollow of the fingers
        axis = axis / np.linalg.norm(axis)
        palm = away - (away @ axis) * axis
        palm = palm / np.linalg.norm(palm)
        x = axis * (-1.0 if side > 0 else 1.0)
        # Which way the fingers go follows from the thumb's and the palm's.
        y = np.cross(palm, x)
        turn = np.stack([x, y, palm], 1)
        local = np.array([-4.0 * side, 74.0, 12.0 + radius])
    elbow = at + np.array([side * 150, 330.0, -40.0])
    return _hand_parts(hand, turn, at - turn @ local, 1.0, elbow, skin, dress)


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
