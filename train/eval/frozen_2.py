"""The second frozen set of rendered people: three parts, and what no network can know of them.

Like the first (:mod:`train.eval.frozen_set`) it is defined by numbers: seeds that no training uses,
domains, counts and the hash of all labels, in ``frozen_2.json``, which was written before anything
was trained on pictures of this kind.  Each part is made by::

    python -m train.synth write --product pictures --domain D --seed S --count N --out DIR

``main`` holds all domains; ``independent`` sharp pictures of open eyes, in which the head's angle
says nothing of the gaze; ``heads_back`` heads tilted back with eyes down, and the opposite.

The floor is the error of one who sees everything: who knows the line of sight that the pixels show
and both optical axes exactly.  Two things no picture tells: a person's kappa, of which only the
mean over people is known, and a focal length that was assumed wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import angle_between
from train.eval.frozen_set import FORWARD, binned, describe, disturbed, samples
from train.synth.outputs.normalization import NORMALIZATION, sight_rotation
from train.synth.outputs.shards import Sample

FROZEN_2 = Path(__file__).with_suffix(".json")
MEAN_KAPPA_RAD = tuple(np.radians((4.5, 1.5)))
"""Nasal and upward, of rendered people."""
FLOORS = ("kappa", "focal_length", "both")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the set."""

    name: str
    domain: str
    seed: int
    count: int

    @property
    def command(self) -> str:
        """What makes its pictures."""
        return (
            f"python -m train.synth write --product pictures --domain {self.domain} "
            f"--seed {self.seed} --count {self.count} --out DIR"
        )


PARTS = (
    Part("main", "all", 910, 2448),
    Part("independent", "independent", 911, 600),
    Part("heads_back", "heads_back", 912, 600),
)


def part_of(data: Path) -> str | None:
    """Which part the shards in ``data`` are, by the hash of their labels; None for none."""
    manifest = data / "manifest.json"
    if not manifest.is_file() or not FROZEN_2.is_file():
        return None
    found = json.loads(manifest.read_text()).get("labels_sha256")
    parts = json.loads(FROZEN_2.read_text())["parts"]
    return next((name for name, part in parts.items() if part["labels_sha256"] == found), None)


def floor_errors(sample: Sample) -> dict[str, float]:
    """Degrees of error that are left to one who sees everything, by what is not known."""
    labels = sample.labels
    gaze = np.array(labels["gaze"])
    crop, _ = disturbed(sample, NORMALIZATION)
    true = np.array(labels["camera_matrix"])
    rays = np.linalg.inv(true) @ crop.image_from_crop @ NORMALIZATION.matrix
    sight = sight_rotation(np.eye(3), rays, np.eye(3))
    guess = with_mean_kappa(labels, gaze)
    # What the pixels show is turned back into the camera that was assumed.
    back = crop.rotation.T @ sight
    each = {"kappa": guess, "focal_length": back @ gaze, "both": back @ guess}
    return {name: float(np.degrees(angle_between(said, gaze))) for name, said in each.items()}


def with_mean_kappa(labels: Mapping[str, Any], gaze: Floats) -> Floats:
    """The gaze (3,) that follows from the optical axes of the irises that are seen.

    With both, errors to the side cancel, since kappa is nasal on both; with one they do not.
    """
    nasal, up = np.array(labels["kappa_rad"]) - MEAN_KAPPA_RAD
    right, left = labels["visible"][68:]
    sideways = (left - right) * nasal if right or left else 0.0
    head = np.array(labels["camera_from_head"])
    g = head.T @ gaze
    yaw, pitch = np.arctan2(g[0], -g[2]) + sideways, np.arcsin(np.clip(-g[1], -1, 1)) - up
    turned = [np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)]
    return np.asarray(head @ turned)


def definition(folders: Mapping[str, Path]) -> dict[str, Any]:
    """What ``frozen_2.json`` says of the parts, from the pictures of each."""
    parts = {}
    for part in PARTS:
        data = folders[part.name]
        manifest = json.loads((data / "manifest.json").read_text())
        rows = [describe(s) | floor_errors(s) | _pitches(s) for s in samples(data)]
        eyes = [row["eyes"] for row in rows]
        parts[part.name] = {
            "command": part.command,
            **{name: manifest[name] for name in ("seed", "domains", "count", "renderer_version")},
            "labels_sha256": manifest["labels_sha256"],
            "opengl": manifest["opengl"],
            "eyes": {state: round(eyes.count(state) / len(eyes), 4) for state in sorted(set(eyes))},
            "gaze_pitch_on_head_pitch": _slope(rows),
            "floor_deg": _floors(rows),
            "bins": {
                key: {name: int(value[1]) for name, value in table.items()}
                for key, table in binned(rows, "both").items()
            },
        }
    return {"parts": parts}


def _pitches(sample: Sample) -> dict[str, float]:
    """Pitch of gaze and of the head, degrees, about the line of sight to the face."""
    labels = sample.labels
    center = np.array(labels["face_center_mm"])
    forward = center / np.linalg.norm(center)
    right = np.cross([0.0, 1.0, 0.0], forward)
    down = np.cross(forward, right / np.linalg.norm(right))
    lines = {"gaze": np.array(labels["gaze"]), "head": np.array(labels["camera_from_head"])}
    lines["head"] = lines["head"] @ FORWARD
    return {f"{name}_pitch": float(-np.degrees(np.arcsin(down @ v))) for name, v in lines.items()}


def _slope(rows: list[dict[str, Any]]) -> float:
    gaze, head = ([row[name] for row in rows] for name in ("gaze_pitch", "head_pitch"))
    return round(float(np.polyfit(head, gaze, 1)[0]), 3)


def _floors(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Mean, root mean square and 95th percentile, of all and of pictures with both eyes visible."""
    seen = [row for row in rows if row["eyes"] == "visible"]
    return {
        which: {
            name: [
                round(float(np.mean(values)), 3),
                round(float(np.sqrt(np.mean(np.square(values)))), 3),
                round(float(np.percentile(values, 95)), 3),
            ]
            for name in FLOORS
            for values in [[row[name] for row in some]]
        }
        for which, some in (("all", rows), ("visible", seen))
    }


def floor_lines(data: Path) -> list[str]:
    """The floor of the part that ``data`` is, to be said beside a figure; none for other data."""
    name = part_of(data)
    if name is None:
        return []
    floor = json.loads(FROZEN_2.read_text())["parts"][name]["floor_deg"]
    return [
        f"frozen set 2, {name}: no network can know kappa ({which} {by['kappa'][0]}° on average), "
        f"nor a wrong focal length ({by['focal_length'][0]}°; both {by['both'][0]}°)"
        for which, by in floor.items()
    ]
