"""What is rendered: one draw of expression, gaze, head pose, camera and light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synth.places.lighting import Lighting, sample_lighting
from train.synth.places.photographed import Panorama, pick_panorama
from train.synth.render.looking import sample_look
from train.synth.render.sensor import Sensor, sample_sensor
from train.synth.streams import Streams
from train.synth.variety import CLOSED, Domain

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
LID_SHIFT_MM = 0.7
"""How a person's lids differ from picture to picture (sd): what 4 degrees turn an iris by."""
HALF_CLOSED = 0.012
"""Share of pictures with lids half way of a blink, beside those that are closed."""


@dataclass(slots=True)
class Scene:
    """One picture of one person.  Vectors are in the camera frame, millimetres and radians."""

    factors: dict[str, bool]
    expression: dict[str, float]
    blink: float
    """0 as open as the person's eyes are at this gaze, 1 closed."""
    lid_shift_mm: Floats
    """(2,) how much higher than usual the upper lids are, the person's right first."""
    brow_shift: float
    """How much higher than usual the brows are, 1 being as high as resting brows get."""
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


def make_scene(
    streams: Streams,
    domain: Domain,
    on: Mapping[str, bool],
    panoramas: tuple[Panorama, ...] = (),
) -> Scene:
    """The scene of ``streams`` with these factors, whatever the chances are.

    ``panoramas`` light most of the pictures that they can (:func:`sample_panorama`).
    """
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
    return place(streams, domain, on, center, matrix, (width, height), panoramas)


def place(
    streams: Streams,
    domain: Domain,
    on: Mapping[str, bool],
    center: Floats,
    matrix: Floats,
    frame_px: tuple[int, int],
    panoramas: tuple[Panorama, ...] = (),
) -> Scene:
    """A scene with the face centre at ``center`` (mm) before a given camera."""
    # Poses are relative to the line of sight, as in the normalised camera.
    forward = center / np.linalg.norm(center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    camera_from_sight = np.stack([right, np.cross(forward, right), forward], 1)
    head, target = sample_look(streams, domain, center, camera_from_sight)
    expression, blink = sample_expression(streams("expression"), on, closed=domain.closed)
    lids = streams("lids")
    lights = list(domain.lights)
    kind = str(_pick(streams("light kind"), lights, list(domain.lights.values())))
    face_px = float(matrix[0, 0] * FACE_WIDTH_MM / center[2])
    return Scene(
        factors=dict(on),
        expression=expression,
        blink=blink,
        lid_shift_mm=lids.normal(0.0, LID_SHIFT_MM) + lids.normal(0.0, 0.15, 2),
        brow_shift=float(lids.normal(0.0, 0.4)),
        camera_from_head=camera_from_sight @ rotation_from_angles(head[1], head[0], head[2]),
        face_center_mm=center,
        target_mm=target,
        camera_matrix=matrix,
        frame_px=frame_px,
        lighting=sample_lighting(
            streams("light"), kind, on, sample_panorama(streams, domain, panoramas, kind)
        ),
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


def sample_panorama(
    streams: Streams, domain: Domain, panoramas: tuple[Panorama, ...], kind: str
) -> Panorama | None:
    """The panorama of a picture with this kind of light; None for painted surroundings."""
    if "world" in domain.absent:
        return None
    return pick_panorama(streams("panorama"), panoramas, kind)


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]))))


def _pick(rng: np.random.Generator, names: list[str], weights: list[float]) -> str:
    p = np.array(weights, float)
    return names[int(rng.choice(len(names), p=p / p.sum()))]


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
    rng: np.random.Generator, on: Mapping[str, bool], *, closed: float = CLOSED
) -> tuple[dict[str, float], float]:
    """(weights of FaceKit's expression shapes, how far the eyes are closed).

    ``closed`` is the share of pictures with closed eyes.

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

    # A smile that is meant narrows the eyes from below: cheeks and lower lids rise.
    smile = rng.uniform(0.45, 1.0)
    both("mouthSmile", smile, when=on["smile"])
    both("cheekSquint", smile * rng.uniform(0.35, 1.0), when=on["smile"])
    both("eyeSquint", smile * rng.uniform(0.1, 0.95), when=on["smile"])
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
    both("eyeWide", rng.uniform(0.1, 0.6), when=wide)
    u, half, shut = rng.random(), rng.uniform(0.25, 0.8), 1 - 0.2 * rng.random() ** 2
    blinking = u < closed * (1 + HALF_CLOSED / CLOSED)
    return e, float(shut if u < closed else half if blinking else 0.0)
