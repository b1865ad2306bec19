"""What a caller does to a result changes nothing in the estimator, and no other field."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk import BackendError, Camera, EstimatorOptions, FrameResult, GazeEstimator
from tests.fake_networks import draw_faces

PORTRAIT = Path(__file__).parents[2] / "samples" / "media" / "portrait.jpg"
LENS = Camera(
    np.array([[600.0, 1, 310], [0, 610, 250], [0, 0, 1]]), [0.1, 0, 0, 0], size_px=(640, 480)
)


def arrays(value: object, name: str = "result") -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array in a dataclass, whatever it is nested in."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from arrays(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from arrays(item, f"{name}[{index}]")


@pytest.fixture(scope="module")
def results(fake_models: Path) -> list[FrameResult]:
    """Of single images, of a batch, of a stream, of a given camera; real and fake networks."""
    image = draw_faces((640, 480), [(200, 200), (430, 300)])
    with GazeEstimator(fake_models, options=EstimatorOptions(threads=1)) as made:
        found = [made.estimate(image), *made.estimate_batch([image, image])]
        found += [made.estimate(image, timestamp_s=t / 30, camera=LENS) for t in range(2)]
    with GazeEstimator(options=EstimatorOptions(threads=1)) as made:
        found.append(made.estimate(cv2.imread(str(PORTRAIT))))
    return found


def test_every_array_of_a_result_is_read_only(results: list[FrameResult]) -> None:
    for result in results:
        assert len(result.faces) == 2
        names = [name for name, _ in arrays(result)]
        assert len(names) >= 2 + 2 * 8  # of the camera, and of each face
        for name, array in arrays(result):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            assert array.flags.owndata, name


def test_no_two_fields_share_memory(results: list[FrameResult]) -> None:
    for result in results:
        for (one, first), (other, second) in itertools.combinations(arrays(result), 2):
            assert not np.shares_memory(first, second), (one, other)
    clocks = [result.timings_ms for result in results]
    assert all(a is not b for a, b in itertools.combinations(clocks, 2))


def test_what_is_done_to_a_result_does_not_reach_the_tracker(fake_models: Path) -> None:
    """A caller who scales boxes for a small preview, and lifts the ban on writing for it."""
    image = draw_faces((640, 480), [(200, 200)])
    seen = []
    with GazeEstimator(fake_models, options=EstimatorOptions(threads=1)) as made:
        for index in range(4):
            result = made.estimate(image, timestamp_s=index / 30)
            seen.append((result.faces[0].track_id, result.detector_ran))
            for _, array in arrays(result.faces):
                array.flags.writeable = True
                array *= 0.5
    assert seen == [(0, True), (0, False), (0, False), (0, False)]


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
)
def test_copies_and_pickles_are_read_only_too(
    again: Callable[[Any], Any], results: list[FrameResult]
) -> None:
    for value in (LENS, results[0], results[-1].faces[0], results[-1].faces[0].head_pose):
        other = again(value)
        assert other.to_dict() == value.to_dict()
        for (name, first), (_, second) in zip(arrays(value), arrays(other), strict=True):
            assert first.dtype == second.dtype
            assert not second.flags.writeable, name


def test_the_arrays_that_a_camera_is_made_of_stay_the_callers() -> None:
    matrix, distortion = LENS.matrix.copy(), LENS.distortion.copy()
    camera = Camera(matrix, distortion, size_px=(640, 480))
    matrix[0, 0], distortion[0] = 1.0, 9.0
    assert camera.to_dict() == LENS.to_dict()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_estimator_cannot_be_copied_and_says_what_to_do(
    again: Callable[[Any], Any], fake_models: Path
) -> None:
    with (
        GazeEstimator(fake_models) as made,
        pytest.raises(BackendError, match=r"pickled or copied.*make one in each process"),
    ):
        again(made)
