"""Where heads and eyes point: by a domain's habits, and often the one whatever the other does.

Angles are (pitch, yaw) about the line of sight from the camera to the face, radians; see the
conventions (0, 0 looks into the camera).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.synth.streams import Streams
from train.synth.variety import Domain

Floats = NDArray[np.float64]
Head = tuple[float, float, float]
"""Pitch, yaw and roll."""

MAX_EYE_YAW_DEG, MAX_EYE_DOWN_DEG, MAX_EYE_UP_DEG = 40.0, 38.0, 28.0
"""How far eyes mostly turn from the head (people turn the head beyond)."""
FAR_YAW_DEG, FAR_DOWN_DEG, FAR_UP_DEG = 45.0, 45.0, 35.0
"""How far they can."""
_SPREADS = 2.0
"""A gaze drawn apart from the head is even over so many of the domain's spreads to both sides."""
_LEAST_DEG = 4.0
_BACK_SHARE = 2 / 3
"""Of looks against the head: heads back and eyes down."""
_TILT_DEG = (10.0, 35.0)
_DOWN_DEG = (-35.0, -10.0)


def direction(pitch: float, yaw: float) -> Floats:
    """Unit vector of (pitch, yaw)."""
    return np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])


def sample_look(
    streams: Streams, domain: Domain, center: Floats, camera_from_sight: Floats
) -> tuple[Head, Floats]:
    """The head's angles, and the point (camera frame, mm) that both eyes look at.

    ``center`` (3,) is the face centre in millimetres, ``camera_from_sight`` (3, 3) the frame of the
    angles, its z axis from the camera to the face.
    """
    head = _sample_head(streams("pose"), domain)
    rng = streams("gaze")
    against = streams("against")
    if against.random() >= domain.against:
        return head, _sample_target(rng, domain, head, center, camera_from_sight)
    back = against.random() < _BACK_SHARE
    tilt = float(np.radians(against.uniform(*_TILT_DEG)))
    yaw = float(np.clip(head[1], -0.4, 0.4))
    head = (tilt if back else -tilt, yaw, head[2])
    if back and domain.gaze == "screen" and against.random() < 0.5:  # over the phone in the hand
        return head, _sample_target(rng, domain, head, center, camera_from_sight)
    if back:
        low, high = np.radians(_DOWN_DEG)
        pitch = against.uniform(max(low, head[0] - np.radians(FAR_DOWN_DEG)), high)
    else:
        pitch = head[0] + np.radians(against.uniform(15.0, FAR_UP_DEG))
    reach = np.radians(min(20.0, FAR_YAW_DEG - np.degrees(abs(yaw))))
    far = _log_uniform(against, (250.0, 700.0) if back else (350.0, 6000.0))
    aim = direction(float(pitch), float(against.uniform(-reach, reach)))
    return head, np.asarray(center + camera_from_sight @ aim * far)


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]))))


def _sample_head(rng: np.random.Generator, domain: Domain) -> Head:
    angles = []
    for number, (mean, spread, limit) in enumerate(
        (domain.head_pitch_deg, domain.head_yaw_deg, domain.head_roll_deg)
    ):
        # A fifth of people anywhere within the limits, so that the far poses are not rare.
        wide = rng.random() < 0.2
        near, far = rng.normal(mean, spread), rng.uniform(-limit, limit)
        angle = far * 0.9 if wide else near
        if domain.even_heads and number < 2:
            angle = far
        angles.append(float(np.radians(np.clip(angle, -limit, limit))))
    return angles[0], angles[1], angles[2]


def _reachable(pitch: float, yaw: float, head: Head) -> bool:
    up, side = np.degrees(pitch - head[0]), abs(np.degrees(yaw - head[1]))
    return bool(side < MAX_EYE_YAW_DEG and -MAX_EYE_DOWN_DEG < up < MAX_EYE_UP_DEG)


