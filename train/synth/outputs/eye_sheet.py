"""Eye patches as a network sees them, beside real people's, with figures of both.

``python -m train.synth preview --eyes``.  A patch is 45 by 30 mm of the normalised face crop, 1.6
pixels a millimetre, around the middle of an eye's corners.  Rendered people have the landmarks that
run time would find (true ones with errors); real people have the SDK's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import GazeEstimator
from clipgaze_sdk.faces.eye_sheet import eye_middles
from train.synth.outputs.normalization import NORMALIZATION, moved_points, sampled
from train.synth.outputs.plan import domain_of
from train.synth.outputs.preview import save_sheet
from train.synth.outputs.records import Floats
from train.synth.outputs.studio import PICTURES_PER_PERSON, Studio
from train.synth.variety import Domain

Pixels = NDArray[np.uint8]

PATCH_PX = (72, 48)
"""Width and height."""
LEAST_FACE_PX = 110.0
"""Real faces with fewer pixels across 140 mm are left out: nothing of their eyes is sharp."""
EYES = (((36, 39), (37, 41), (38, 40)), ((42, 45), (43, 47), (44, 46)))
"""Landmarks of the corners, then pairs of upper and lower lid, of the person's right and left."""
QUANTILES = (5, 25, 50, 75, 95)
FIGURES = {
    "brightness": ((0.0, 255.0), 1),
    "contrast": ((0.0, 80.0), 1),
    "noise": ((0.0, 10.0), 2),
    "opening": ((0.0, 0.5), 3),
}
"""What is measured of a patch, with its histogram's ends and the digits that are said."""
GAP_PX = 24
SCALE = 3
"""Enlargement of the sheet."""
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(slots=True)
class EyePatch:
    """One eye and how it measures."""

    rgb: Pixels
    """(48, 72, 3)."""
    figures: dict[str, float]
    """By name of :data:`FIGURES`: brightness is the mean (0 to 255), contrast the standard
    deviation, noise a pixel's as estimated, opening the lids' distance over the eye's width."""


def noise_of(grey: Floats) -> float:
    """Standard deviation of noise, from what a Laplacian leaves of a picture.

    After Immerkaer (Fast Noise Variance Estimation, CVIU 1996), with the median in place of the
    mean, so that an eye's edges count little.
    """
    left = cv2.filter2D(grey, -1, _LAPLACIAN)[1:-1, 1:-1]
    return float(1.4826 * np.median(np.abs(left)) / 6.0)


