"""What is rendered: one draw of expression, gaze, head pose, camera and light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synth.people import Person

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Scene:
    """One picture of one person.  Vectors are in the camera frame, millimetres and radians."""

    expression: dict[str, float]
    blink: float
    """0 open, 1 closed, before the lids follow the gaze."""
    camera_from_head: Floats
    face_center_mm: Floats
    target_mm: Floats
    camera_matrix: Floats
    """(3, 3) of the picture as it is written."""
    size_px: int
    lights: list[tuple[Floats, Floats]]
    ambient: Floats
    """(4, 3) sky, ground, left, right."""
    exposure: float
    near_infrared: float
    glasses: str
    """'none', 'glasses' or 'sunglasses'."""
    pupil_radius_mm: float
    seed: int


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


def sample_scene(rng: np.random.Generator, person: Person, *, size_px: int) -> Scene:
    """Draw a scene: any head pose, gaze within ±40° of the head, any light."""
    distance = float(np.exp(rng.uniform(np.log(330), np.log(1800))))
    px_per_mm = float(rng.uniform(1.15, 1.75)) * size_px / 400
    off = np.radians(rng.uniform(-26, 26)), np.radians(rng.uniform(-16, 16))
    ray = np.array([np.tan(off[0]), np.tan(off[1]), 1.0])
    center = ray / np.linalg.norm(ray) * distance
    focal = px_per_mm * center[2]
    jitter = rng.normal(0, 0.04, 2) * size_px
    middle = (size_px - 1) / 2 + jitter + np.array([0, 0.03 * size_px])
    matrix = np.array(
        [
            [focal, 0, middle[0] - focal * center[0] / center[2]],
            [0, focal, middle[1] - focal * center[1] / center[2]],
            [0, 0, 1.0],
        ]
    )
    yaw = float(np.clip(rng.normal(0, np.radians(26)), -1.3, 1.3))
    pitch = float(np.clip(rng.normal(0, np.radians(15)), -0.75, 0.75))
    roll = float(rng.normal(0, np.radians(9)))
    # The pose is relative to the line of sight, as in the normalised camera.
    forward = center / np.linalg.norm(center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    camera_from_sight = np.stack([right, np.cross(forward, right), forward], 1)
    camera_from_head = camera_from_sight @ rotation_from_angles(yaw, pitch, roll)
    gaze = _sample_gaze(rng, yaw, pitch)
    target = center + camera_from_sight @ direction(*gaze) * rng.uniform(350, 2500)
    expression, blink = _sample_expression(rng)
    lights, ambient = _sample_light(rng)
    style = rng.random()
    return Scene(
        expression=expression,
        blink=blink,
        camera_from_head=camera_from_head,
        face_center_mm=center,
        target_mm=target,
        camera_matrix=matrix,
        size_px=size_px,
        lights=lights,
        ambient=ambient,
        exposure=float(rng.uniform(0.75, 1.3)),
        near_infrared=float(rng.random() < 0.06),
        glasses="glasses" if style < 0.24 else "sunglasses" if style < 0.27 else "none",
        pupil_radius_mm=float(rng.uniform(1.1, 3.2)),
        seed=int(rng.integers(2**31)),
    )


def _sample_gaze(rng: np.random.Generator, yaw: float, pitch: float) -> tuple[float, float]:
    """(pitch, yaw) in the line-of-sight frame, within about 40° of the head's direction."""
    for _ in range(50):
        if rng.random() < 0.3:  # towards the camera and what is near it
            g = rng.normal(0, np.radians(9)), rng.normal(0, np.radians(11))
        else:
            g = (
                pitch + rng.normal(np.radians(-3), np.radians(14)),
                yaw + rng.normal(0, np.radians(18)),
            )
        if abs(g[1] - yaw) < np.radians(40) and np.radians(-38) < g[0] - pitch < np.radians(28):
            return float(g[0]), float(np.clip(g[1], -1.5, 1.5))
    return pitch, yaw


def _sample_expression(rng: np.random.Generator) -> tuple[dict[str, float], float]:
    e: dict[str, float] = {}

    def both(name: str, value: float, spread: float = 0.15) -> None:
        for side in "LR":
            e[f"{name}_{side}"] = float(np.clip(value * (1 + rng.normal(0, spread)), 0, 1))

    kind = rng.random()
    if kind < 0.34:  # smiles, with the eyes' share of them
        smile = rng.uniform(0.25, 1.0)
        both("mouthSmile", smile)
        both("cheekSquint", smile * rng.uniform(0.1, 0.9))
        both("eyeSquint", smile * rng.uniform(0.0, 0.9))
        if rng.random() < 0.55:
            e["jawOpen"] = float(rng.uniform(0, 0.35))
            both("mouthUpperUp", smile * rng.uniform(0, 0.5))
            both("mouthLowerDown", smile * rng.uniform(0, 0.4))
    elif kind < 0.66:  # talking and other faces
        e["jawOpen"] = float(rng.beta(1, 3))
        for name in rng.choice(
            [
                "mouthFunnel",
                "mouthPucker",
                "mouthLeft",
                "mouthRight",
                "mouthRollLower",
                "jawForward",
            ],
            2,
        ):
            e[str(name)] = float(rng.uniform(0, 0.6))
        both(
            str(rng.choice(["mouthFrown", "mouthStretch", "mouthPress", "noseSneer", "cheekPuff"])),
            rng.uniform(0, 0.8),
        )
        if rng.random() < 0.4:
            both("eyeSquint", rng.uniform(0.2, 1.0))
    if rng.random() < 0.35:
        both(str(rng.choice(["browDown", "browOuterUp"])), rng.uniform(0.1, 1.0))
    if rng.random() < 0.25:
        e["browInnerUp_L"] = e["browInnerUp_R"] = float(rng.uniform(0.1, 1.0))
    if rng.random() < 0.12:
        both("eyeWide", rng.uniform(0.2, 1.0))
    blink = (
        float(rng.uniform(0.55, 1.0))
        if rng.random() < 0.07
        else float(rng.uniform(0.0, 0.25) ** 1.2)
    )
    return e, blink


def _sample_light(rng: np.random.Generator) -> tuple[list[tuple[Floats, Floats]], Floats]:
    def warm() -> Floats:
        t = rng.normal(0, 0.13)
        return np.array([1 + t, 1.0, 1 - t])

    key = rng.uniform(0.15, 1.5)
    lights = []
    for k, strength in enumerate((key, rng.uniform(0, 0.5), rng.uniform(0, 0.4))):
        azimuth = rng.uniform(-2.4, 2.4) if k else rng.normal(0, 0.9)
        height = rng.uniform(-0.3, 1.2)
        d = np.array(
            [np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)]
        )
        lights.append((d, strength * warm()))
    base = rng.uniform(0.15, 0.75) * warm()
    ambient = np.stack(
        [base * rng.uniform(0.7, 1.4), base * rng.uniform(0.3, 0.9)]
        + [base * rng.uniform(0.4, 1.5) for _ in range(2)]
    )
    # Meter the light roughly as a camera does, so that few pictures are black or blown out.
    level = sum(float(c.mean()) * max(0.15, -d[2]) for d, c in lights) + float(ambient.mean())
    gain = 1.35 / level
    return [(d, c * gain) for d, c in lights], ambient * gain
