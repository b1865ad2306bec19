"""Clips: one person moves before a fixed camera, seen through a fixed window of its frame.

Person, clothes, light, background and the camera's settings stay; pose, gaze, lids and expression
move (:mod:`train.synth.figure.motion`), and the sensor's noise is new in each frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from train.synth.chances import sample_picture_factors
from train.synth.figure.motion import (
    HEAD_DEG_PER_S,
    Blinks,
    Curve,
    Eyes,
    minimum_jerk,
    rotated,
    wander,
)
from train.synth.figure.people import Person
from train.synth.outputs.framing import HALF_WINDOW, MOST_FACE_PX, around, clipped, scaled
from train.synth.outputs.light import Pixels
from train.synth.outputs.records import Floats, Record, appearance, geometry, moved, surroundings
from train.synth.outputs.studio import CLIP, Studio
from train.synth.render.looking import MAX_EYE_DOWN_DEG, MAX_EYE_UP_DEG, MAX_EYE_YAW_DEG
from train.synth.render.posing import Labels
from train.synth.render.scene import Scene, Window, make_scene, place
from train.synth.streams import Streams
from train.synth.variety import Domain

POSE_S = (0.7, 2.6)
"""How long a head stays about one pose."""
POSE_SHARE = (0.15, 0.9)
"""How far heads go towards a pose as different as another picture's."""
SWAY_MM, SWAY_RAD = 7.0, 0.02
EXPRESSION = 0.35
"""Share of an expression that comes and goes."""
ROOM = 1.2
"""The window's half side over a picture's, as the head moves."""


@dataclass(slots=True)
class Shot:
    """One frame of a clip."""

    rgb: Pixels
    """(height, width, 3)."""
    labels: Labels
    """In this picture's pixels."""
    record: Record
    """What changes from frame to frame."""


@dataclass(slots=True)
class Clip:
    """One person who moves; :meth:`frames` draws."""

    studio: Studio
    person: Person
    scenes: list[Scene]
    """One per frame."""
    window: Window
    """The part of the camera's frame that is drawn."""
    fps: float
    record: Record
    """What stays the same over the clip."""

    def frames(self) -> Iterator[Shot]:
        """Draw the frames one by one, in order."""
        for number, scene in enumerate(self.scenes):
            drawn = self.studio.draw(self.person, scene, self.window)
            rgb = self.studio.develop(drawn, scene, noise=f"exposure {number}")
            labels = moved(drawn.labels, left=self.window[0], top=self.window[1])
            time = {"frame": number, "time_s": round(number / self.fps, 5)}
            yield Shot(rgb, labels, time | geometry(labels))


def make_clip(
    studio: Studio, seed: int, index: int, domain: Domain, *, frames: int = 60, fps: float = 30.0
) -> Clip:
    """A person who moves; :meth:`Clip.frames` draws the frames one by one."""
    if frames < 1 or not fps > 0:
        raise ValueError(f"frames is {frames} and fps {fps}; expected at least 1 and above 0")
    person = studio.person(seed, index, domain)
    streams = Streams(seed, CLIP, index)
    on = sample_picture_factors(streams, person.factors, domain)
    first = make_scene(streams, domain, on, studio.panoramas)
    first = scaled(first, min(1.0, MOST_FACE_PX / first.face_px))
    keys = _key_poses(Streams(seed, CLIP, index, 0), first, domain, frames / fps)
    scenes = _performed(streams, first, keys, frames, fps)
    window = clipped(around(first, *[HALF_WINDOW * ROOM] * 3), first.frame_px)
    record = appearance(person, f"{seed}-{index}", first.factors, streams)
    record |= surroundings(first.lighting, first.background)
    record |= {"fps": fps, "frame_count": frames, "window": list(window)}
    record |= {"frame_px": list(first.frame_px)}
    record |= {"domain": domain.name, "seed": seed, "index": index}
    return Clip(studio, person, scenes, window, fps, record)


