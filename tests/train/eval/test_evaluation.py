"""The frozen evaluation set and the figures that are taken on it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from clipgaze_sdk.geometry import angle_between, vector_from_angles
from train.eval.bundled_networks import summary
from train.eval.frozen_set import (
    BINS,
    COUNT,
    FROZEN,
    SEED,
    angular_errors,
    binned,
    describe,
    disturbed,
    is_frozen,
    samples,
)
from train.front.crops import GAZE
from train.synth.domains import domain
from train.synth.outputs.plan import resolve_domains
from train.synth.outputs.records import eye_state
from train.synth.outputs.shards import Sample


@pytest.fixture(scope="module")
def sample(studio):
    picture = studio.picture(SEED, 3, domain("laptop"))
    labels = json.loads(json.dumps(picture.record))
    return Sample("x", [picture.rgb], None, labels)


def test_the_frozen_set_is_large_and_covers_its_bins():
    frozen = json.loads(FROZEN.read_text())
    assert frozen["count"] == COUNT >= 6000
    assert frozen["seed"] == SEED
    assert frozen["domains"] == [d.name for d in resolve_domains("all")]
    assert len(frozen["labels_sha256"]) == 64
    for table in frozen["bins"].values():
        assert sum(table.values()) == COUNT
        assert min(table.values()) >= 250, "a bin with fewer says nothing"
    assert set(BINS) < set(frozen["bins"])


def test_other_pictures_are_not_the_frozen_set(tmp_path):
    assert not is_frozen(tmp_path)
    (tmp_path / "manifest.json").write_text('{"labels_sha256": "00"}')
    assert not is_frozen(tmp_path)
    (tmp_path / "manifest.json").write_text(FROZEN.read_text())
    assert is_frozen(tmp_path)
    with pytest.raises(FileNotFoundError, match="python -m"):
        next(samples(tmp_path))


def test_angles_between_pairs():
    a = np.array([[0.0, 0.0], [0.1, 0.3], [0.0, -0.5]])
    b = np.array([[0.0, 0.2], [0.1, 0.3], [0.4, 0.5]])
    expected = [
        math.degrees(angle_between(vector_from_angles(p), vector_from_angles(q)))
        for p, q in zip(a, b, strict=True)
    ]
    assert angular_errors(a, b) == pytest.approx(expected, abs=1e-5)


def test_a_sample_goes_to_its_bins(sample):
    row = describe(sample)
    assert row["domain"] == "laptop"
    assert 0 <= row["gaze_deg"] < 90
    table = binned([row | {"e": 3.0}, row | {"e": 5.0}], "e")
    for bins in table.values():
        assert list(bins.values()) == [[4.0, 2]]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "visible"),
        ({"eyes_closed": True}, "closed"),
        ({"factors": {"sunglasses": True}}, "dark glasses"),
        ({"visible": [1] * 69 + [0]}, "half hidden"),
        ({"visible": [1] * 68 + [0, 0]}, "hidden"),
    ],
)
def test_states_of_the_eyes(change, state):
    labels = {"eyes_closed": False, "factors": {"sunglasses": False}, "visible": [1] * 70}
    assert eye_state(labels | change) == state


def test_crops_of_the_evaluation_are_always_the_same(sample):
    (first, gaze), (again, second) = (disturbed(sample, GAZE) for _ in range(2))
    for place, other in zip((*first, gaze), (*again, second), strict=True):
        assert np.array_equal(place, other)
    eyes = np.linalg.inv(first.image_from_crop) @ np.column_stack([first.eyes_px, np.ones(2)]).T
    eyes = (eyes[:2] / eyes[2]).T + (0, 32)  # of the whole crop, where eyes lie about here
    assert abs(eyes - [[61, 76], [162, 76]]).max() < 20
    # The disturbed frame differs from the true line of sight, but not by much.
    assert abs(np.degrees(gaze - sample.labels["gaze_pitch_yaw_rad"])).max() < 45


def test_summary_ranks_by_uncertainty():
    rows = [
        {
            "gaze": float(k),
            "sigma": float(k),
            "eyes": "visible" if k % 2 else "closed",
            "person": str(k),
            "domain": "lab",
            "gaze_deg": 5.0,
            "head_deg": 5.0,
            "face_px": 100.0,
        }
        for k in range(10)
    ]
    out = summary(rows)
    assert out["uncertainty_rank_correlation"] == pytest.approx(1.0)
    assert out["gaze_mean_deg"] == 4.5
    assert out["gaze_mean_eyes_visible_deg"] == 5.0
    assert out["people"] == 10
