"""Labels of a rendered face as plain numbers, ready for JSON; and moving them to other pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import HeadPose, angles_from_vector
from train.factors import FACTORS, is_shown
from train.synth.figure.people import Person
from train.synth.outputs.captions import caption
from train.synth.places.lighting import Lighting
from train.synth.render.posing import Labels
from train.synth.streams import Streams

Floats = NDArray[np.float64]
Record = dict[str, Any]


def affine(scale: float = 1.0, left: float = 0.0, top: float = 0.0) -> Floats:
    """(3, 3) pixels of a part that starts at (left, top), of a picture ``scale`` times as large.

    Pixel centres are at integers, so a pixel's edge, not its centre, is what scales.
    """
    middle = (scale - 1) / 2
    return np.array([[scale, 0, middle - left], [0, scale, middle - top], [0, 0, 1.0]])


def moved(labels: Labels, *, scale: float = 1.0, left: float = 0.0, top: float = 0.0) -> Labels:
    """The labels in the pixels of :func:`affine`; nothing in millimetres or radians changes."""
    to = affine(scale, left, top)

    def points(pixels: Floats) -> Floats:
        return np.asarray(pixels * scale + to[:2, 2])

    return replace(
        labels,
        camera_matrix=to @ labels.camera_matrix,
        landmarks_px=points(labels.landmarks_px),
        irises_px=points(labels.irises_px),
        rims_px=points(labels.rims_px),
        bbox_px=points(labels.bbox_px.reshape(2, 2)).reshape(4),
        face_px=labels.face_px * scale,
    )


def geometry(labels: Labels) -> Record:
    """What changes from frame to frame of a clip: gaze, head, eyes and pixels."""
    head = HeadPose(labels.camera_from_head, labels.face_center_mm)
    angles = [head.pitch_rad, head.yaw_rad, head.roll_rad]
    return {
        "gaze": plain(labels.gaze, 7),
        "gaze_pitch_yaw_rad": plain(angles_from_vector(labels.gaze), 7),
        "head_pitch_yaw_roll_rad": plain(np.array(angles), 7),
        "camera_from_head": plain(labels.camera_from_head, 7),
        "camera_matrix": plain(labels.camera_matrix, 5),
        "face_center_mm": plain(labels.face_center_mm, 3),
        "target_mm": plain(labels.target_mm, 3),
        "eye_centers_mm": plain(labels.eye_centers_mm, 3),
        "eye_axes": plain(labels.eye_axes, 7),
        "landmarks_px": plain(labels.landmarks_px, 3),
        "irises_px": plain(labels.irises_px, 3),
        "iris_rims_px": plain(labels.rims_px, 3),
        "visible": labels.visible.astype(int).tolist(),
        "openness": plain(labels.openness, 4),
        "eyes_closed": labels.eyes_closed,
        "bbox_px": plain(labels.bbox_px, 3),
        "face_px": round(labels.face_px, 3),
    }


def eye_state(record: Mapping[str, Any]) -> str:
    """'visible', 'half hidden' (one iris), 'hidden', 'dark glasses' or 'closed'."""
    if record["eyes_closed"]:
        return "closed"
    if record["factors"]["sunglasses"]:
        return "dark glasses"
    return ("hidden", "half hidden", "visible")[sum(record["visible"][68:])]


def appearance(person: Person, person_id: str, on: dict[str, bool], streams: Streams) -> Record:
    """What a picture shows that is not gaze: factors, identity and a caption.

    ``factors`` holds every factor of the table, ``shown`` the names of those whose phrase can be
    said of this picture (see :func:`train.factors.is_shown`).
    """
    return {
        "person": person_id,
        "identity": plain(person.identity, 4),
        "shape": {name: round(value, 4) for name, value in person.shape.items()},
        "kappa_rad": plain(np.array(person.kappa_rad), 6),
        "factors": {f.name: on[f.name] for f in FACTORS},
        "shown": [f.name for f in FACTORS if is_shown(on, f.name)],
        "caption": caption(streams("caption"), on),
    }


def surroundings(lighting: Lighting, background: str) -> Record:
    """Kind of light and background; the panorama's name where one took their place."""
    about: Record = {"light": lighting.kind, "background": background}
    return about | ({"panorama": lighting.real.panorama.name} if lighting.real else {})


def plain(value: Any, digits: int) -> Any:
    """A rounded array as nested lists; −0.0 becomes 0.0, so that equal labels are equal bytes."""
    return (np.round(np.asarray(value, np.float64), digits) + 0.0).tolist()
