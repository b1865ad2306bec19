"""Gaze on photographs beside a peer's, and beside what the eye sees there.

Everything is compared in the frame of the line of sight
(:func:`train.photos.peers.sight_from_camera`),
in which (0, 0) is into the camera: the peer answers in it, the eye judges in it, and the field of
view, which is only assumed for these photographs, hardly matters in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera, FaceResult
from clipgaze_sdk.geometry import angle_between, angles_from_vector, mirror_angles
from clipgaze_sdk.geometry import vector_from_angles as vector
from train.json_files import read_json
from train.photos.peers import OpenVinoGaze, PeerUnavailableError, sight_from_camera

MARKS = Path(__file__).with_name("marks.json")
SHOWN_TAGS = ("smiling", "squinting", "looking_down")
NEARER_BY_DEG = 5.0
"""Of two answers one is called nearer only if it is nearer by this: guesses are coarse."""


def load_marks(path: Path = MARKS) -> dict[tuple[str, int], dict[str, Any]]:
    """What the eye sees, by photograph and number of the face."""
    faces = read_json(path)["faces"]
    return {
        (photo, int(number)): mark
        for photo, marks in faces.items()
        for number, mark in marks.items()
    }


def stored_peer(reference: Mapping[str, Any]) -> NDArray[np.float64]:
    """The peer's direction (3,) that ``photos.json`` holds, in the frame of the line of sight."""
    peer = reference["peer_gaze"]
    return vector([peer["pitch_rad"], peer["yaw_rad"]])


def eyes_middle(points_px: Mapping[str, Sequence[float]]) -> NDArray[np.float64]:
    """The point (2,) between the outer eye corners, pixels."""
    corners = np.array([points_px["right_eye_outer"], points_px["left_eye_outer"]], np.float64)
    return np.asarray(corners.mean(axis=0))


def degrees(direction: NDArray[np.float64]) -> tuple[float, float]:
    """(pitch, yaw) of a direction (3,), in degrees for people."""
    pitch, yaw = np.degrees(angles_from_vector(direction)).tolist()
    return pitch, yaw


def gaze_row(
    face: FaceResult,
    reference: Mapping[str, Any],
    camera: Camera,
    mark: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One face beside the peer; angles in degrees.

    Args:
        face: ours.
        reference: of ``photos.json``, with ``points_px`` and ``peer_gaze``.
        camera: that ours was computed with.
        mark: of ``photo_marks.json``.

    Returns:
        ``ours_deg`` and ``peer_deg`` (pitch, yaw) from the line of sight; ``angle_deg`` between
        them; ``angle_as_stored_deg``, the peer's answer taken for one in the camera frame; and with
        a judged direction ``judged_deg``, each one's angle to it and which is ``nearer``.
    """
    sight = sight_from_camera(camera, eyes_middle(reference["points_px"]))
    ours, peer = sight @ face.gaze.vector, stored_peer(reference)
    row: dict[str, Any] = {
        "tags": list(mark["tags"]) if mark else [],
        "looks": mark["looks"] if mark else "",
        "ours_deg": degrees(ours),
        "peer_deg": degrees(peer),
        "angle_deg": _apart(ours, peer),
        "angle_as_stored_deg": _apart(face.gaze.vector, peer),
    }
    if mark and "pitch_deg" in mark:
        judged = vector(np.radians([mark["pitch_deg"], mark["yaw_deg"]]))
        off = {"ours": _apart(ours, judged), "peer": _apart(peer, judged)}
        row |= {
            "judged_deg": (float(mark["pitch_deg"]), float(mark["yaw_deg"])),
            "ours_off_deg": off["ours"],
            "peer_off_deg": off["peer"],
            "nearer": nearer(off["ours"], off["peer"]),
        }
    return row


def nearer(ours_off_deg: float, peer_off_deg: float) -> str:
    """Which answer is nearer to the judged direction: "ours", "peer" or "even"."""
    if abs(ours_off_deg - peer_off_deg) < NEARER_BY_DEG:
        return "even"
    return "ours" if ours_off_deg < peer_off_deg else "peer"


def mirror_angle_deg(face: FaceResult, other: FaceResult) -> float:
    """Angle between a gaze and the mirrored gaze of the mirrored picture."""
    back = mirror_angles(np.array([other.gaze.pitch_rad, other.gaze.yaw_rad]))
    return _apart(face.gaze.vector, vector(back))


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of :func:`gaze_row` rows: all, and those with a tag."""
    groups = {"all": list(rows)} | {
        tag: [row for row in rows if tag in row["tags"]] for tag in SHOWN_TAGS
    }
    return {name: _group(group) for name, group in groups.items() if group}


def _group(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    judged = [row for row in rows if "nearer" in row]
    figures: dict[str, Any] = {"faces": len(rows), "judged": len(judged)}
    for key in ("angle_deg", "angle_as_stored_deg"):
        figures[f"{key}_median"] = float(np.median([row[key] for row in rows]))
    if judged:
        for key in ("ours_off_deg", "peer_off_deg"):
            figures[f"{key}_median"] = float(np.median([row[key] for row in judged]))
        for who in ("ours", "peer", "even"):
            figures[f"nearer_{who}"] = sum(row["nearer"] == who for row in judged)
    return figures


def live_peer(
    assets: Path, entries: Mapping[str, Any], images: Mapping[str, NDArray[np.uint8]]
) -> dict[str, Any]:
    """How far the peer, run here, is from what ``photos.json`` holds; or why it was not run."""
    try:
        peer = OpenVinoGaze(assets / "peers")
    except PeerUnavailableError as error:
        return {"skipped": str(error)}
    apart = {
        f"{name} {number}": _apart(
            peer.direction(images[name], face["bbox_xyxy_px"], face["points_px"]),
            stored_peer(face),
        )
        for name, entry in entries.items()
        if name in images
        for number, face in enumerate(entry["faces"])
        if "peer_gaze" in face
    }
    values = list(apart.values())
    return {
        "faces": len(values),
        "median_deg": float(np.median(values)),
        "worst_deg": float(np.max(values)),
        "worst": max(apart, key=lambda name: apart[name]),
    }


def _apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.degrees(angle_between(first, second)))
