"""Pictures of one's own: crops and labels as the SDK would have them, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("lightning", reason="training tests need the extra [train]")

from clipgaze_sdk import Camera, EstimatorOptions, GazeEstimator
from train.data.own import ANGLES, TARGET
from train.data.registry import open_dataset
from train.data.samples import DataError, DataWarning
from train.eval.network_files import NetworkFile
from train.eval.protocol import errors_deg

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "samples" / "media" / "portrait.jpg"
MODEL = ROOT / "sdk" / "clipgaze_sdk" / "models" / "gaze.onnx"
FOV = 50.0

needs_media = pytest.mark.skipif(
    not PICTURE.is_file() or not MODEL.is_file(), reason="samples/media or the models are not here"
)


def write(folder, rows):
    with (folder / "samples.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def row(image, names, values, **more):
    return {"image": image, **dict(zip(names, values, strict=True)), **more}


@pytest.fixture(scope="module")
def seen():
    """A picture of one person, and what the SDK says of it."""
    image = cv2.imread(str(PICTURE))
    with GazeEstimator(
        options=EstimatorOptions(horizontal_fov_deg=FOV, flip_augment=True)
    ) as estimator:
        return image, estimator.estimate(image).faces[0]


@needs_media
def test_labels_and_crops_are_those_of_the_sdk(seen, tmp_path):
    """Labelled with the SDK's own answer, the SDK's network has no error."""
    image, face = seen
    cv2.imwrite(str(tmp_path / "a.png"), image)
    target = face.gaze.origin_mm + 700 * face.gaze.vector
    angles = face.gaze.pitch_rad, face.gaze.yaw_rad
    by_angles = open_dataset(f"own:{write(tmp_path, [row('a.png', ANGLES, angles)])}?fov={FOV}")
    by_target = open_dataset(f"own:{write(tmp_path, [row('a.png', TARGET, target)])}?fov={FOV}")
    np.testing.assert_allclose(by_angles.labels()["gaze"], by_target.labels()["gaze"], atol=1e-5)
    with NetworkFile(MODEL) as network:
        said = network.predict(by_angles)
    assert errors_deg(said.gaze, by_angles.labels()["gaze"])[0] < 0.3
    assert by_angles[0]["image"].shape == (3, 224, 224)


@needs_media
def test_a_mirrored_picture_negates_yaw(seen, tmp_path):
    image, face = seen
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.png"), image[:, ::-1])
    target = face.gaze.origin_mm + 700 * face.gaze.vector
    rows = [row("a.png", TARGET, target), row("b.png", TARGET, target * (-1, 1, 1))]
    labels = open_dataset(f"own:{write(tmp_path, rows)}?fov={FOV}").labels()
    assert labels["gaze"][1] == pytest.approx(labels["gaze"][0] * (1, -1), abs=np.radians(1.5))
    assert labels["head"][1] == pytest.approx(labels["head"][0] * (1, -1), abs=np.radians(1.5))
    assert abs(labels["gaze"][0, 1]) > np.radians(3)


@needs_media
def test_camera_files_people_and_pictures_without_a_face(seen, tmp_path):
    image, face = seen
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "none.png"), np.full((360, 640, 3), 90, np.uint8))
    angles = face.gaze.pitch_rad, face.gaze.yaw_rad
    rows = [
        row("a.png", ANGLES, angles, person="eve"),
        row("none.png", ANGLES, angles, person="eve"),
        row("a.png", ANGLES, (0.1, "x"), person="eve"),
        row("gone.png", ANGLES, angles, person="eve"),
        row("a.png", ANGLES, (10, 20), person="eve"),
        row("a.png", ANGLES, angles, person="bob"),
    ]
    write(tmp_path, rows)
    height, width = image.shape[:2]
    Camera.from_fov(width, height, FOV).save(tmp_path / "camera.yaml")
    with pytest.warns(DataWarning, match="problems: 4"):
        data = open_dataset(f"own:{tmp_path}")
    assert data.counts() == {"eve": 1, "bob": 1}
    why = {p.row: p.why for p in data.problems}
    assert why.keys() == {3, 4, 5, 6}
    assert "no face was found" in why[3]
    assert "pitch_rad, yaw_rad are 0.1, x; expected numbers" in why[4]
    assert "gone.png: No such file" in why[5]
    assert "expected radians, not degrees" in why[6]
    assert data.where(1) == (str(tmp_path / "samples.csv"), 7)
    assert [path.name for path in data.files()] == ["samples.csv", "a.png", "a.png", "camera.yaml"]
    assert len(open_dataset(f"own:{tmp_path}?people=bob")) == 1
    with pytest.raises(DataError, match=r"no face was found.*strict is on"):
        open_dataset(f"own:{tmp_path}", strict=True)
    with pytest.raises(DataError, match="fov=60 too; give one"):
        open_dataset(f"own:{tmp_path}?fov=60")
    # The file says the same field of view as the option.
    known = open_dataset(f"own:{tmp_path}?people=bob").labels()["gaze"]
    (tmp_path / "camera.yaml").unlink()
    assumed = open_dataset(f"own:{tmp_path}?people=bob&fov={FOV}").labels()["gaze"]
    np.testing.assert_allclose(known, assumed, atol=1e-3)


def test_folders_that_cannot_be(tmp_path):
    with pytest.raises(DataError, match=r"not the root of own: expected samples\.csv"):
        open_dataset(f"own:{tmp_path}?fov=60")
    write(tmp_path, [{"image": "a.png", "pitch": 0, "yaw": 0}])
    with pytest.raises(DataError, match="has the columns image, pitch, yaw; expected image, and"):
        open_dataset(f"own:{tmp_path}?fov=60")
    write(tmp_path, [row("a.png", ANGLES, (0, 0))])
    with pytest.raises(DataError, match=r"has no camera\.yaml.*\?fov=60"):
        open_dataset(f"own:{tmp_path}")
    with pytest.raises(DataError, match="fov is 'wide'; expected degrees"):
        open_dataset(f"own:{tmp_path}?fov=wide")
    with pytest.raises(DataError, match="horizontal_fov_deg"):
        open_dataset(f"own:{tmp_path}?fov=400")
    (tmp_path / "samples.csv").write_text("image,pitch_rad,yaw_rad\n")
    with pytest.raises(DataError, match="0 lines after the header; expected 1 to"):
        open_dataset(f"own:{tmp_path}?fov=60")
