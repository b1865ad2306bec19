"""The second frozen set: recognised by its labels, with a floor that is what cannot be known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clipgaze_sdk.geometry import angle_between, vector_from_angles
from train.eval.frozen_2 import (
    FROZEN_2,
    MEAN_KAPPA_RAD,
    PARTS,
    floor_errors,
    floor_lines,
    part_of,
    with_mean_kappa,
)
from train.synth.domains import domain
from train.synth.outputs.plan import resolve_domains
from train.synth.outputs.shards import Sample


@pytest.fixture(scope="module")
def sample(studio):
    picture = studio.picture(913, 3, domain("independent"))
    return Sample("913-3", [picture.rgb], None, json.loads(json.dumps(picture.record)))


def changed(sample, **labels):
    return Sample(sample.key, sample.frames, None, sample.labels | labels)


def test_every_part_is_defined():
    written = json.loads(FROZEN_2.read_text())["parts"]
    assert [part.name for part in PARTS] == list(written)
    for part in PARTS:
        one = written[part.name]
        assert one["command"] == part.command
        assert (one["seed"], one["count"]) == (part.seed, part.count)
        assert one["domains"] == [d.name for d in resolve_domains(part.domain)]
        assert part.count % (8 * len(one["domains"])) == 0  # every domain alike, people whole
        assert len(one["labels_sha256"]) == 64
        assert sum(one["eyes"].values()) == pytest.approx(1, abs=1e-3)
        assert sum(one["bins"]["eyes"].values()) == part.count
        for floor in one["floor_deg"].values():
            for mean, rms, most in floor.values():
                assert 0 < mean <= rms < most < 20
    assert abs(written["independent"]["gaze_pitch_on_head_pitch"]) < 0.1
    assert written["heads_back"]["gaze_pitch_on_head_pitch"] < -0.1
    assert written["independent"]["eyes"]["visible"] > 0.8


def test_parts_are_recognised_by_their_labels(tmp_path):
    written = json.loads(FROZEN_2.read_text())["parts"]
    path = tmp_path / "manifest.json"
    assert part_of(tmp_path) is None
    path.write_text(json.dumps({"labels_sha256": written["independent"]["labels_sha256"]}))
    assert part_of(tmp_path) == "independent"
    (every, seen) = floor_lines(tmp_path)
    assert f"{written['independent']['floor_deg']['all']['kappa'][0]}°" in every
    assert "visible" in seen
    path.write_text(json.dumps({"labels_sha256": "0" * 64}))
    assert part_of(tmp_path) is None
    assert floor_lines(tmp_path) == []


def test_whoever_is_as_most_people_and_whose_camera_is_known_leaves_no_error(sample, monkeypatch):
    monkeypatch.setattr("train.eval.frozen_set.assumed_matrix", lambda _, matrix: matrix)
    errors = floor_errors(changed(sample, kappa_rad=list(MEAN_KAPPA_RAD)))
    assert errors == pytest.approx({"kappa": 0.0, "focal_length": 0.0, "both": 0.0}, abs=1e-4)


def test_unknown_kappa_turns_the_gaze_by_as_much(sample):
    nasal, up = MEAN_KAPPA_RAD
    seen = [*[1] * 68, 1, 1]
    other = changed(sample, kappa_rad=[nasal + 0.03, up + 0.02], visible=seen)
    assert floor_errors(other)["kappa"] == pytest.approx(np.degrees(0.02), abs=1e-4)
    # With one iris, how far to the nose the line of sight lies counts too.
    head = np.array(sample.labels["camera_from_head"])
    sides = []
    for eyes in ([1, 0], [0, 1]):
        one = other.labels | {"visible": [*[1] * 68, *eyes]}
        turned = head.T @ with_mean_kappa(one, np.array(one["gaze"]))
        gaze = head.T @ np.array(one["gaze"])
        sides.append(np.arctan2(turned[0], -turned[2]) - np.arctan2(gaze[0], -gaze[2]))
    assert sides == pytest.approx([-0.03, 0.03])  # away from the nose, to the person's right, left


def test_a_wrong_focal_length_costs_what_crops_say(studio):
    """The angle between a crop's gaze as the wrong camera turns it and as the pixels show it."""
    chosen = domain("independent")
    found = []
    for index in range(6):
        crop = studio.crop(913, index, chosen)
        labels = json.loads(json.dumps(crop.picture.record))
        angle = angle_between(vector_from_angles(crop.gaze), vector_from_angles(crop.sight_gaze))
        error = floor_errors(Sample("", [crop.picture.rgb], None, labels))["focal_length"]
        assert error == pytest.approx(float(np.degrees(angle)), abs=1e-3)
        found.append(error)
    assert max(found) > 0.3
    assert min(found) < 1e-3