@dataclass(slots=True)
class _Key:
    """What a person is busy with from ``start`` on."""

    start: float
    camera_from_head: Floats
    direction: Floats
    distance_mm: float


def _key_poses(streams: Streams, first: Scene, domain: Domain, duration: float) -> list[_Key]:
    rng = streams("poses")
    keys: list[_Key] = []
    start = 0.0
    while start < duration or not keys:
        other = first
        if keys:
            seeds = streams(f"pose {len(keys)}").integers(2**31, size=2)
            other = place(
                Streams(*(int(s) for s in seeds)),
                domain,
                first.factors,
                first.face_center_mm,
                first.camera_matrix,
                first.frame_px,
            )
        share = float(rng.uniform(*POSE_SHARE)) if keys else 0.0
        head = rotated(first.camera_from_head, other.camera_from_head, share)
        gaze = other.target_mm - other.face_center_mm
        # The eyes keep their place in the head when the head goes only a part of the way.
        gaze = head @ other.camera_from_head.T @ gaze
        distance = float(np.linalg.norm(gaze))
        keys.append(_Key(start, head, gaze / distance, distance))
        start += float(rng.uniform(*POSE_S))
    return keys


def _performed(
    streams: Streams, first: Scene, keys: list[_Key], frames: int, fps: float
) -> list[Scene]:
    """One scene per frame."""
    duration = frames / fps
    eyes = Eyes(
        streams("saccades"), [(k.start, k.direction, k.distance_mm) for k in keys], duration
    )
    blinks = Blinks(streams("blinks"), duration)
    place_of = wander(streams("sway"), SWAY_MM)
    lean = wander(streams("lean"), SWAY_RAD)
    mood = wander(streams("mood"), EXPRESSION, period_s=4.0)
    scenes = []
    for number in range(frames):
        t = number / fps
        center = first.face_center_mm + place_of(t) - place_of(0.0)
        head = _head(keys, lean, t)
        direction, distance = eyes.at(t)
        direction = _reached(head, direction)
        scenes.append(
            replace(
                first,
                camera_from_head=head,
                face_center_mm=center,
                target_mm=center + direction * distance,
                expression=_expression(first.expression, mood, t),
                blink=max(min(first.blink, 0.3), blinks.at(t)),
            )
        )
    return scenes


def _head(keys: list[_Key], lean: Curve, t: float) -> Floats:
    head = keys[0].camera_from_head
    for key in keys[1:]:
        cosine = (np.trace(head.T @ key.camera_from_head) - 1) / 2
        degrees = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        share = minimum_jerk((t - key.start) / (0.25 + degrees / HEAD_DEG_PER_S))
        head = rotated(head, key.camera_from_head, share)
    a, b, c = lean(t)
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    u, _, v = np.linalg.svd(np.eye(3) + skew)
    return np.asarray(head @ (u @ v))


def _reached(head: Floats, direction: Floats) -> Floats:
    """The direction, or the nearest that the eyes can turn to: a head follows large saccades."""
    d = head.T @ direction
    yaw = np.degrees(np.arctan2(-d[0], -d[2]))
    pitch = np.degrees(np.arcsin(np.clip(-d[1], -1, 1)))
    yaw = np.radians(np.clip(yaw, -MAX_EYE_YAW_DEG, MAX_EYE_YAW_DEG))
    pitch = np.radians(np.clip(pitch, -MAX_EYE_DOWN_DEG, MAX_EYE_UP_DEG))
    d = np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
    return np.asarray(head @ d)


def _expression(expression: dict[str, float], mood: Curve, t: float) -> dict[str, float]:
    """Expressions come and go, but never so far that their factor's label is untrue."""
    now = float(np.clip(1 + min(mood(t)[0], 0.0), 1 - EXPRESSION, 1.0))
    talk = float(np.clip(mood(t * 5)[1], -0.1, 0.1)) if "jawOpen" in expression else 0.0
    moved_ = {name: value * now for name, value in expression.items()}
    if talk:
        moved_["jawOpen"] = float(np.clip(moved_["jawOpen"] + talk, 0, 1))
    return moved_
