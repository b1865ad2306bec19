"""The SDK on photographs of real people: ``python -m train.photos --assets DIR --out DIR``.

Development figures only: no network is trained on a photograph, and the references in
``photos.json`` are other programs' outputs, not truth.  Measures faces found, the sign of pitch and
yaw against the reference where it is beyond 10°, and what mirroring a picture does.  Writes
annotated pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import EstimatorOptions, FaceResult, GazeEstimator, draw_result

BEYOND_DEG = 10.0
NAMES = {"right_eye_outer": 36, "right_eye_inner": 39, "left_eye_inner": 42, "left_eye_outer": 45}


def iou(a: Any, b: Any) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(np.subtract(high, low), 0)))
    areas = [float((x[2] - x[0]) * (x[3] - x[1])) for x in (a, b)]
    return common / max(sum(areas) - common, 1e-6)


def match(faces: tuple[FaceResult, ...], box: list[float]) -> FaceResult | None:
    """The face that overlaps a reference box most, if by at least 0.3."""
    best = max(faces, key=lambda f: iou(f.bbox_px, box), default=None)
    return best if best is not None and iou(best.bbox_px, box) >= 0.3 else None


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
            if "peer_gaze" in reference:
                row["peer_pitch_deg"] = float(np.degrees(reference["peer_gaze"]["pitch_rad"]))
                row["peer_yaw_deg"] = float(np.degrees(reference["peer_gaze"]["yaw_rad"]))
        if face is not None and other is not None:
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


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.photos", description=__doc__)
    parser.add_argument("--assets", type=Path, required=True, help="photos/, photos.json, no_face/")
    parser.add_argument("--models", type=Path, help="folder of models; default the bundled ones")
    parser.add_argument("--out", type=Path, help="folder for annotated pictures and report.json")
    args = parser.parse_args()
    entries = json.loads((args.assets / "photos.json").read_text())
    rows: list[dict[str, Any]] = []
    with GazeEstimator(args.models, options=EstimatorOptions(max_faces=32)) as estimator:
        for name, entry in entries.items():
            image = cv2.imread(str(args.assets / "photos" / name))
            if image is None:
                raise SystemExit(f"{args.assets / 'photos' / name} cannot be read")
            rows += photograph(estimator, name, np.asarray(image, np.uint8), entry)
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                picture = draw_result(np.asarray(image, np.uint8), estimator.estimate(image))
                cv2.imwrite(str(args.out / f"{Path(name).stem}.png"), picture)
        false = 0
        empty = sorted((args.assets / "no_face").glob("*"))
        for path in empty:
            false += len(estimator.estimate(cv2.imread(str(path))).faces)
    figures = report(rows) | {"false_faces": f"{false} in {len(empty)} pictures without a face"}
    print(json.dumps(figures, indent=2))
    if args.out:
        (args.out / "report.json").write_text(
            json.dumps({**figures, "rows": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
