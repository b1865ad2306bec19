from __future__ import annotations

import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions
from clipgaze_sdk.faces.landmarks import FaceObservation
from clipgaze_sdk.faces.tracks import FaceTracks, box_iou, box_share, distinct_faces, is_plausible
from clipgaze_sdk.geometry import FACE_MODEL_MM, box_from_landmarks

SIZE = (640, 480)
OPTIONS = EstimatorOptions(max_faces=3, min_presence=0.5)


def face(x: float, y: float, *, height: float = 100.0, presence: float = 0.9) -> FaceObservation:
    landmarks = FACE_MODEL_MM[:, :2] * height / 140.0 + (x, y)
    return FaceObservation(
        landmarks_px=landmarks,
        irises_px=landmarks[[36, 45]],
        openness=np.ones(2),
        presence=presence,
        box_px=box_from_landmarks(landmarks),
    )


def ids(tracks: FaceTracks) -> list[int]:
    return [track.track_id for track in tracks.tracks]


def test_overlap_golden() -> None:
    first = np.array([0.0, 0.0, 10.0, 10.0])
    assert box_iou(first, first) == 1.0
    assert box_iou(first, np.array([5.0, 0.0, 15.0, 10.0])) == pytest.approx(1 / 3)
    assert box_iou(first, np.array([10.0, 0.0, 20.0, 10.0])) == 0.0
    assert box_iou(first, np.array([3.0, 3.0, 3.0, 3.0])) == 0.0


def test_share_of_the_smaller_box_golden() -> None:
    first = np.array([0.0, 0.0, 10.0, 10.0])
    assert box_share(first, np.array([2.0, 2.0, 4.0, 4.0])) == 1.0
    assert box_share(np.array([8.0, 0.0, 12.0, 4.0]), first) == pytest.approx(0.5)
    assert box_share(first, np.array([20.0, 0.0, 30.0, 10.0])) == 0.0


def test_an_eye_taken_for_a_face_is_no_second_face() -> None:
    seen = [face(300, 200, height=160, presence=0.95), face(280, 170, height=30, presence=0.9)]
    assert [f.presence for f in distinct_faces(seen, SIZE, OPTIONS)] == [0.95]


@pytest.mark.parametrize(("share", "count"), [(0.65, 2), (0.75, 1), (0.9, 1)])
def test_a_small_face_that_lies_mostly_in_another_is_a_part_of_it(share: float, count: int) -> None:
    large, small = face(300, 200, height=160), face(300, 200, height=40, presence=0.8)
    # Moved to the right until so much of its box is left in the other's.
    inside = share * (small.box_px[2] - small.box_px[0])
    moved = face(300 + large.box_px[2] - inside - small.box_px[0], 200, height=40, presence=0.8)
    assert box_share(moved.box_px, large.box_px) == pytest.approx(share, abs=0.01)
    assert box_iou(moved.box_px, large.box_px) < 0.1
    assert len(distinct_faces([large, moved], SIZE, OPTIONS)) == count


def test_identities_count_up_and_are_not_used_again() -> None:
    tracks = FaceTracks(OPTIONS)
    tracks.add([face(100, 200), face(300, 200)])
    assert ids(tracks) == [0, 1]
    tracks.follow([face(102, 201), face(300, 200, presence=0.1)], SIZE)
    assert ids(tracks) == [0]
    tracks.add([face(300, 200)])
    assert ids(tracks) == [0, 2]
    tracks.clear()
    tracks.add([face(100, 200)])
    assert ids(tracks) == [3]


def test_no_more_than_max_faces() -> None:
    tracks = FaceTracks(OPTIONS)
    tracks.add([face(80 + 130 * i, 200) for i in range(5)])
    assert ids(tracks) == [0, 1, 2]


def test_two_tracks_on_one_face_become_the_older() -> None:
    tracks = FaceTracks(OPTIONS)
    tracks.add([face(100, 200), face(250, 200)])
    tracks.follow([face(170, 200), face(175, 200)], SIZE)
    assert ids(tracks) == [0]


def test_detections_of_followed_faces_are_known() -> None:
    tracks = FaceTracks(OPTIONS)
    tracks.add([face(100, 200)])
    boxes = np.stack([face(110, 205).box_px, face(400, 200).box_px])
    assert tracks.unknown(boxes) == [1]
    assert tracks.unknown(np.zeros((0, 4))) == []


def test_distinct_faces_keeps_the_most_certain() -> None:
    seen = [face(100, 200, presence=0.6), face(105, 200, presence=0.95), face(300, 200)]
    kept = distinct_faces(seen, SIZE, OPTIONS)
    assert [f.presence for f in kept] == [0.95, 0.9]


@pytest.mark.parametrize(
    "seen",
    [
        face(100, 200, presence=0.29),
        face(100, 200, presence=-1.0),
        face(100, 200, height=10),
        face(-40, 200),
        face(700, 200),
        face(100, 550),
    ],
)
def test_implausible_faces(seen: FaceObservation) -> None:
    assert not is_plausible(seen, SIZE, OPTIONS)
    tracks = FaceTracks(OPTIONS)
    tracks.add([face(100, 200)])
    tracks.follow([seen], SIZE)
    assert ids(tracks) == []


def test_a_face_that_hovers_around_the_least_presence_keeps_its_identity() -> None:
    tracks = FaceTracks(OPTIONS)
    hovering = [face(100, 200, presence=p) for p in (0.55, 0.45, 0.31, 0.52, 0.4)]
    for seen in hovering:
        tracks.follow([seen] * len(tracks.tracks), SIZE)
        tracks.add(distinct_faces([seen], SIZE, OPTIONS))
        assert ids(tracks) == [0]
    assert not is_plausible(face(100, 200, presence=0.49), SIZE, OPTIONS)
    tracks.follow([face(100, 200, presence=0.29)], SIZE)
    tracks.add(distinct_faces([face(100, 200, presence=0.49)], SIZE, OPTIONS))
    assert ids(tracks) == []


@pytest.mark.parametrize("seen", [face(500, 200), face(100, 200, height=250)])
def test_faces_do_not_leap(seen: FaceObservation) -> None:
    tracks = FaceTracks(OPTIONS)
    tracks.add([face(100, 200)])
    tracks.follow([seen], SIZE)
    assert ids(tracks) == []
