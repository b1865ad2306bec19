"""The whole SDK on held-out rendered people: ``python -m train.evaluate --data SHARDS``.

Each picture goes through :class:`clipgaze_sdk.GazeEstimator` with its own camera, as an app would
run it: detector, landmarks, head pose, normalisation, gaze.  Prints a table and writes JSON; with
``--write-cards`` the figures go into the bundled models' cards.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera, EstimatorOptions, FaceResult, GazeEstimator
from clipgaze_sdk.geometry import angle_between, angles_from_vector
from train.crops import Backgrounds, compose, degrade
from train.synth.write import Picture, read_shard

MODELS = Path(__file__).parents[1] / "sdk" / "clipgaze_sdk" / "models"
HEAD_BINS_DEG = (0, 15, 30, 50, 80)
FORWARD = np.array([0.0, 0.0, -1.0])


def evaluate(
    data: Path, models: Path | None, *, limit: int, degraded: bool, threads: int
) -> dict[str, Any]:
    """Figures over the first ``limit`` pictures of the shards in ``data``."""
    options = EstimatorOptions(color="rgb", threads=threads)
    rows: list[dict[str, float]] = []
    pictures = 0
    for shard in sorted(data.glob("shard-*.tar")):
        rng = np.random.default_rng([77, int(shard.stem.rsplit("-", 1)[1])])
        backgrounds = Backgrounds(rng)
        for picture in read_shard(shard):
            if pictures == limit:
                break
            pictures += 1
            image = compose(picture, backgrounds.sample(rng, picture.rgb.shape[0]))
            if degraded:
                image = degrade(rng, image)
            size = (image.shape[1], image.shape[0])
            camera = Camera(np.array(picture.labels["camera_matrix"]), size_px=size)
            with GazeEstimator(models, camera=camera, options=options) as estimator:
                faces = estimator.estimate(image).faces
            face = nearest(faces, picture)
            if face is not None:
                rows.append({**compare(face, picture), "extra": float(len(faces) - 1)})
    if not rows:
        raise SystemExit(f"no face found in {pictures} pictures of {data}: nothing to report")
    return {"pictures": pictures, "found": len(rows) / pictures, **summary(rows)}


def nearest(faces: tuple[FaceResult, ...], picture: Picture) -> FaceResult | None:
    """The face whose landmarks are the picture's, within a third of its size."""
    marks = np.array(picture.labels["landmarks_px"])
    size = float(np.ptp(marks, axis=0).max())
    best = min(faces, key=lambda f: offset(f, marks), default=None)
    return best if best is not None and offset(best, marks) < size / 3 else None


def offset(face: FaceResult, marks: NDArray[np.float64]) -> float:
    """Distance between the middles of a result's landmarks and the true ones."""
    return float(np.linalg.norm(face.landmarks_px.mean(0) - marks.mean(0)))


def compare(face: FaceResult, picture: Picture) -> dict[str, float]:
    """Errors of one face in degrees, and of its landmarks in interocular distances."""
    labels = picture.labels
    truth = np.array(labels["gaze"])
    marks = np.array(labels["landmarks_px"])
    rotation = np.array(labels["camera_from_head"])
    facing = rotation @ FORWARD
    sight = np.array(labels["face_center_mm"])
    eyes = max(float(np.linalg.norm(marks[45] - marks[36])), 0.5 * float(np.ptp(marks[:, 1])))
    return {
        "gaze": float(np.degrees(angle_between(face.gaze.vector, truth))),
        "sigma": float(np.degrees(face.gaze.uncertainty_rad)),
        "head": float(np.degrees(angle_between(face.head_pose.camera_from_head @ FORWARD, facing))),
        "head_as_gaze": float(np.degrees(angle_between(facing, truth))),
        "head_yaw": float(np.degrees(angle_between(facing, -sight / np.linalg.norm(sight)))),
        "landmarks": float(np.linalg.norm(face.landmarks_px - marks, axis=1).mean() / eyes),
        "sunglasses": float(labels["attributes"]["glasses"] == "sunglasses"),
        "closed": float(np.mean(labels["openness"]) < 0.2),
        "yaw_error": float(
            np.degrees(angles_from_vector(face.gaze.vector)[1] - angles_from_vector(truth)[1])
        ),
    }


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Means, medians and bins."""
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    gaze, order = table["gaze"], np.argsort(np.argsort(table["sigma"]))
    seen = (table["sunglasses"] == 0) & (table["closed"] == 0)
    bins = {}
    for low, high in itertools.pairwise(HEAD_BINS_DEG):
        inside = (table["head_yaw"] >= low) & (table["head_yaw"] < high)
        if inside.any():
            bins[f"{low}-{high}"] = [round(float(gaze[inside].mean()), 2), int(inside.sum())]
    return {
        "gaze_mean_deg": float(gaze.mean()),
        "gaze_median_deg": float(np.median(gaze)),
        "gaze_p90_deg": float(np.quantile(gaze, 0.9)),
        "gaze_mean_eyes_visible_deg": float(gaze[seen].mean()),
        "head_direction_as_gaze_mean_deg": float(table["head_as_gaze"].mean()),
        "head_pose_mean_deg": float(table["head"].mean()),
        "landmark_error_of_interocular": float(table["landmarks"].mean()),
        "gaze_mean_by_head_angle_deg": bins,
        "uncertainty_rank_correlation": float(
            np.corrcoef(order, np.argsort(np.argsort(gaze)))[0, 1]
        ),
        "false_faces_per_picture": float(table["extra"].mean()),
    }


def write_cards(report: dict[str, Any], models: Path) -> None:
    """Put the figures that belong to each network into its card."""
    shares = {
        "gaze": [k for k in report if k.startswith(("gaze", "uncertainty"))],
        "face_landmarks": ["landmark_error_of_interocular", "head_pose_mean_deg"],
        "face_detector": ["found", "false_faces_per_picture"],
    }
    for name, keys in shares.items():
        path = models / f"{name}.json"
        card = json.loads(path.read_text())
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in report.items()}
        card["figures"]["rendered_people_held_out"] = {
            "pictures": report["pictures"],
            **{k: rounded[k] for k in keys},
        }
        path.write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="held-out shards")
    parser.add_argument("--models", type=Path, help="folder of models; default the bundled ones")
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--degraded", action="store_true", help="with noise, blur and JPEG")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for the report")
    parser.add_argument("--write-cards", action="store_true")
    args = parser.parse_args()
    report = evaluate(
        args.data, args.models, limit=args.limit, degraded=args.degraded, threads=args.threads
    )
    report["machine"] = f"{platform.machine()}, {args.threads} threads"
    report["degraded"] = args.degraded
    for key, value in report.items():
        print(f"{key:34} {round(value, 3) if isinstance(value, float) else value}")
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    if args.write_cards:
        write_cards(report, args.models or MODELS)


if __name__ == "__main__":
    main()
