"""The SDK on photographs of real people, with intervals over people.

The work of ``python -m train.eval.real``, whose help says what is measured.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipgaze_sdk import Camera, EstimatorOptions, FaceResult, GazeEstimator
from clipgaze_sdk.cli.bench import bench_frame
from clipgaze_sdk.geometry import angle_between
from train.commands import announce
from train.eval.irises import CORNERS, offsets, widths_px
from train.eval.over_people import (
    Measure,
    correlation_of,
    mean_of,
    median_of,
    section,
    slope_of,
    spread_of,
    write_report,
)
from train.photos.detection import read_pictures
from train.photos.gaze import degrees, mirror_angle_deg
from train.photos.peers import sight_from_camera
from train.photos.photographs import match, mirrored_box, read_entries
from train.photos.stability import one_face_photos, photograph_stability, stream_options

Rows = list[dict[str, Any]]
Image = NDArray[np.uint8]

LENS: dict[str, Measure] = {
    "angle_mean_deg": mean_of("angle_deg"),
    "angle_median_deg": median_of("angle_deg"),
    "pitch_bias_deg": mean_of("pitch_deg"),
    "pitch_spread_deg": spread_of("pitch_deg"),
    "yaw_bias_deg": mean_of("yaw_deg"),
    "yaw_spread_deg": spread_of("yaw_deg"),
    "pitch_correlation_with_head": correlation_of("pitch_deg", "head_pitch_deg"),
    "pitch_slope_on_head": slope_of("pitch_deg", "head_pitch_deg"),
}
PUPILS: dict[str, Measure] = {
    "iris_error_median_percent": median_of("error_percent"),
    "iris_error_mean_percent": mean_of("error_percent"),
}
IRISES: dict[str, Measure] = {
    "along_inwards_correlation": correlation_of("inwards", "their_inwards"),
    "along_correlation": correlation_of("along", "their_along"),
    "along_slope": slope_of("along", "their_along"),
    "across_correlation": correlation_of("across", "their_across"),
}
MIRROR: dict[str, Measure] = {
    "mirror_median_deg": median_of("mirror_deg"),
    "mirror_mean_deg": mean_of("mirror_deg"),
}
STILL: dict[str, Measure] = {
    "pitch_tremble_median_deg": median_of("pitch_deg"),
    "yaw_tremble_median_deg": median_of("yaw_deg"),
}


def lens_row(face: FaceResult | None, camera: Camera) -> dict[str, Any]:
    """Gaze and head of someone who looks into the lens, degrees from the line of sight.

    The line of sight goes from the face centre to the camera: pitch and yaw are 0 where the gaze
    is right.
    """
    if face is None:
        return {"missed": 1.0} | dict.fromkeys(
            ("angle_deg", "pitch_deg", "yaw_deg", "head_pitch_deg"), np.nan
        )
    center = face.gaze.origin_mm
    sight = sight_from_camera(camera, camera.project(center[None])[0])
    pitch, yaw = degrees(sight @ face.gaze.vector)
    head_pitch, _ = degrees(sight @ face.head_pose.camera_from_head @ np.array([0.0, 0.0, -1.0]))
    return {
        "missed": 0.0,
        "angle_deg": float(np.degrees(angle_between(face.gaze.vector, -center))),
        "pitch_deg": pitch,
        "yaw_deg": yaw,
        "head_pitch_deg": head_pitch,
    }


def pupil_rows(face: FaceResult | None, pupils_px: ArrayLike) -> Rows:
    """Each eye's iris beside its pupil (2, 2), in % of the width of the eye that the SDK sees."""
    if face is None:
        return [{"missed": 1.0, "error_percent": np.nan}] * 2
    off = np.linalg.norm(face.irises_px - np.asarray(pupils_px, np.float64), axis=1)
    errors = 100 * off / widths_px(face.landmarks_px[np.array(CORNERS)])
    return [{"missed": 0.0, "error_percent": float(error)} for error in errors]


def iris_rows(face: FaceResult | None, points_px: Mapping[str, Sequence[float]]) -> Rows:
    """Each eye's iris between its corners beside MediaPipe's between its own, in eye widths.

    ``along`` grows to the right of an upright picture; ``inwards`` is the same towards the nose.
    """
    names = (("right_eye_outer", "right_eye_inner"), ("left_eye_inner", "left_eye_outer"))
    theirs = offsets(
        [[points_px[name] for name in eye] for eye in names],
        [points_px["right_iris"], points_px["left_iris"]],
    )
    ours = np.full((2, 2), np.nan)
    if face is not None:
        ours = offsets(face.landmarks_px[np.array(CORNERS)], face.irises_px)
    rows = []
    for inward, (along, across), (their_along, their_across) in zip(
        (1, -1), ours.tolist(), theirs.tolist(), strict=True
    ):
        rows.append(
            {
                "missed": float(face is None),
                "along": along,
                "across": across,
                "inwards": inward * along,
                "their_along": their_along,
                "their_across": their_across,
                "their_inwards": inward * their_along,
            }
        )
    return rows


