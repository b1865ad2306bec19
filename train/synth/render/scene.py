"""What is rendered: one draw of expression, gaze, head pose, camera and light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synth.domains import Domain
from train.synth.places.lighting import Lighting, sample_lighting
from train.synth.render.sensor import Sensor, sample_sensor
from train.synth.streams import Streams

Floats = NDArray[np.float64]
Window = tuple[int, int, int, int]
"""(left, top, width, height) in pixels of the frame."""

FACE_WIDTH_MM = 140.0
"""What the normalised face crop shows across; ``face_px`` counts its pixels in the picture."""

PUPILS_MM = {
    "sun": 1.35,
    "overcast": 1.6,
    "studio": 1.9,
    "window": 1.9,
    "office": 2.0,
    "car": 1.9,
    "screen": 2.4,
    "lamp": 2.4,
    "night_street": 2.8,
    "infrared": 2.8,
}
"""Typical radius of a pupil by kind of light."""
MAX_EYE_YAW_DEG, MAX_EYE_DOWN_DEG, MAX_EYE_UP_DEG = 40.0, 38.0, 28.0
"""How far eyes turn from the head (people turn the head beyond)."""


@dataclass(slots=True)
class Scene:
    """One picture of one person.  Vectors are in the camera frame, millimetres and radians."""

    factors: dict[str, bool]
    expression: dict[str, float]
    blink: float
    """0 open, 1 closed, before the lids follow the gaze."""
    camera_from_head: Floats
    face_center_mm: Floats
    target_mm: Floats
    """The point that both eyes look at."""
    camera_matrix: Floats
    """(3, 3) of the whole frame."""
    frame_px: tuple[int, int]
    lighting: Lighting
    background: str
    sensor: Sensor
    pupil_radius_mm: float
    streams: Streams

    @property
    def face_px(self) -> float:
        """Pixels across 140 mm at the face centre."""
        return float(self.camera_matrix[0, 0] * FACE_WIDTH_MM / self.face_center_mm[2])


def rotation_from_angles(yaw: float, pitch: float, roll: float) -> Floats:
    """Head rotation whose facing direction (−z of the head) has this yaw and pitch; then roll."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, -pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def direction(pitch: float, yaw: float) -> Floats:
    """Unit vector of (pitch, yaw); see the conventions (0, 0 looks into the camera)."""
    return np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])


def make_scene(streams: Streams, domain: Domain, on: Mapping[str, bool]) -> Scene:
    """The scene of ``streams`` with these factors, whatever the chances are."""
    rng = streams("camera")
    distance = _log_uniform(rng, domain.distance_mm)
    face_px = _log_uniform(rng, domain.face_px)
    half_fov = np.radians(rng.uniform(*domain.horizontal_fov_deg)) / 2
    focal = face_px * distance / FACE_WIDTH_MM
    width = max(round(2 * focal * np.tan(half_fov)), round(1.6 * face_px))
    height = max(round(width * float(rng.choice([0.5625, 0.75, 1.0]))), round(1.6 * face_px))
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    # Anywhere in the frame, but with the face inside it.
    room = np.maximum((np.array([width, height]) / 2 - 0.75 * face_px) / focal, 0.0)
    off = rng.uniform(-1, 1, 2) * room
    center = np.array([*off, 1.0]) * distance
    return place(streams, domain, on, center, matrix, (width, height))


