from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk import (
    BackendError,
    Camera,
    ClipGazeError,
    ConfigurationError,
    EstimatorOptions,
    FaceResult,
    FrameResult,
    GazeEstimator,
    InputError,
    ModelError,
)
from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.backends.onnx_runtime import OnnxRuntimeBackend
from clipgaze_sdk.faces import crop_network
from clipgaze_sdk.geometry import angle_between, vector_from_angles
from clipgaze_sdk.models.files import ModelFile
from tests.fake_networks import draw_faces, write_card, write_networks

STAGES = {"detect", "landmarks", "pose", "normalize", "gaze", "total"}


@pytest.fixture(scope="module")
def estimator(fake_models: Path) -> Iterator[GazeEstimator]:
    with GazeEstimator(fake_models, options=EstimatorOptions(threads=1)) as made:
        yield made


def assert_same(first: FrameResult, second: FrameResult) -> None:
    one, other = first.to_dict(), second.to_dict()
    one.pop("timings_ms")
    other.pop("timings_ms")
    assert json.dumps(one) == json.dumps(other)


def centre(face: FaceResult) -> tuple[float, float]:
    x, y = face.landmarks_px.mean(axis=0)
    return float(x), float(y)


def test_every_field_has_its_type_and_shape(estimator: GazeEstimator) -> None:
    result = estimator.estimate(draw_faces((640, 480), [(200, 200), (430, 300)]))
    assert len(result.faces) == 2
    assert result.image_size_px == (640, 480)
    assert result.camera_is_assumed
    assert result.camera.matrix[0, 0] == pytest.approx(320 / np.tan(np.radians(30)))
    assert result.timestamp_s is None
    assert result.detector_ran
    assert set(result.timings_ms) == STAGES
    assert all(value > 0 for value in result.timings_ms.values())
    for face in result.faces:
        assert face.track_id is None
        assert 0.9 < face.confidence <= 1.0
        shapes = {
            "bbox_px": (4,),
            "landmarks_px": (68, 2),
            "irises_px": (2, 2),
            "eye_openness": (2,),
        }
        for name, shape in shapes.items():
            value = getattr(face, name)
            assert value.shape == shape
            assert value.dtype == np.float32
        assert face.gaze.vector.dtype == face.gaze.origin_mm.dtype == np.float64
        assert np.linalg.norm(face.gaze.vector) == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(
            vector_from_angles([face.gaze.pitch_rad, face.gaze.yaw_rad]),
            face.gaze.vector,
            atol=1e-12,
        )
        np.testing.assert_array_equal(face.gaze.origin_mm, face.head_pose.translation_mm)
        assert face.gaze.uncertainty_rad == pytest.approx(0.1)
        assert face.gaze.origin_mm[2] > 0
        assert face.eye_openness.tolist() == pytest.approx([0.8, 0.6])  # the person's right first
    found = sorted(centre(face) for face in result.faces)
    # The mean of the landmarks is a little above the middle of their box.
    np.testing.assert_allclose(np.array(found)[:, 0], (200, 430), atol=3)
    np.testing.assert_allclose(np.array(found)[:, 1], (200, 300), atol=12)
    parsed = json.loads(json.dumps(result.to_dict()))
    assert parsed["faces"][0]["gaze"]["pitch_rad"] == result.faces[0].gaze.pitch_rad
    assert parsed["camera"]["size_px"] == [640, 480]


def test_mirrored_images_negate_yaw(estimator: GazeEstimator) -> None:
    image = draw_faces((640, 480), [(200, 200)])
    image[200:230, 150:200] = 120
    (face,) = estimator.estimate(image).faces
    (other,) = estimator.estimate(np.ascontiguousarray(image[:, ::-1])).faces
    assert other.gaze.yaw_rad == pytest.approx(-face.gaze.yaw_rad, abs=0.01)
    assert other.gaze.pitch_rad == pytest.approx(face.gaze.pitch_rad, abs=0.01)
    assert other.head_pose.yaw_rad == pytest.approx(-face.head_pose.yaw_rad, abs=0.01)
    assert other.head_pose.roll_rad == pytest.approx(-face.head_pose.roll_rad, abs=0.01)
    assert abs(face.gaze.yaw_rad) > 0.05


