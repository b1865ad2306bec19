"""Sheets of eyes and faces: what is cut, what stays, and where irises come back to."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk import Camera, EstimatorOptions, GazeEstimator, ModelError
from clipgaze_sdk.faces.eye_sheet import EyeSheet, eye_middles
from clipgaze_sdk.faces.hysteresis import EYE_TOLERANCE, TOLERANCE, Crop, CropHysteresis
from clipgaze_sdk.faces.sampling import sample_crops
from clipgaze_sdk.geometry import FACE_MODEL_MM
from tests.fake_networks import EYE_OPENNESS, draw_faces, write_eye_networks

SHEET = EyeSheet((72, 48), (32, 48), (224, 224), 4, 16)
SIZE = {"width": 208, "height": 48}
EYES = np.array([[70.25, 80.5], [150.75, 83.0]])
BLUE, RED = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def eye_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_networks(tmp_path_factory.mktemp("eye_models"))


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cut(image: NDArray[np.uint8], crop: Crop) -> NDArray[np.float32]:
    """One sheet (3, 48, 208) in [0, 255], in the image's own order of channels."""
    places = SHEET.image_from_parts(crop)[None]
    options = {"mean": (0, 0, 0), "std": (1 / 255,) * 3, "color": "rgb", "parts": SHEET.parts}
    return sample_crops(image, places, **SIZE, **options)[0]