def look_at_lens(
    estimator: GazeEstimator, folder: Path, labels: Sequence[Mapping[str, str]]
) -> dict[str, Rows]:
    """Rows ``lens`` of each picture, and ``pupils`` of each eye whose pupil is known."""
    rows: dict[str, Rows] = {"lens": [], "pupils": []}
    for label in labels:
        ((_, image),) = read_pictures([folder / label["image"]]).items()
        result = estimator.estimate(image)
        face = result.faces[0] if result.faces else None
        who = {"person": label["person"], "look": label["look"]}
        rows["lens"].append(who | lens_row(face, result.camera))
        if label["right_pupil_x"]:
            pupils = [
                [float(label[f"{side}_pupil_{axis}"]) for axis in "xy"]
                for side in ("right", "left")
            ]
            rows["pupils"] += [who | row for row in pupil_rows(face, pupils)]
    return rows


def look_at_photographs(
    estimator: GazeEstimator, images: Mapping[str, Image], entries: Mapping[str, Any]
) -> dict[str, Rows]:
    """Rows ``irises`` of each eye and ``mirror`` of each annotated face; a face is a person."""
    rows: dict[str, Rows] = {"irises": [], "mirror": []}
    for name, image in images.items():
        seen = estimator.estimate(image).faces
        mirrored = estimator.estimate(np.ascontiguousarray(image[:, ::-1])).faces
        for number, reference in enumerate(entries[name]["faces"]):
            if "points_px" not in reference:
                continue
            who = {"person": f"{name} {number}"}
            box = reference["bbox_xyxy_px"]
            face = match(seen, box)
            rows["irises"] += [who | row for row in iris_rows(face, reference["points_px"])]
            other = match(mirrored, mirrored_box(box, image.shape[1]))
            apart = mirror_angle_deg(face, other) if face and other else np.nan
            rows["mirror"].append(who | {"missed": float(np.isnan(apart)), "mirror_deg": apart})
    return rows


def still_rows(
    model: Path | None, assets: Path, names: Sequence[str], *, threads: int
) -> Iterator[dict[str, Any]]:
    """How much pitch and yaw tremble on each photograph of one face, under noise and shifts."""
    with GazeEstimator(model, options=stream_options(threads)) as estimator:
        frames = {name: bench_frame(assets / "photos" / name) for name in names}
        photos = photograph_stability(estimator, frames)["photos"]
    for name in names:
        spread = photos.get(name, {"pitch_deg": np.nan, "yaw_deg": np.nan})
        kept = {axis: spread[axis] for axis in ("pitch_deg", "yaw_deg")}
        yield {"person": name, "missed": float(name not in photos)} | kept


def look(
    model: Path | None, assets: Path, *, threads: int, limit: int | None = None
) -> dict[str, Rows]:
    """All rows of one set of networks; ``limit`` takes the first pictures of each part."""
    entries = dict(list(read_entries(assets / "photos.json").items())[:limit])
    images = read_pictures([assets / "photos" / name for name in entries])
    try:
        with (assets / "lens" / "labels.csv").open(newline="", encoding="utf-8") as file:
            labels = list(csv.DictReader(file))[:limit]
    except OSError as error:
        raise SystemExit(f"{error.filename} cannot be read; give --assets as --help says") from None
    announce(f"{model or 'bundled'}: {len(labels)} into the lens, {len(images)} photographs")
    with GazeEstimator(model, options=EstimatorOptions(max_faces=32, threads=threads)) as estimator:
        rows = look_at_lens(estimator, assets / "lens", labels)
        rows |= look_at_photographs(estimator, images, entries)
    rows["still"] = list(still_rows(model, assets, one_face_photos(entries), threads=threads))
    return rows


def run(args: argparse.Namespace) -> int:
    """Measure as the command says, print figures and write them; returns the exit code."""
    models = [args.model, *([args.against] if args.against else [])]
    each = [look(m, args.assets, threads=args.threads, limit=args.limit) for m in models]

    def told(title: str, part: str, measures: Mapping[str, Measure], by: str | None = None) -> Any:
        return section(title, [rows[part] for rows in each], measures, by=by)

    report = {
        "lens": told("into the lens: gaze from the line of sight", "lens", LENS, "look"),
        "pupils": told("into the lens: irises beside pupils, each eye", "pupils", PUPILS),
        "irises": told("photographs: irises beside MediaPipe's, each eye", "irises", IRISES),
        "mirror": told("photographs: gaze and mirrored gaze", "mirror", MIRROR),
        "still": told("photographs: noise and shifts of half a pixel", "still", STILL),
    }
    write_report(args.json, report, models)
    return 0