def test_the_bytes_of_a_model_go_once_it_is_loaded(
    fake_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> list[str]:
        return sorted(o.path.stem for o in gc.get_objects() if type(o) is ModelFile)

    seen: list[list[str]] = []

    def loading(model: ModelFile, *, threads: int) -> object:
        seen.append(held())
        return load_backend(model, threads=threads)

    before = held()
    monkeypatch.setattr(crop_network, "load_backend", loading)
    with GazeEstimator(fake_models):
        assert seen == [sorted([*before, "face_landmarks", "gaze"]), sorted([*before, "gaze"])]
        assert held() == before


def test_nobody_in_view(estimator: GazeEstimator) -> None:
    for image in (np.zeros((480, 640, 3), np.uint8), np.full((3, 5, 3), 200, np.uint8)[:1, :1]):
        result = estimator.estimate(image)
        assert result.faces == ()
        assert result.detector_ran
        assert result.timings_ms["gaze"] == 0.0
        assert json.loads(json.dumps(result.to_dict()))["faces"] == []


@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 900), (31, 33)])
def test_odd_sizes(estimator: GazeEstimator, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert estimator.estimate(image).image_size_px == size


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "image is None.*cv2.imread returns None"),
        ("photo.jpg", "image is a str.*cv2.imread"),
        ([[1, 2, 3]], "image is a list"),
        (np.zeros((4, 4, 3), np.float32), "dtype float32; expected uint8.*astype"),
        (np.zeros((4, 4, 3), np.uint16), "dtype uint16"),
        (np.zeros((4, 4), np.uint8), "GRAY2BGR"),
        (np.zeros((4, 4, 4), np.uint8), "alpha"),
        (np.zeros((3, 4, 5), np.uint8), "Put the colour channels last"),
        (np.zeros((2, 4, 4, 3), np.uint8), "estimate_batch"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((4, 0, 3), np.uint8), "empty"),
        (np.zeros((1, 40_000, 3), np.uint8), "at most 32768 pixels"),
    ],
)
def test_bad_images(estimator: GazeEstimator, image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimator.estimate(image)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"images\[1\]: image "):
        estimator.estimate_batch([np.zeros((4, 4, 3), np.uint8), image])  # type: ignore[list-item]


def test_read_only_and_strided_arrays_are_fine(estimator: GazeEstimator) -> None:
    image = draw_faces((640, 480), [(300, 240)])
    expected = estimator.estimate(image)
    locked = image.copy()
    locked.flags.writeable = False
    assert_same(estimator.estimate(locked), expected)
    wide = np.zeros((480, 1280, 3), np.uint8)
    wide[:, ::2] = image
    assert_same(estimator.estimate(wide[:, ::2]), expected)
    assert_same(estimator.estimate(np.asfortranarray(image)), expected)
    assert_same(estimator.estimate(image[:, ::-1][:, ::-1]), expected)
    np.testing.assert_array_equal(image, locked)


def test_colour_orders_agree(fake_models: Path, estimator: GazeEstimator) -> None:
    image = draw_faces((640, 480), [(300, 240)])
    image[..., 0] //= 2
    expected = estimator.estimate(image)
    options = EstimatorOptions(color="rgb", threads=1)
    with GazeEstimator(fake_models, options=options) as rgb:
        assert_same(rgb.estimate(np.ascontiguousarray(image[:, :, ::-1])), expected)


