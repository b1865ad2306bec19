"""What comes between a face and the camera: the person's own hand, and things held or standing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from train.synth.streams import Streams
from train.synth.worn import hands
from train.synth.worn.fitting import Floats, Numbers, Part
from train.synth.worn.hands import Pose
from train.synth.worn.held import thing_in_front


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


def occluders(
    streams: Streams,
    landmarks_head: Floats,
    on: Mapping[str, bool],
    skin_color: Floats,
    toward_camera: Sequence[float] | Numbers = (0.0, 0.0, -1.0),
) -> list[Part]:
    """Parts of the hand (``hand_on_face``) and of the thing (``object_in_front``) asked for.

    ``landmarks_head`` (68, 3) are the posed landmarks in the head frame; ``skin_color`` (3,) is
    linear; ``toward_camera`` (3,) is a direction in the head frame: a thing in front is put between
    the face and the camera.
    """
    marks = np.asarray(landmarks_head, np.float64)
    parts: list[Part] = []
    if on.get("hand_on_face"):
        parts += _hand_on_face(streams("hand"), marks, skin_color)
    if on.get("object_in_front"):
        parts += thing_in_front(
            streams("object"), marks, skin_color, np.array(toward_camera, np.float64)
        )
    return parts


# -- hands ----------------------------------------------------------------------------------------


def _hand_on_face(rng: np.random.Generator, marks: Numbers, skin: Floats) -> list[Part]:
    shares = np.array([g.share for g in GESTURES])
    gesture = GESTURES[int(rng.choice(len(GESTURES), p=shares / shares.sum()))]
    side = 1.0 if rng.random() < 0.5 else -1.0
    jitter, lean, move = rng.normal(0, 1, 8), rng.normal(0, 0.10, (2, 3)), rng.normal(0, 3.0, 3)
    size = float(rng.normal(0.97, 0.05))
    dress = hands.draw_dress(rng)
    hand = hands.pose_hand(gesture.pose, jitter, left=side > 0)
    flip = np.array([side, 1, 1])
    turn = hands.frame(
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
    return hands.placed(hand, turn, shift, size, elbow, skin, dress)


_MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
"""The landmark on the other side, for each of the 68."""


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
    few = points[::2]
    depth = (face * normal).sum(1)[:, None] - normal @ few.T
    apart = (face**2).sum(1)[:, None] - 2 * face @ few.T + (few**2).sum(1)
    beside = np.sqrt(np.maximum(apart - depth**2, 0))
    hit = (beside < 10) & (facing > 0.35)[:, None] & (depth > -60)
    if not hit.any():
        return np.zeros(3)
    needed = np.where(hit, depth / np.maximum(facing, 0.35)[:, None], -np.inf).max(1)
    needed = np.sort(needed[np.isfinite(needed)])
    most = needed[int(0.92 * (len(needed) - 1))] - 1.0  # soft parts give way a little
    return -palm * float(np.clip(most, -30, 60))
