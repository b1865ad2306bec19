"""Pictures of one's own: whole frames of a camera and where somebody looked, as a CSV file tells.

``samples.csv`` has a column ``image`` (a path from the folder), and either ``target_x_mm``,
``target_y_mm``, ``target_z_mm``, the point that was looked at in the camera's frame (x right, y
down, z forward), or ``pitch_rad``, ``yaw_rad``, the gaze in the camera's frame; a column ``person``
where there are several.  The camera is in ``camera.yaml`` (OpenCV's or ROS's), or it is given by
its horizontal field of view, ``own:PATH?fov=60``.

The SDK finds the face (of several the largest) and its pose; gaze starts at the face centre, and
picture and label are normalised as for the bundled network: ``g_n = R g``, without scaling.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from clipgaze_sdk import Camera, ClipGazeError, EstimatorOptions, FaceResult, GazeEstimator
from clipgaze_sdk.geometry import angles_from_vector, vector_from_angles
from train.commands import announce
from train.data.layouts import chosen_people, told
from train.data.samples import (
    MOST_PITCH,
    MOST_YAW,
    DataError,
    GazeDataset,
    Pixels,
    Problem,
    Table,
)
from train.synth.outputs.normalization import NORMALIZATION, sampled

SAMPLES, CAMERA = "samples.csv", "camera.yaml"
TARGET = ("target_x_mm", "target_y_mm", "target_z_mm")
ANGLES = ("pitch_rad", "yaw_rad")
MOST_PICTURES = 5000
"""Their crops are kept in memory, 150 kB each."""
NOBODY = "me"
"""The person where no column tells."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Crop:
    """One face as the network sees it, with its labels in the crop's camera."""

    picture: Pixels
    gaze: Doubles
    head: Doubles


class Own(GazeDataset):
    """Crops that are cut when it is opened, by the SDK's bundled detector and landmarks."""

    layout = (
        f"{SAMPLES} with the columns image and {', '.join(TARGET)} (or {', '.join(ANGLES)}), the "
        f"pictures, and {CAMERA}"
    )

    def __init__(
        self,
        root: Path,
        *,
        people: Sequence[str] | None = None,
        strict: bool = False,
        fov: float | None = None,
    ) -> None:
        """``fov`` is the horizontal field of view in degrees, where there is no camera.yaml."""
        self._root = root
        rows = _rows(root / SAMPLES)
        persons = [row.get("person") or NOBODY for row in rows]
        names = chosen_people("own", dict.fromkeys(persons), people)
        camera, options = _camera(root, fov)
        problems: list[Problem] = []
        crops: list[_Crop] = []
        numbers, lines = [], []
        announce(f"finding faces in {len(rows)} pictures")
        bar = tqdm(list(zip(rows, persons, strict=True)), disable=None, unit="picture", leave=False)
        try:
            with GazeEstimator(camera=camera, options=options) as estimator:
                for line, (row, person) in enumerate(bar, 2):
                    if person not in names:
                        continue
                    try:
                        crops.append(_crop(root, row, estimator))
                    except (ValueError, ClipGazeError) as error:
                        problems.append(Problem(str(root / SAMPLES), line, str(error)))
                        continue
                    numbers.append(names.index(person))
                    lines.append(line)
        except ClipGazeError as error:
            raise DataError(f"own: the SDK cannot find faces here: {error}") from None
        told("own", problems, strict)
        if not crops:
            raise DataError(f"own: no usable picture in {root}; the first: {problems[0]}")
        table = Table(
            np.array([crop.gaze for crop in crops], np.float32),
            np.array(numbers, np.int64),
            np.array([crop.head for crop in crops], np.float32),
        )
        super().__init__("own", names, table, strict=strict, problems=problems)
        self._crops = np.stack([crop.picture for crop in crops])
        self._lines = lines
        self._files = [root / rows[line - 2]["image"] for line in lines]

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return (root / SAMPLES).is_file()

    def _picture(self, row: int) -> Pixels:
        return np.asarray(self._crops[row], np.uint8)

    def where(self, index: int) -> tuple[str, int | str]:
        """The CSV file and the line in it."""
        return str(self._root / SAMPLES), self._lines[index]

    def files(self) -> list[Path]:
        """The CSV file, the pictures and the camera's file."""
        camera = self._root / CAMERA
        return [self._root / SAMPLES, *self._files, *([camera] if camera.is_file() else [])]