def test_a_sheet_by_hand() -> None:
    """Of a crop that is the image: pixels of the eyes, and means of 4 x 4 pixels of the face."""
    image = noise(224, 224)
    eyes = np.array([[70.5, 80.5], [150.5, 83.5]])  # so that patches lie on whole pixels
    sheet = cut(image, Crop(np.eye(3), eyes_px=eyes))
    rows = image.transpose(2, 0, 1).astype(float)
    np.testing.assert_allclose(sheet[:, :, :72], rows[:, 57:105, 35:107], atol=0.05)
    np.testing.assert_allclose(sheet[:, :, 104:176], rows[:, 60:108, 115:187][..., ::-1], atol=0.05)
    means = rows[:, 16:208].reshape(3, 48, 4, 56, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(sheet[:, :, 72:104], means[:, :, :32], atol=0.05)
    np.testing.assert_allclose(sheet[:, :, 176:], means[:, :, ::-1][:, :, :32], atol=0.05)


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.7, 2.6, 6.0])
def test_near_and_far_faces_have_the_same_sheet(scale: float) -> None:
    """A smooth face, larger or smaller in its image: where pixels shrink, areas are averaged."""
    smooth = cv2.GaussianBlur(noise(224, 224), (0, 0), 9)
    smooth = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    side = round(224 * scale)
    image = np.asarray(cv2.resize(smooth, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    ratio = side / 224
    maps = np.diag([ratio, ratio, 1.0])
    maps[:2, 2] = (ratio - 1) / 2
    in_image = (EYES + 0.5) * ratio - 0.5
    fine = np.random.default_rng(1).integers(-40, 40, image.shape) if scale > 2 else 0
    image = np.clip(image + fine, 0, 255).astype(np.uint8)
    expected = cut(np.asarray(smooth, np.uint8), Crop(np.eye(3), eyes_px=EYES))
    off = np.abs(cut(image, Crop(maps, eyes_px=in_image)) - expected)[:, 2:-2]
    assert off.mean() < (3.0 if scale <= 2 else 6.0)
    assert off[..., 72:104].mean() < 2.0  # of which each pixel sees four times as much


def test_the_mirrored_image_has_the_sides_swapped() -> None:
    image = noise(300, 400)
    maps = np.array([[1.3, 0.2, 40], [-0.2, 1.3, 60], [1e-4, 5e-5, 1]])
    flip = np.array([[-1.0, 0, 399], [0, 1, 0], [0, 0, 1]])
    flop = np.array([[-1.0, 0, 223], [0, 1, 0], [0, 0, 1]])
    eyes = np.array([[150.0, 160.0], [250.0, 150.0]])
    mirrored = Crop(flip @ maps @ flop, eyes_px=eyes[::-1] * (-1, 1) + (399, 0))
    sheet = cut(image, Crop(maps, eyes_px=eyes))
    other = cut(np.ascontiguousarray(image[:, ::-1]), mirrored)
    np.testing.assert_allclose(np.roll(other, 104, axis=-1), sheet, atol=0.15)


def test_points_of_patches_come_back_to_the_image() -> None:
    maps = np.array([[1.3, 0.2, 40], [-0.2, 1.3, 60], [1e-4, 5e-5, 1]])
    eyes = np.array([[150.0, 160.0], [250.0, 150.0]])
    places = SHEET.image_from_parts(Crop(maps, eyes_px=eyes))[None]
    middles = np.full((1, 2, 2), (35.5, 23.5))
    np.testing.assert_allclose(SHEET.in_image(middles, places)[0], eyes, atol=1e-9)
    right = SHEET.in_image(middles + (4.0, 0.0), places)[0]  # the left eye's patch is mirrored
    assert right[0, 0] > eyes[0, 0] + 3
    assert right[1, 0] < eyes[1, 0] - 3


def painted(size: tuple[int, int], center: tuple[float, float], dots: NDArray[np.float64]):
    """A face whose irises are blue dots at pixels (2, 2) of the image."""
    image = draw_faces(size, [center])
    y, x = np.mgrid[: size[1], : size[0]]
    for dot in dots:
        inside = np.clip(3.5 - np.hypot(x - dot[0], y - dot[1]), 0, 1)[..., None]
        image = np.round(image * (1 - inside) + inside * BLUE).astype(np.uint8)
    return image


def eyes_of(center: tuple[float, float]) -> NDArray[np.float64]:
    """Where a fake face's eyes are, (2, 2) pixels."""
    flat = FACE_MODEL_MM[:, :2]
    low, high = flat.min(axis=0), flat.max(axis=0)
    placed = (flat - (low + high) / 2) / (high - low).max() * 96 + np.array(center)
    return eye_middles(placed)


@pytest.mark.parametrize("flip_augment", [False, True])
@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_irises_come_back_to_the_pixel_they_were_put_at(
    eye_models: Path, flip_augment: bool, color: str
) -> None:
    options = EstimatorOptions(threads=1, flip_augment=flip_augment, color=color)
    with GazeEstimator(eye_models, options=options) as estimator:
        for off in ([[0, 0], [0, 0]], [[4, -2], [-3, 1.5]]):
            dots = eyes_of((300, 220)) + off
            image = painted((640, 480), (300, 220), dots)
            image = image if color == "bgr" else np.ascontiguousarray(image[..., ::-1])
            (face,) = estimator.estimate(image).faces
            np.testing.assert_allclose(face.irises_px, dots, atol=0.3)
            np.testing.assert_allclose(face.eye_openness, EYE_OPENNESS if not flip_augment else 0.5)


def test_a_batch_keeps_each_face_its_own_eyes(eye_models: Path) -> None:
    centers = [(200.0, 240.0), (430.0, 200.0)]
    dots = [eyes_of(center) + k for k, center in enumerate(centers)]
    both = np.minimum(*[painted((640, 480), c, d) for c, d in zip(centers, dots, strict=True)])
    alone = [painted((640, 480), *pair) for pair in zip(centers, dots, strict=True)]
    both = np.where(np.arange(640)[None, :, None] < 315, *alone)
    with GazeEstimator(eye_models, options=EstimatorOptions(threads=1)) as estimator:
        results = estimator.estimate_batch([both, alone[1]])
    assert [len(result.faces) for result in results] == [2, 1]
    for face in (face for result in results for face in result.faces):
        nearest = int(face.bbox_px[0] > 300)
        np.testing.assert_allclose(face.irises_px, dots[nearest], atol=0.3)


@pytest.mark.parametrize("factor", [np.nan, np.inf, 1e30])
def test_points_that_are_none_are_those_of_the_landmark_network(
    tmp_path: Path, factor: float
) -> None:
    models = write_eye_networks(tmp_path, factor=factor)
    with GazeEstimator(models, options=EstimatorOptions(threads=1)) as estimator:
        eyes = eyes_of((300, 220))
        (face,) = estimator.estimate(painted((640, 480), (300, 220), eyes)).faces
    np.testing.assert_allclose(face.irises_px, eyes, atol=4)


@pytest.mark.parametrize(
    "center", [(0, 240), (640, 240), (25, 240), (320, 0), (320, 470), (12, 12)]
)
def test_faces_half_outside_have_finite_numbers(
    eye_models: Path, center: tuple[float, float]
) -> None:
    image = draw_faces((640, 480), [center])
    with GazeEstimator(eye_models, options=EstimatorOptions(threads=1, min_presence=0.01)) as made:
        for result in (made.estimate(image), made.estimate(image, timestamp_s=0.0)):
            for face in result.faces:
                assert np.isfinite(face.irises_px).all()
                assert np.isfinite(face.eye_openness).all()
                assert np.isfinite(face.gaze.vector).all()


def hold(*shifts: tuple[float, float]) -> list[Crop]:
    """What is kept of a face whose crop moves by the first number, and eyes by the second."""
    crops, kept = CropHysteresis((100, 100)), []
    diagonal = 99 * 2**0.5
    for crop_shift, eye_shift in shifts:
        maps = np.eye(3)
        maps[0, 2] = crop_shift * TOLERANCE * diagonal
        eyes = EYES + ([[eye_shift * EYE_TOLERANCE * diagonal, 0], [0, 0]])
        kept += crops.choose([(1, Crop(maps, eyes_px=eyes))])
    return kept


def test_eyes_stay_while_they_are_near() -> None:
    first, *later = hold((0, 0), (0.5, 0.9), (-0.5, -0.9))
    assert all(crop is first for crop in later)


def test_an_eye_that_moved_is_cut_anew_in_the_crop_that_stays() -> None:
    first, second, third = hold((0, 0), (0.5, 1.1), (0.5, 0.5))
    assert second.image_from_crop is first.image_from_crop
    assert second.eyes_px[0, 0] > first.eyes_px[0, 0]
    np.testing.assert_array_equal(second.eyes_px[1], first.eyes_px[1])
    assert third is second


def test_a_crop_that_moved_takes_its_eyes_along() -> None:
    first, second = hold((0, 0), (1.1, 0.5))
    assert second.eyes_px[0, 0] > first.eyes_px[0, 0]


def test_a_trembling_face_has_the_same_sheet(eye_models: Path) -> None:
    """Noise moves its landmarks; of the same pixels comes the same gaze."""
    rng = np.random.default_rng(0)
    image = painted((640, 480), (300, 220), eyes_of((300, 220)))
    with GazeEstimator(eye_models, options=EstimatorOptions(threads=1)) as estimator:
        for time in range(6):
            noisy = image.copy()
            noisy[rng.integers(150, 300, 30), rng.integers(230, 380, 30)] = 60
            estimator.estimate(noisy, timestamp_s=float(time))
            kept = estimator._gaze_crops._last[0]
            if time == 1:  # the first frame's face was looked at twice
                first = kept
        assert kept is first


def change_card(folder: Path, **changes: object) -> Path:
    path = write_eye_networks(folder) / "gaze.json"
    card = json.loads(path.read_text())
    card["preprocessing"] |= changes
    path.write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "two_eyes"}, "the layout 'two_eyes'; expected 'eye_sheet', or none"),
        ({"layout": 3}, "the layout 3"),
        ({"eye_px": [70, 48]}, r"eyes of \[70, 48\] px and halves of a face of \[32, 48\] px"),
        ({"face_px": [32, 40]}, r"halves of a face of \[32, 40\] px"),
        ({"eye_px": [72]}, r"eye_px = \[72\]; expected 2 number"),
        ({"crop_px": None}, "crop_px = None"),
        ({"face_shrink": 0}, "face_shrink = 0; expected 1 number"),
        ({"face_top_px": 1e9}, "face_top_px"),
    ],
)
def test_a_card_that_makes_no_sheet_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        GazeEstimator(change_card(tmp_path, **changes))


def test_nv12_and_large_frames(eye_models: Path) -> None:
    """A camera's own colours, and a face so near that its parts are shrunk first."""
    dots = eyes_of((300, 220))
    bgr = painted((640, 480), (300, 220), dots)
    large = np.asarray(cv2.resize(bgr, (5120, 3840), interpolation=cv2.INTER_AREA), np.uint8)
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420))
    chroma = i420[480:].reshape(2, -1)
    nv12 = np.ascontiguousarray(np.vstack([i420[:480], chroma.T.reshape(240, 640)]))
    for image, color, scale in ((nv12, "nv12", 1), (large, "bgr", 8)):
        camera = Camera.from_fov(640 * scale, 480 * scale, horizontal_fov_deg=60)
        options = EstimatorOptions(threads=1, color=color)
        with GazeEstimator(eye_models, options=options, camera=camera) as estimator:
            (face,) = estimator.estimate(image).faces
        found = (face.irises_px + 0.5) / scale - 0.5
        np.testing.assert_allclose(found, dots, atol=0.4)