def _even(
    rng: np.random.Generator, middle: float, spread: float, head: float, reach: tuple[float, float]
) -> float | None:
    """An angle (degrees) whose mean is ``middle`` whatever the head's angle is; None out of reach.

    Even over what eyes reach alike to both sides of ``middle``, at most some ``spread``s: where a
    head is turned far less is left, but its mean still says nothing of the head.
    """
    room = min(_SPREADS * spread, head + reach[1] - middle, middle - head + reach[0])
    u = rng.uniform(-1.0, 1.0)
    return middle + room * u if room > _LEAST_DEG else None


def _apart(rng: np.random.Generator, domain: Domain, head: Head) -> tuple[float, float] | None:
    """(pitch, yaw) drawn in the camera's frame; None where the head is turned too far for that."""
    means = domain.gaze_pitch_deg[0], domain.gaze_yaw_deg[0]
    middles = (-4.0, 0.0) if domain.gaze == "free" else means
    reaches = ((FAR_DOWN_DEG, FAR_UP_DEG), (FAR_YAW_DEG, FAR_YAW_DEG))
    spreads = (domain.gaze_pitch_deg[1], domain.gaze_yaw_deg[1])
    angles = [
        _even(rng, middle, max(spread, 10.0), float(np.degrees(turned)), reach)
        for middle, spread, turned, reach in zip(middles, spreads, head[:2], reaches, strict=True)
    ]
    if angles[0] is None or angles[1] is None:
        return None
    return float(np.radians(angles[0])), float(np.radians(angles[1]))


def _sample_target(
    rng: np.random.Generator,
    domain: Domain,
    head: Head,
    center: Floats,
    camera_from_sight: Floats,
) -> Floats:
    """A point (camera frame, mm) that the eyes can reach, where people of the domain look.

    By ``domain.apart`` anywhere in the camera's frame, whatever the head does.  Else ``screen``: a
    point of a screen about the camera; ``camera``: at it, or nearly; ``road``: far away around the
    domain's mean direction; ``free``: mostly about where the head points, a third near the camera.
    Where the head is turned too far for that, a point within reach is taken instead.
    """
    pitch, yaw, _ = head

    def along(angles: tuple[float, float]) -> Floats:
        aim = camera_from_sight @ direction(*angles)
        return np.asarray(center + aim * _log_uniform(rng, (350.0, 6000.0)))

    if rng.random() < domain.apart:
        free = _apart(rng, domain, head)
        if free is not None:
            return along(free)
    for _ in range(12):
        if domain.gaze == "screen":
            wide = rng.uniform(*domain.screen_mm)
            x, y = rng.uniform(-0.5, 0.5) * wide, rng.uniform(-0.05, 0.62) * wide
            target = np.array([x, y if rng.random() < 0.85 else -y, rng.uniform(-40, 40)])
            g = camera_from_sight.T @ (target - center)
            g /= np.linalg.norm(g)
            angles = float(np.arcsin(-g[1])), float(np.arctan2(-g[0], -g[2]))
        else:
            angles = _habitual(rng, domain, head)
            target = along(angles)
        if _reachable(*angles, head):
            return np.asarray(target)
    return along((pitch + np.radians(rng.uniform(-25, 18)), yaw + np.radians(rng.uniform(-30, 30))))


def _habitual(rng: np.random.Generator, domain: Domain, head: Head) -> tuple[float, float]:
    spread, middle = (9.0, 11.0), (0.0, 0.0)  # near the camera
    if domain.gaze == "road" and rng.random() < 0.85:
        spread = domain.gaze_pitch_deg[1], domain.gaze_yaw_deg[1]
        middle = domain.gaze_pitch_deg[0], domain.gaze_yaw_deg[0]
    elif domain.gaze == "free" and rng.random() < 0.6:
        spread = domain.gaze_pitch_deg[1], domain.gaze_yaw_deg[1]
        middle = (
            np.degrees(head[0]) + domain.gaze_pitch_deg[0],
            np.degrees(head[1]) + domain.gaze_yaw_deg[0],
        )
    g0, g1 = rng.normal(0, spread) + middle
    return float(np.radians(g0)), float(np.radians(g1))
