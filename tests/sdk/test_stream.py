"""A stream of frames: following, identities, timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions, FrameResult, GazeEstimator, InputError
from tests.fake_networks import draw_faces

OPTIONS = EstimatorOptions(threads=1, detect_interval=10)
SIZE = (640, 480)


@pytest.fixture
def estimator(fake_models: Path) -> Iterator[GazeEstimator]:
    with GazeEstimator(fake_models, options=OPTIONS) as made:
        yield made


def play(
    estimator: GazeEstimator, frames: list[list[tuple[float, float]]], *, start_s: float = 0.0
) -> list[FrameResult]:
    return [
        estimator.estimate(draw_faces(SIZE, faces), timestamp_s=start_s + index / 30)
        for index, faces in enumerate(frames)
    ]


def ids(result: FrameResult) -> list[int | None]:
    return sorted((face.track_id for face in result.faces), key=lambda i: -1 if i is None else i)


def test_a_moving_face_keeps_its_identity(estimator: GazeEstimator) -> None:
    path = [(120.0 + 8 * i, 240 + 60 * np.sin(i / 6)) for i in range(45)]
    results = play(estimator, [[spot] for spot in path])
    assert [ids(result) for result in results] == [[0]] * 45
    # The detector looks for new faces on every tenth frame, and only then.
    assert [i for i, result in enumerate(results) if result.detector_ran] == [0, 10, 20, 30, 40]
    assert [result.timestamp_s for result in results[:2]] == [0.0, 1 / 30]
    assert results[1].timings_ms["detect"] == 0.0
    for (x, y), result in zip(path, results, strict=True):
        box = result.faces[0].bbox_px
        assert (box[0] + box[2]) / 2 == pytest.approx(x, abs=4)
        assert box[3] == pytest.approx(y + 45, abs=8)


def test_following_agrees_with_single_images(estimator: GazeEstimator) -> None:
    for index in range(5):
        image = draw_faces(SIZE, [(200 + 10 * index, 240)])
        (followed,) = estimator.estimate(image, timestamp_s=float(index)).faces
        (single,) = estimator.estimate(image).faces
        assert single.track_id is None
        np.testing.assert_allclose(followed.landmarks_px, single.landmarks_px, atol=1.0)
        assert followed.gaze.yaw_rad == pytest.approx(single.gaze.yaw_rad, abs=0.03)


def test_two_faces_keep_apart(estimator: GazeEstimator) -> None:
    frames = [[(150.0 + 2 * i, 150.0), (500.0 - 2 * i, 350.0)] for i in range(25)]
    results = play(estimator, frames)
    for result, (first, _) in zip(results, frames, strict=True):
        assert ids(result) == [0, 1]
        upper = min(result.faces, key=lambda face: float(face.bbox_px[1]))
        assert (
            upper.track_id
            == min(results[0].faces, key=lambda face: float(face.bbox_px[1])).track_id
        )
        assert (upper.bbox_px[0] + upper.bbox_px[2]) / 2 == pytest.approx(first[0], abs=4)


def test_a_new_face_is_found_at_the_next_detection(estimator: GazeEstimator) -> None:
    frames = [[(150.0, 150.0)]] * 5 + [[(150.0, 150.0), (450.0, 300.0)]] * 10
    results = play(estimator, frames)
    assert [len(result.faces) for result in results] == [1] * 10 + [2] * 5
    assert ids(results[-1]) == [0, 1]


def test_a_lost_face_is_let_go_and_looked_for_at_once(estimator: GazeEstimator) -> None:
    results = play(estimator, [[(150.0, 150.0)]] * 3 + [[]] * 3 + [[(450.0, 300.0)]] * 3)
    assert [ids(result) for result in results] == [[0]] * 3 + [[]] * 3 + [[1]] * 3
    assert [r.detector_ran for r in results] == [True, False, False, *[True] * 4, False, False]


def test_a_face_that_leaves_through_the_edge_is_let_go(estimator: GazeEstimator) -> None:
    results = play(estimator, [[(560.0 + 10 * i, 240.0)] for i in range(16)])
    assert ids(results[0]) == [0]
    assert ids(results[-1]) == []
    assert all(len(result.faces) <= 1 for result in results)


def test_a_cut_to_another_face_is_another_identity(estimator: GazeEstimator) -> None:
    results = play(estimator, [[(120.0, 150.0)]] * 3 + [[(500.0, 350.0)]] * 2)
    assert [ids(result) for result in results] == [[0]] * 3 + [[1]] * 2


def test_detection_on_every_frame(fake_models: Path) -> None:
    options = EstimatorOptions(threads=1, detect_interval=1)
    with GazeEstimator(fake_models, options=options) as made:
        results = play(made, [[(200.0, 200.0)]] * 4)
    assert all(result.detector_ran for result in results)
    assert [ids(result) for result in results] == [[0]] * 4


def test_max_faces(fake_models: Path) -> None:
    options = EstimatorOptions(threads=1, max_faces=1)
    with GazeEstimator(fake_models, options=options) as made:
        frame = [(150.0, 150.0), (450.0, 300.0)]
        assert [ids(result) for result in play(made, [frame] * 3)] == [[0]] * 3


def test_timestamps_must_increase(estimator: GazeEstimator) -> None:
    image = draw_faces(SIZE, [(200, 200)])
    estimator.estimate(image, timestamp_s=1.0)
    for bad in (1.0, 0.5, float("nan"), float("inf"), "soon"):
        with pytest.raises(InputError, match=r"timestamp_s is .*expected"):
            estimator.estimate(image, timestamp_s=bad)  # type: ignore[arg-type]
    # The stream goes on as if nothing had been.
    result = estimator.estimate(image, timestamp_s=1.1)
    assert ids(result) == [0]
    assert not result.detector_ran


def test_a_bad_frame_does_not_disturb_the_stream(estimator: GazeEstimator) -> None:
    play(estimator, [[(200.0, 200.0)]] * 2)
    with pytest.raises(InputError):
        estimator.estimate(np.zeros((4, 4), np.uint8), timestamp_s=5.0)
    result = estimator.estimate(draw_faces(SIZE, [(202, 200)]), timestamp_s=4.0)
    assert ids(result) == [0]


def test_reset_begins_another_stream(estimator: GazeEstimator) -> None:
    play(estimator, [[(200.0, 200.0)]] * 2, start_s=100.0)
    estimator.reset()
    results = play(estimator, [[(200.0, 200.0)]] * 2)
    assert [ids(result) for result in results] == [[1]] * 2
    assert results[0].detector_ran


def test_single_images_do_not_disturb_the_stream(estimator: GazeEstimator) -> None:
    play(estimator, [[(200.0, 200.0)]] * 2)
    estimator.estimate(draw_faces(SIZE, [(450, 300)]))
    estimator.estimate_batch([draw_faces((320, 240), [])])
    result = estimator.estimate(draw_faces(SIZE, [(202, 200)]), timestamp_s=9.0)
    assert ids(result) == [0]
    assert not result.detector_ran


def test_another_image_size_begins_anew(estimator: GazeEstimator) -> None:
    play(estimator, [[(200.0, 200.0)]] * 2)
    result = estimator.estimate(draw_faces((640, 360), [(200, 200)]), timestamp_s=9.0)
    assert result.detector_ran
    assert ids(result) == [1]


@pytest.mark.speed
def test_a_followed_frame_costs_less_than_half_of_a_single_image(fake_models: Path) -> None:
    """In turns, so that other work on the machine slows both; seen: a tenth."""
    image = draw_faces(SIZE, [(300, 240)])
    followed, alone = [], []
    options = EstimatorOptions(threads=1, detect_interval=10**6)
    with GazeEstimator(fake_models, options=options) as made:
        for index in range(60):
            result = made.estimate(image, timestamp_s=index / 30)
            if not result.detector_ran:
                followed.append(result.timings_ms["total"])
            alone.append(made.estimate(image).timings_ms["total"])
    assert len(followed) == 59
    assert min(followed) < 0.5 * min(alone)