def place(
    streams: Streams,
    domain: Domain,
    on: Mapping[str, bool],
    center: Floats,
    matrix: Floats,
    frame_px: tuple[int, int],
) -> Scene:
    """A scene with the face centre at ``center`` (mm) before a given camera."""
    rng = streams("pose")
    head = _sample_head(rng, domain)
    # Poses are relative to the line of sight, as in the normalised camera.
    forward = center / np.linalg.norm(center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    camera_from_sight = np.stack([right, np.cross(forward, right), forward], 1)
    target = _sample_target(streams("gaze"), domain, head, center, camera_from_sight)
    expression, blink = sample_expression(streams("expression"), on)
    lights = list(domain.lights)
    kind = str(_pick(streams("light kind"), lights, list(domain.lights.values())))
    face_px = float(matrix[0, 0] * FACE_WIDTH_MM / center[2])
    return Scene(
        factors=dict(on),
        expression=expression,
        blink=blink,
        camera_from_head=camera_from_sight @ rotation_from_angles(head[1], head[0], head[2]),
        face_center_mm=center,
        target_mm=target,
        camera_matrix=matrix,
        frame_px=frame_px,
        lighting=sample_lighting(streams("light"), kind, on),
        background=str(
            _pick(
                streams("background kind"),
                list(domain.backgrounds),
                list(domain.backgrounds.values()),
            )
        ),
        sensor=sample_sensor(streams("sensor"), on, iso_range=domain.iso, face_px=face_px),
        pupil_radius_mm=sample_pupil(streams("pupil"), kind, on),
        streams=streams,
    )


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]))))


def _pick(rng: np.random.Generator, names: list[str], weights: list[float]) -> str:
    p = np.array(weights, float)
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _sample_head(rng: np.random.Generator, domain: Domain) -> tuple[float, float, float]:
    """(pitch, yaw, roll) in radians about the line of sight."""
    angles = []
    for mean, spread, limit in (
        domain.head_pitch_deg,
        domain.head_yaw_deg,
        domain.head_roll_deg,
    ):
        # A fifth of people anywhere within the limits, so that the far poses are not rare.
        wide = rng.random() < 0.2
        near, far = rng.normal(mean, spread), rng.uniform(-limit, limit) * 0.9
        angles.append(float(np.radians(np.clip(far if wide else near, -limit, limit))))
    return angles[0], angles[1], angles[2]


def _reachable(pitch: float, yaw: float, head: tuple[float, float, float]) -> bool:
    up, side = np.degrees(pitch - head[0]), abs(np.degrees(yaw - head[1]))
    return bool(side < MAX_EYE_YAW_DEG and -MAX_EYE_DOWN_DEG < up < MAX_EYE_UP_DEG)


def _sample_target(
    rng: np.random.Generator,
    domain: Domain,
    head: tuple[float, float, float],
    center: Floats,
    camera_from_sight: Floats,
) -> Floats:
    """A point (camera frame, mm) that the eyes can reach, where people of the domain look.

    ``screen``: a point of a screen about the camera; ``camera``: at it, or nearly; ``road``: far
    away around the domain's mean direction; ``free``: anywhere within reach, a third near the
    camera.  Where the head is turned too far for that, a point within reach is taken instead.
    """
    pitch, yaw, _ = head
    for _ in range(12):
        if domain.gaze == "screen":
            wide = rng.uniform(250, 650)
            x, y = rng.uniform(-0.5, 0.5) * wide, rng.uniform(-0.05, 0.62) * wide
            target = np.array([x, y if rng.random() < 0.85 else -y, rng.uniform(-40, 40)])
            g = camera_from_sight.T @ (target - center)
            g /= np.linalg.norm(g)
            angles = float(np.arcsin(-g[1])), float(np.arctan2(-g[0], -g[2]))
        else:
            spread = (9.0, 11.0), (0.0, 0.0)
            if domain.gaze == "road" and rng.random() < 0.85:
                spread = (
                    (domain.gaze_pitch_deg[1], domain.gaze_yaw_deg[1]),
                    (domain.gaze_pitch_deg[0], domain.gaze_yaw_deg[0]),
                )
            elif domain.gaze == "free" and rng.random() < 0.7:
                spread = (
                    (domain.gaze_pitch_deg[1], domain.gaze_yaw_deg[1]),
                    (
                        np.degrees(pitch) + domain.gaze_pitch_deg[0],
                        np.degrees(yaw) + domain.gaze_yaw_deg[0],
                    ),
                )
            g0, g1 = rng.normal(0, spread[0]) + spread[1]
            angles = float(np.radians(g0)), float(np.radians(g1))
            far = _log_uniform(rng, (350.0, 6000.0))
            target = center + camera_from_sight @ direction(*angles) * far
        if _reachable(*angles, head):
            return np.asarray(target)
    near = pitch + np.radians(rng.uniform(-25, 18)), yaw + np.radians(rng.uniform(-30, 30))
    return np.asarray(center + camera_from_sight @ direction(*near) * _log_uniform(rng, (350, 6e3)))


