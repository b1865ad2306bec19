"""What is measured on photographs of real people, and the report of it.

Development figures only: see ``python -m train.photos --help``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import EstimatorOptions, FaceResult, GazeEstimator, draw_result
from clipgaze_sdk.cli.bench import bench_frame
from train.commands import announce
from train.json_files import read_json
from train.photos import contact_sheet as photo_sheet
from train.photos import gaze as photo_gaze
from train.photos import landmarks as photo_landmarks
from train.photos.detection import SAME_FACE_IOU, compare_detectors, iou, read_pictures
from train.photos.report import markdown
from train.photos.speed import speed
from train.photos.stability import (
    clip_stability,
    one_face_photos,
    photograph_stability,
    stream_options,
)

BEYOND_DEG = 10.0
MOST_FALSE = 60
"""Tiles of false faces that are drawn at most."""
NAMES = {"right_eye_outer": 36, "right_eye_inner": 39, "left_eye_inner": 42, "left_eye_outer": 45}


def match(faces: tuple[FaceResult, ...], box: list[float]) -> FaceResult | None:
    """The face that overlaps a reference box most, if it overlaps it enough."""
    best = max(faces, key=lambda f: iou(f.bbox_px, box), default=None)
    return best if best is not None and iou(best.bbox_px, box) >= SAME_FACE_IOU else None


def mirrored_box(box: list[float], width: int) -> list[float]:
    """The box in the mirrored picture."""
    return [width - 1 - box[2], box[1], width - 1 - box[0], box[3]]


def landmark_error(face: FaceResult, points: dict[str, list[float]]) -> float:
    """Mean error of the four eye corners in units of the outer corners' distance."""
    truth = np.array([points[name] for name in NAMES])
    errors = np.linalg.norm(face.landmarks_px[list(NAMES.values())] - truth, axis=1)
    return float(errors.mean() / max(np.linalg.norm(truth[0] - truth[3]), 1.0))