def _rows(path: Path) -> list[dict[str, str]]:
    """Lines of the CSV file by column; raises :class:`DataError` for one without the columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
            columns = [name.strip() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}); expected UTF-8") from None
    told_by = [names for names in (TARGET, ANGLES) if set(names) <= set(columns)]
    if "image" not in columns or len(told_by) != 1:
        raise DataError(
            f"{path} has the columns {', '.join(columns) or 'none'}; expected image, and either "
            f"{', '.join(TARGET)} or {', '.join(ANGLES)} (person besides, where there are several)"
        )
    if not 1 <= len(rows) <= MOST_PICTURES:
        raise DataError(
            f"{path} has {len(rows)} lines after the header; expected 1 to {MOST_PICTURES}"
        )
    return rows


def _camera(root: Path, fov: float | None) -> tuple[Camera | None, EstimatorOptions]:
    """The folder's camera, or options that assume one; raises :class:`DataError` for neither."""
    # Averaged, since a data set is read once: its crops are to be as steady as can be.
    options = EstimatorOptions(threads=torch.get_num_threads(), flip_augment=True)
    path = root / CAMERA
    try:
        if path.is_file() and fov is None:
            return Camera.load(path), options
        if fov is not None and not path.is_file():
            return None, replace(options, horizontal_fov_deg=fov)
    except ClipGazeError as error:
        raise DataError(f"own: {error}") from None
    if fov is not None:
        raise DataError(f"{path} says what the camera is, and fov={fov:g} too; give one of them")
    raise DataError(
        f"{root} has no {CAMERA}, without which nobody knows where a face is; put the calibration "
        f"there, or give the camera's horizontal field of view in degrees: own:{root}?fov=60"
    )


def _crop(root: Path, row: Mapping[str, str], estimator: GazeEstimator) -> _Crop:
    """The crop of a line; raises :class:`ValueError` or the SDK's error for what cannot be."""
    numbers = _numbers(row)
    path = root / row["image"]
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    image: Any = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ValueError(f"{path} does not decode as a picture")
    result = estimator.estimate(image)
    if not result.faces:
        raise ValueError(f"{path}: no face was found; leave it out, or take one in better light")
    rgb = np.ascontiguousarray(image[..., ::-1])
    return _normalized(rgb, result.faces[0], result.camera, numbers)


def _normalized(rgb: Pixels, face: FaceResult, camera: Camera, numbers: Doubles) -> _Crop:
    """The crop of a face; ``numbers`` (3,) target in millimetres or (2,) pitch and yaw."""
    pose = face.head_pose
    center = pose.translation_mm
    gaze = numbers - center if len(numbers) == len(TARGET) else vector_from_angles(numbers)
    if np.linalg.norm(gaze) < 1.0 and len(numbers) == len(TARGET):
        raise ValueError("the target is at the face itself; expected where it looked")
    turn = NORMALIZATION.rotation(center, pose.camera_from_head)
    warp = NORMALIZATION.image_from_crop(camera, center, turn)
    ahead = pose.camera_from_head @ np.array([0.0, 0.0, -1.0])
    return _Crop(
        sampled(rgb, warp, NORMALIZATION.size_px),
        np.asarray(angles_from_vector(turn @ (gaze / np.linalg.norm(gaze)))),
        np.asarray(angles_from_vector(turn @ ahead)),
    )


def _numbers(row: Mapping[str, str]) -> Doubles:
    """The target (3,) or the angles (2,) of a line; raises :class:`ValueError` for neither."""
    names = TARGET if TARGET[0] in row else ANGLES
    try:
        values = [float(row[name]) for name in names]
    except (KeyError, ValueError):
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        found = ", ".join(row.get(name, "nothing") or "nothing" for name in names)
        raise ValueError(f"{', '.join(names)} are {found}; expected numbers")
    if names is ANGLES and (abs(values[0]) > MOST_PITCH or abs(values[1]) > MOST_YAW):
        raise ValueError(f"pitch_rad and yaw_rad are {values}; expected radians, not degrees")
    return np.array(values)