def sample_pupil(rng: np.random.Generator, light: str, on: Mapping[str, bool]) -> float:
    """Radius (mm) as seen through the cornea: 1.2 in the sun to 3.4 at night.

    After Watson and Yellott (A unified formula for light-adapted pupil size, J. Vision 2012) at the
    luminances that such places have.
    """
    spread = rng.normal(0, 0.14)
    typical = PUPILS_MM.get(light, 2.0) * (1.15 if on["dark"] else 1.0)
    if on["near_infrared"] and light != "sun":
        typical = max(typical, 2.5)
    return float(np.clip(typical * np.exp(spread), 1.0, 3.8))


def sample_expression(
    rng: np.random.Generator, on: Mapping[str, bool]
) -> tuple[dict[str, float], float]:
    """(weights of FaceKit's expression shapes, how far the eyes are closed).

    Smiling and squinting eyes come at every gaze angle: a network that sees them only when looking
    down reads every smile as such.
    """
    e: dict[str, float] = {}

    def both(name: str, value: float, spread: float = 0.15, *, when: bool = True) -> None:
        for side in "LR":
            weight = float(np.clip(value * (1 + rng.normal(0, spread)), 0, 1))
            if when:
                e[f"{name}_{side}"] = max(weight, e.get(f"{name}_{side}", 0.0))

    def one(name: str, value: float, *, when: bool = True) -> None:
        if when:
            e[name] = max(float(value), e.get(name, 0.0))

    smile = rng.uniform(0.45, 1.0)
    both("mouthSmile", smile, when=on["smile"])
    both("cheekSquint", smile * rng.uniform(0.2, 1.0), when=on["smile"])
    both("eyeSquint", smile * rng.uniform(0.0, 0.9), when=on["smile"])
    teeth = rng.random() < 0.55
    both("mouthUpperUp", smile * rng.uniform(0.1, 0.5), when=on["smile"] and teeth)
    both("mouthLowerDown", smile * rng.uniform(0.1, 0.4), when=on["smile"] and teeth)
    one("jawOpen", rng.uniform(0.0, 0.15), when=on["smile"] and teeth)
    one("jawOpen", rng.uniform(0.3, 0.85), when=on["open_mouth"])
    both("eyeSquint", rng.uniform(0.55, 1.0), when=on["squint"])
    both("cheekSquint", rng.uniform(0.0, 0.8), when=on["squint"])
    both("browDown", rng.uniform(0.5, 1.0), when=on["frown"])
    both("mouthFrown", rng.uniform(0.0, 0.8), when=on["frown"] and not on["smile"])
    raised = rng.uniform(0.5, 1.0)
    both("browOuterUp", raised, when=on["raised_eyebrows"])
    lift = raised * rng.uniform(0.6, 1.0)
    one("browInnerUp_L", lift, when=on["raised_eyebrows"])
    one("browInnerUp_R", lift, when=on["raised_eyebrows"])
    # What no factor names: talking, small asymmetries, wide eyes.
    talking = rng.random() < 0.5
    names = ("mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthRollLower")
    for name in rng.choice(names, 2, replace=False):
        one(str(name), rng.uniform(0, 0.55), when=talking and not on["smile"])
    one("jawOpen", rng.uniform(0, 0.22), when=talking)
    other = str(rng.choice(["mouthStretch", "mouthPress", "noseSneer", "cheekPuff"]))
    both(other, rng.uniform(0, 0.7), when=rng.random() < 0.3)
    both("eyeSquint", rng.uniform(0.1, 0.4), when=rng.random() < 0.25)
    wide = rng.random() < 0.12 and not on["squint"]
    both("eyeWide", rng.uniform(0.2, 1.0), when=wide)
    shut, ajar = rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.3) ** 1.3
    return e, float(shut if rng.random() < 0.06 else ajar)