def test_nv12(fake_models: Path, estimator: GazeEstimator) -> None:
    bgr = draw_faces((640, 480), [(300, 240)])
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420))
    nv12 = np.vstack([i420[:480], i420[480:].reshape(2, -1).T.reshape(240, 640)])
    options = EstimatorOptions(color="nv12", threads=1)
    with GazeEstimator(fake_models, options=options) as yuv:
        result = yuv.estimate(nv12)
        assert result.image_size_px == (640, 480)
        (face,), (expected,) = result.faces, estimator.estimate(bgr).faces
        np.testing.assert_allclose(face.landmarks_px, expected.landmarks_px, atol=1.0)
        assert np.degrees(angle_between(face.gaze.vector, expected.gaze.vector)) < 0.5
        assert len(yuv.estimate_batch([nv12, nv12])) == 2
        with pytest.raises(InputError, match=r"color=\"nv12\""):
            yuv.estimate(bgr)


# ------------------------------------------------------------------------------------------ batches


def test_a_batch_gives_what_single_images_give(estimator: GazeEstimator) -> None:
    images: list[NDArray[np.uint8]] = [
        draw_faces((640, 480), [(200, 200), (420, 300)]),
        np.zeros((100, 50, 3), np.uint8),
        draw_faces((640, 360), [(320, 180)]),
        *[draw_faces((640, 480), [(100 + 40 * i, 240)]) for i in range(8)],
    ]
    results = estimator.estimate_batch(images)
    assert [len(result.faces) for result in results] == [2, 0, 1, *[1] * 8]
    for image, result in zip(images, results, strict=True):
        single = estimator.estimate(image)
        assert single.image_size_px == result.image_size_px
        for face, other in zip(single.faces, result.faces, strict=True):
            np.testing.assert_allclose(face.landmarks_px, other.landmarks_px, atol=1e-2)
            assert float(angle_between(face.gaze.vector, other.gaze.vector)) < 1e-3


def test_batches_of_other_kinds(estimator: GazeEstimator) -> None:
    image = draw_faces((640, 480), [(300, 240)])
    assert estimator.estimate_batch([]) == []
    assert len(estimator.estimate_batch(np.stack([image, image]))) == 2  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"pass \[image\]"):
        estimator.estimate_batch(image)  # type: ignore[arg-type]


@pytest.mark.parametrize("timestamp_s", [None, 0.0])
def test_what_is_no_face_does_not_take_the_place_of_one(
    fake_models: Path, timestamp_s: float | None
) -> None:
    image = draw_faces((640, 480), [(200, 240)])
    image[image == 255] = 140
    image[224:256, 448:480] = 153  # the better detection, yet its landmarks say that none is there
    options = EstimatorOptions(threads=1, max_faces=1, min_face_px=1.0)
    with GazeEstimator(fake_models, options=options) as made:
        (face,) = made.estimate(image, timestamp_s=timestamp_s).faces
    assert centre(face)[0] == pytest.approx(200, abs=10)


# ------------------------------------------------------------------------------------------- camera


def test_a_given_camera_is_scaled_to_the_image(fake_models: Path) -> None:
    camera = Camera.from_fov(1280, 960, 80.0)
    with GazeEstimator(fake_models, camera=camera) as made:
        result = made.estimate(draw_faces((640, 480), [(300, 240)]))
        assert not result.camera_is_assumed
        assert result.camera.size_px == (640, 480)
        assert result.camera.matrix[0, 0] == pytest.approx(camera.matrix[0, 0] / 2)
        with pytest.raises(InputError, match="640x360 px but the camera is for 1280x960"):
            made.estimate(np.zeros((360, 640, 3), np.uint8))
        with pytest.raises(InputError, match=r"images\[1\]: the image is 640x360 px"):
            made.estimate_batch([np.zeros((h, 640, 3), np.uint8) for h in (480, 360)])


