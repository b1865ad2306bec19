"""The renderer's profile."""

from __future__ import annotations

import pytest

from train.synth.outputs import bench
from train.synth.outputs import studio as studio_module
from train.synth.outputs.bench import STAGES, profile


def test_a_profile_charges_each_stage_and_leaves_nothing_behind(
    studio, facekit_folder, monkeypatch
):
    monkeypatch.setattr(bench, "Studio", lambda _, **__: studio)
    before = studio_module.normalized
    spent = profile(facekit_folder, "meeting", 3, 2)
    assert spent.keys() == STAGES.keys()
    assert list(spent.values()) == sorted(spent.values(), reverse=True)
    assert spent["skin"] > 1
    assert 10 < sum(spent.values()) < 2000
    assert studio.crop.__func__ is studio_module.Studio.crop
    assert studio_module.normalized is before


def test_fewer_crops_than_processes_are_refused(facekit_folder):
    with pytest.raises(SystemExit, match="1 crops for 2 processes"):
        bench.bench(facekit_folder, "meeting", count=1, workers=2, each=24)