def photograph(
    estimator: GazeEstimator, name: str, image: NDArray[np.uint8], entry: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row per reference face."""
    marks = photo_gaze.load_marks()
    seen = estimator.estimate(image)
    mirror = estimator.estimate(np.ascontiguousarray(image[:, ::-1]))
    rows = []
    for number, reference in enumerate(entry["faces"]):
        box = reference["bbox_xyxy_px"]
        face = match(seen.faces, box)
        other = match(mirror.faces, mirrored_box(box, image.shape[1]))
        row: dict[str, Any] = {
            "photo": name,
            "face": number,
            "annotated": "points_px" in reference,
            "found": face is not None,
        }
        if face is not None:
            row |= {
                "pitch_deg": float(np.degrees(face.gaze.pitch_rad)),
                "yaw_deg": float(np.degrees(face.gaze.yaw_rad)),
                "sigma_deg": float(np.degrees(face.gaze.uncertainty_rad)),
            }
            if "points_px" in reference:
                row["landmark_error"] = landmark_error(face, reference["points_px"])
                row["landmark_errors"] = photo_landmarks.landmark_errors(
                    face, reference["points_px"]
                )
            if "peer_gaze" in reference:
                row["peer_pitch_deg"] = float(np.degrees(reference["peer_gaze"]["pitch_rad"]))
                row["peer_yaw_deg"] = float(np.degrees(reference["peer_gaze"]["yaw_rad"]))
                mark = marks.get((name, number))
                row["gaze"] = photo_gaze.gaze_row(face, reference, seen.camera, mark)
        if face is not None and other is not None:
            row["mirror_angle_deg"] = photo_gaze.mirror_angle_deg(face, other)
            row["mirror_yaw_deg"] = float(np.degrees(other.gaze.yaw_rad + face.gaze.yaw_rad))
            row["mirror_pitch_deg"] = float(np.degrees(other.gaze.pitch_rad - face.gaze.pitch_rad))
        rows.append(row)
    matched = sum(row["found"] for row in rows)
    rows[0]["extra_faces"] = len(seen.faces) - matched
    return rows


def signs(rows: list[dict[str, Any]]) -> tuple[int, int, list[str]]:
    """Angles of the reference beyond 10° whose sign ours has, how many, and the others in words."""
    same = total = 0
    wrong = []
    for row in rows:
        for axis in ("pitch", "yaw"):
            peer = row.get(f"peer_{axis}_deg")
            if peer is None or abs(peer) <= BEYOND_DEG:
                continue
            total += 1
            ours = row[f"{axis}_deg"]
            if np.sign(ours) == np.sign(peer):
                same += 1
            else:
                wrong.append(
                    f"{row['photo']} face {row['face']}: {axis} {ours:.1f}, peer {peer:.1f}"
                )
    return same, total, wrong


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all rows."""
    annotated = [r for r in rows if r["annotated"]]
    photos = sorted({r["photo"] for r in annotated})
    complete = [p for p in photos if all(r["found"] for r in annotated if r["photo"] == p)]
    same, total, wrong = signs([r for r in annotated if r["found"]])
    mirror = [r for r in annotated if "mirror_yaw_deg" in r]
    yaw = np.abs([r["mirror_yaw_deg"] for r in mirror])
    pitch = np.abs([r["mirror_pitch_deg"] for r in mirror])
    errors = [r["landmark_error"] for r in annotated if "landmark_error" in r]
    return {
        "photographs_with_annotated_faces": len(photos),
        "photographs_with_all_of_them_found": len(complete),
        "faces_found": f"{sum(r['found'] for r in rows)} of {len(rows)}",
        "annotated_faces_found": f"{sum(r['found'] for r in annotated)} of {len(annotated)}",
        "faces_without_reference": sum(r.get("extra_faces", 0) for r in rows),
        "sign_agrees": f"{same} of {total}",
        "sign_disagrees": wrong,
        "mirror_yaw_median_deg": round(float(np.median(yaw)), 2),
        "mirror_yaw_within_5_deg": f"{int((yaw <= 5).sum())} of {len(yaw)}",
        "mirror_pitch_median_deg": round(float(np.median(pitch)), 2),
        "mirror_pitch_within_5_deg": f"{int((pitch <= 5).sum())} of {len(pitch)}",
        "eye_corner_error_median": round(float(np.median(errors)), 4),
    }


def gaze_report(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Faces beside the peer, those that differ most first; and the ones that were not found."""
    beside = [
        {"photo": row["photo"], "face": row["face"], **row["gaze"]} for row in rows if "gaze" in row
    ]
    beside.sort(key=lambda row: -row["angle_deg"])
    missed = [f"{r['photo']} {r['face']}" for r in rows if r["annotated"] and not r["found"]]
    return {"summary": photo_gaze.summary(beside), "rows": beside, "missed": missed}


def mirror_report(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Angles between gaze and mirrored gaze of annotated faces found in both pictures."""
    both = [row for row in rows if row["annotated"] and "mirror_angle_deg" in row]
    worst = max(both, key=lambda row: row["mirror_angle_deg"])
    return {
        "faces": len(both),
        "median_deg": float(np.median([row["mirror_angle_deg"] for row in both])),
        "worst_deg": worst["mirror_angle_deg"],
        "worst_face": f"{worst['photo']} {worst['face']}",
    }


def stability_report(
    assets: Path, models: Path | None, names: Sequence[str], options: EstimatorOptions
) -> dict[str, Any]:
    """Photographs of one face each, at the size at which speed is measured too, and the clip."""
    with GazeEstimator(models, options=options) as estimator:
        frames = {name: bench_frame(assets / "photos" / name) for name in names}
        return {
            "photographs": photograph_stability(estimator, frames),
            "noise_alone": photograph_stability(estimator, frames, shift_px=0.0),
            "clip": clip_stability(estimator, assets / "clips" / "person.mp4"),
        }


def write_sheets(
    out: Path,
    report: Mapping[str, Any],
    *,
    images: Mapping[str, NDArray[np.uint8]],
    empty: Mapping[str, NDArray[np.uint8]],
    entries: Mapping[str, Any],
) -> None:
    """``gaze.jpg`` and, where there are any, ``false_faces.jpg`` of the whole SDK."""
    references = {
        (name, number): (face["bbox_xyxy_px"], photo_gaze.eyes_middle(face["points_px"]))
        for name, entry in entries.items()
        for number, face in enumerate(entry["faces"])
        if "points_px" in face
    }
    page = photo_sheet.gaze_sheet(report["gaze"]["rows"], images, references)
    photo_sheet.write_jpeg(out / "gaze.jpg", page)
    found = report["detection"]["sdk_with_ours"]
    tiles = [
        photo_sheet.box_tile(empty[name], box, name)
        for name, boxes in found["false"]["boxes_px"].items()
        for box in boxes
    ] + [
        photo_sheet.box_tile(images[other["photo"]], other["box_px"], other["photo"])
        for other in found["recall"]["1/1"]["unknown"]
    ]
    tiles = tiles[:MOST_FALSE]
    if tiles:
        legend = [("taken for a face by the whole SDK, without a reference", photo_sheet.OURS)]
        photo_sheet.write_jpeg(out / "false_faces.jpg", photo_sheet.sheet(tiles, legend))


def look(
    assets: Path,
    *,
    models: Path | None,
    out: Path | None,
    threads: int,
    frames: int,
    flip_augment: bool,
) -> None:
    """Measure everything, print the report, and write it with its pictures into ``out``.

    Raises :class:`SystemExit` with one line where the folder is not as ``--help`` says.
    """
    entries = read_entries(assets / "photos.json")
    announce(f"reading {len(entries)} photographs")
    images = read_pictures([assets / "photos" / name for name in entries])
    empty = read_pictures(sorted((assets / "no_face").glob("*")))
    options = EstimatorOptions(max_faces=32, threads=threads, flip_augment=flip_augment)
    if frames:
        announce(f"timing {frames} frames")
    # Speed goes first: what follows warms the machine up and fills its memory.
    figures: dict[str, Any] = {"speed": speed(models, frames=frames, threads=threads)}
    rows: list[dict[str, Any]] = []
    announce("finding faces and gaze, as taken and mirrored")
    with GazeEstimator(models, options=options) as estimator:
        for name, entry in entries.items():
            rows += photograph(estimator, name, images[name], entry)
            if out:
                out.mkdir(parents=True, exist_ok=True)
                picture = draw_result(images[name], estimator.estimate(images[name]))
                cv2.imwrite(str(out / f"{Path(name).stem}.png"), picture)
    announce(f"comparing detectors on {len(images)} photographs and {len(empty)} without a face")
    figures["detection"] = compare_detectors(
        assets, models, images=images, empty=empty, entries=entries, options=options
    )
    figures["landmarks"] = photo_landmarks.summary(rows)
    announce("running the peer for gaze")
    figures["gaze"] = gaze_report(rows)
    figures["gaze"]["peer_run_here"] = photo_gaze.live_peer(assets, entries, images)
    figures["mirror"] = mirror_report(rows)
    announce("measuring how still gaze is on streams")
    figures["stability"] = stability_report(
        assets,
        models,
        one_face_photos(entries),
        replace(stream_options(threads), flip_augment=flip_augment),
    )
    false = figures["detection"]["sdk_with_ours"]["false"]["faces"]
    short = report(rows) | {"false_faces": f"{false} in {len(empty)} pictures without a face"}
    print(json.dumps(short, indent=2))
    print(markdown(figures))
    if out:
        write_sheets(out, figures, images=images, empty=empty, entries=entries)
        (out / "report.md").write_text(markdown(figures), encoding="utf-8")
        (out / "report.json").write_text(
            json.dumps({**short, **figures, "rows": rows}, indent=2) + "\n", encoding="utf-8"
        )


def read_entries(path: Path) -> dict[str, Any]:
    """What ``photos.json`` holds; raises :class:`SystemExit` for a file that is none."""
    try:
        entries = read_json(path)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read ({error}); give --assets as --help says") from None
    if not isinstance(entries, dict) or not entries:
        raise SystemExit(f"{path} names no photographs; give --assets as --help says")
    return entries