def test_an_image_may_have_a_camera_of_its_own(fake_models: Path) -> None:
    image = draw_faces((640, 480), [(320, 240)])
    own = Camera.from_fov(1280, 960, 90.0)
    with GazeEstimator(fake_models) as made:
        assumed, known, again = (
            made.estimate(image, camera=camera) for camera in (None, own, None)
        )
        followed = [made.estimate(image, timestamp_s=float(t), camera=own) for t in range(2)]
        with pytest.raises(InputError, match="640x360 px but the camera is for 1280x960"):
            made.estimate(np.zeros((360, 640, 3), np.uint8), camera=own)
        with pytest.raises(ConfigurationError, match="camera is a float"):
            made.estimate(image, camera=60.0)  # type: ignore[arg-type]
    said = [r.camera_is_assumed for r in (assumed, known, again, *followed)]
    assert said == [True, False, True, False, False]
    assert known.camera.matrix == pytest.approx(own.scaled_to(640, 480).matrix)
    assert known.faces[0].gaze.origin_mm[2] < assumed.faces[0].gaze.origin_mm[2]
    assert again.faces[0].gaze.origin_mm == pytest.approx(assumed.faces[0].gaze.origin_mm)
    assert followed[1].faces[0].track_id == followed[0].faces[0].track_id


def test_a_wider_field_of_view_is_a_nearer_face(fake_models: Path) -> None:
    image = draw_faces((640, 480), [(320, 240)])
    distances = []
    for fov in (40.0, 90.0):
        options = EstimatorOptions(horizontal_fov_deg=fov)
        with GazeEstimator(fake_models, options=options) as made:
            distances.append(made.estimate(image).faces[0].gaze.origin_mm[2])
    expected = np.tan(np.radians(45)) / np.tan(np.radians(20))
    assert distances[0] / distances[1] == pytest.approx(expected, rel=0.05)


# --------------------------------------------------------------------------------- life and threads


def test_close_is_idempotent_and_final(fake_models: Path) -> None:
    made = GazeEstimator(fake_models)
    made.close()
    made.close()
    image = np.zeros((8, 8, 3), np.uint8)
    for call in (
        lambda: made.estimate(image),
        lambda: made.estimate_batch([image]),
        lambda: made.reset(),
        lambda: made.__enter__(),
    ):
        with pytest.raises(ClipGazeError, match="closed"):
            call()


def test_threads_sharing_an_estimator_get_serial_results(estimator: GazeEstimator) -> None:
    images = [draw_faces((640, 480), [(120 + 50 * i, 200 + 10 * i)]) for i in range(8)]
    expected = [estimator.estimate(image) for image in images]
    found: list[FrameResult | None] = [None] * 24
    start = threading.Barrier(8)

    def work(worker: int) -> None:
        start.wait()
        for round_ in range(3):
            found[8 * round_ + worker] = estimator.estimate(images[worker])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, result in enumerate(found):
        assert result is not None
        assert_same(result, expected[index % 8])


def test_cards_are_at_hand(estimator: GazeEstimator) -> None:
    assert set(estimator.cards) == {"face_detector", "face_landmarks", "gaze"}
    assert estimator.cards["gaze"].licence == "Apache-2.0"
    assert estimator.options.threads == 1


def test_wrong_kinds_of_arguments(fake_models: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"options is a dict; expected EstimatorOptions"):
        GazeEstimator(fake_models, options={"threads": 1})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"camera is a str.*Camera\.load"):
        GazeEstimator(fake_models, camera="camera.yaml")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"model is a EstimatorOptions; expected the path"):
        GazeEstimator(EstimatorOptions())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="does not exist"):
        GazeEstimator("no-such-file.onnx")
    with pytest.raises(TypeError, match="verbose"):
        GazeEstimator(fake_models, verbose=True)  # type: ignore[call-arg]