def patches_of(crop: Pixels, landmarks_px: Floats) -> list[EyePatch]:
    """Both eyes of a normalised crop (224, 224, 3), of (68, 2) landmarks in its pixels."""
    width, height = PATCH_PX
    padded = np.pad(crop, ((height, height), (width, width), (0, 0)), mode="edge")
    out = []
    for middle, (corners, *lids) in zip(eye_middles(landmarks_px), EYES, strict=True):
        x, y = (round(float(v)) for v in middle)
        left, top = np.clip((x + width // 2, y + height // 2), 0, (224 + width, 224 + height))
        patch = np.ascontiguousarray(padded[top : top + height, left : left + width])
        grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float64)
        across = np.linalg.norm(landmarks_px[corners[0]] - landmarks_px[corners[1]])
        open_px = np.mean([np.linalg.norm(landmarks_px[a] - landmarks_px[b]) for a, b in lids])
        figures = {
            "brightness": float(grey.mean()),
            "contrast": float(grey.std()),
            "noise": noise_of(grey),
            "opening": float(open_px / max(across, 1.0)),
        }
        out.append(EyePatch(patch, figures))
    return out


def rendered_patches(
    studio: Studio, domains: tuple[Domain, ...], count: int, *, seed: int
) -> list[EyePatch]:
    """``count`` eyes of as many rendered people, the right and the left in turn."""
    out = []
    for number in range(count):
        index = number * (PICTURES_PER_PERSON + 1)
        crop = studio.crop(seed, index, domain_of(domains, "bands", index), band=True)
        out.append(patches_of(crop.rgb, crop.landmarks_px[:68])[number % 2])
    return out


def real_patches(folder: Path, count: int) -> list[EyePatch]:
    """Up to ``count`` eyes of a folder's photographs, spread over them; cut as the SDK cuts.

    Raises :class:`SystemExit` where there is no face.
    """
    paths = [p for p in sorted(folder.glob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    out = []
    with GazeEstimator() as estimator:
        for number, pair in enumerate(_pairs(estimator, _spread(paths, count))):
            out.append(pair[number % 2])
    if not out:
        raise SystemExit(f"no face of {LEAST_FACE_PX:.0f} px or more in the pictures of {folder}")
    return out[:count]


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most ``count`` of the paths, evenly from the first to the last."""
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[k] for k in places.tolist()] if paths else []


def _pairs(estimator: GazeEstimator, paths: Sequence[Path]) -> Iterator[list[EyePatch]]:
    for path in paths:
        image = cv2.imread(str(path))
        if image is None:
            raise SystemExit(f"{path} cannot be read")
        result = estimator.estimate(np.asarray(image, np.uint8))
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        for face in result.faces:
            pose, camera = face.head_pose, result.camera
            focal = float(camera.matrix[0, 0])
            if focal * 140.0 / pose.translation_mm[2] < LEAST_FACE_PX:
                continue
            turn = NORMALIZATION.rotation(pose.translation_mm, pose.camera_from_head)
            warp = NORMALIZATION.image_from_crop(camera, pose.translation_mm, turn)
            crop = sampled(np.asarray(rgb, np.uint8), warp, NORMALIZATION.size_px)
            into_crop = np.asarray(np.linalg.inv(warp), np.float64)
            points = moved_points(face.landmarks_px.astype(np.float64), into_crop)
            yield patches_of(crop, points)


def histogram(values: Sequence[float], ends: tuple[float, float]) -> list[float]:
    """Shares of ten bins between ``ends``; what is beyond counts in the outer ones."""
    counts = np.histogram(np.clip(values, *ends), 10, ends)[0]
    return [round(float(share), 3) for share in counts / max(len(values), 1)]


def report(patches: Sequence[EyePatch]) -> dict[str, dict[str, Any]]:
    """By figure, its :data:`QUANTILES` and a histogram over patches."""
    out: dict[str, dict[str, Any]] = {}
    for name, (ends, digits) in FIGURES.items():
        values = [patch.figures[name] for patch in patches]
        cuts = np.percentile(values, QUANTILES)
        out[name] = {f"p{q}": round(float(v), digits) for q, v in zip(QUANTILES, cuts, strict=True)}
        out[name] |= {"from_to": list(ends), "shares": histogram(values, ends)}
    return out


def sheet_of(patches: Sequence[EyePatch], columns: int, rows: int) -> Pixels:
    """The patches in rows, enlarged; places without one are black."""
    blank = np.zeros((PATCH_PX[1], PATCH_PX[0], 3), np.uint8)
    tiles = [patch.rgb for patch in patches][: rows * columns]
    tiles += [blank] * (rows * columns - len(tiles))
    sheet = np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])
    large = cv2.resize(sheet, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def save_eyes(
    studio: Studio,
    domains: tuple[Domain, ...],
    path: Path,
    *,
    size: tuple[int, int],
    seed: int,
    photographs: Path | None,
) -> None:
    """Write a sheet of ``size`` (columns, rows) rendered eyes and print their figures as JSON.

    With a folder of ``photographs``, as many real eyes stand to the right, and their figures too.
    """
    columns, rows = size
    rendered = rendered_patches(studio, domains, columns * rows, seed=seed)
    sheet = sheet_of(rendered, columns, rows)
    figures = {"rendered": {"eyes": len(rendered)} | report(rendered)}
    if photographs:
        real = real_patches(photographs, columns * rows)
        figures["real"] = {"eyes": len(real)} | report(real)
        gap = np.full((sheet.shape[0], GAP_PX, 3), 255, np.uint8)
        sheet = np.hstack([sheet, gap, sheet_of(real, columns, rows)])
    save_sheet(path, sheet)
    print(json.dumps(figures, indent=1))