def test_what_was_loaded_is_closed_if_the_rest_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_networks(tmp_path)
    (tmp_path / "gaze.onnx").write_bytes(b"not a model")
    write_card(tmp_path / "gaze.onnx", "gaze")
    closed = []
    monkeypatch.setattr(OnnxRuntimeBackend, "close", lambda self: closed.append(self))
    with pytest.raises(ModelError, match="cannot load"):
        GazeEstimator(tmp_path)
    assert len(closed) == 2


# ---------------------------------------------------------------------------------- broken networks


@pytest.mark.parametrize("task", ["face_landmarks", "gaze"])
def test_numbers_that_are_none_leave_the_face_out(task: str, tmp_path: Path) -> None:
    write_networks(tmp_path, broken=(task,))
    image = draw_faces((640, 480), [(300, 240)])
    for call in (
        lambda made: [made.estimate(image)],
        lambda made: made.estimate_batch([image] * 9),
        lambda made: [made.estimate(image, timestamp_s=0.0)],
    ):
        with GazeEstimator(tmp_path) as made:
            with pytest.warns(RuntimeWarning, match="not finite") as said:
                assert all(result.faces == () for result in call(made))
            assert [warning.filename for warning in said] == [__file__]  # the caller's line
            assert made.estimate(image).faces == ()  # said once


def test_a_detector_of_nothing_but_nan_finds_nobody(tmp_path: Path) -> None:
    write_networks(tmp_path, broken=("face_detector",))
    with GazeEstimator(tmp_path) as made:
        assert made.estimate(draw_faces((640, 480), [(300, 240)])).faces == ()


def test_a_detector_whose_card_has_other_strides(tmp_path: Path) -> None:
    write_networks(tmp_path)
    card = json.loads((tmp_path / "face_detector.json").read_text())
    card["preprocessing"]["strides"] = [8, 16]
    write_card(
        tmp_path / "face_detector.onnx", "face_detector", preprocessing=card["preprocessing"]
    )
    with (
        GazeEstimator(tmp_path) as made,
        pytest.raises(BackendError, match=r"cannot be decoded.*[^.]\. Check the strides"),
    ):
        made.estimate(draw_faces((640, 480), [(300, 240)]))


@pytest.mark.parametrize(
    ("task", "key"),
    [("face_detector", "long_side_px"), ("face_landmarks", "crop_scale"), ("gaze", "focal_px")],
)
def test_a_card_without_a_number_is_refused_at_once(task: str, key: str, tmp_path: Path) -> None:
    write_networks(tmp_path)
    card = json.loads((tmp_path / f"{task}.json").read_text())
    del card["preprocessing"][key]
    write_card(tmp_path / f"{task}.onnx", task, preprocessing=card["preprocessing"])
    with pytest.raises(ModelError, match=rf"preprocessing\.{key}"):
        GazeEstimator(tmp_path)


@pytest.mark.parametrize("side_px", [0, 0.5, -640, 10**6])
def test_a_card_with_an_impossible_side_is_refused_at_once(side_px: float, tmp_path: Path) -> None:
    write_networks(tmp_path)
    numbers = json.loads((tmp_path / "face_detector.json").read_text())["preprocessing"]
    numbers["long_side_px"] = side_px
    write_card(tmp_path / "face_detector.onnx", "face_detector", preprocessing=numbers)
    with pytest.raises(ModelError, match=r"preprocessing\.long_side_px = .*between 1 and 16384"):
        GazeEstimator(tmp_path)


@pytest.mark.parametrize("task", ["face_detector", "face_landmarks", "gaze"])
def test_a_card_that_would_divide_by_zero_is_refused_at_once(task: str, tmp_path: Path) -> None:
    write_networks(tmp_path)
    numbers = json.loads((tmp_path / f"{task}.json").read_text())["preprocessing"]
    write_card(tmp_path / f"{task}.onnx", task, preprocessing={**numbers, "std": [1.0, 0.0, 1.0]})
    with pytest.raises(ModelError, match=r"preprocessing\.std = .*between 1e-06 and 100"):
        GazeEstimator(tmp_path)
