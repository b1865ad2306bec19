"""Two sets of networks in turns: who goes first, what is told, and all of it on few frames."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from train.eval import speed_pairs
from train.eval.pairs import main
from train.eval.speed_pairs import compare_stages, stage_ms
from train.eval.turns import in_turn, ratio_of, read_clip

BUNDLED = Path(__file__).parents[3] / "sdk" / "clipgaze_sdk" / "models"


def test_both_go_first_as_often():
    order: list[str] = []
    old, new = in_turn(lambda: order.append("old"), lambda: order.append("new"), 4)
    assert order == ["new", "old", "old", "new", "new", "old", "old", "new"]
    assert (len(old), len(new)) == (4, 4)


def test_the_ratio_is_that_of_each_round():
    """A machine that is twice as slow in one round changes no ratio."""
    of = ratio_of([2.0, 4.0, 2.0], [3.0, 6.0, 2.0])
    assert of == {"old": 2.0, "new": 3.0, "ratio": 1.5, "least": 1.0, "most": 1.5}


class Fake:
    """Takes 10 ms a frame of which the gaze network takes ``gaze`` and crops 1."""

    def __init__(self, gaze: float) -> None:
        self.gaze = gaze

    def reset(self) -> None:
        self.times: list[float] = []

    def estimate(self, frame: Any, *, timestamp_s: float) -> Any:
        assert timestamp_s not in self.times
        self.times.append(timestamp_s)
        timings = {"normalize": 1.0, "gaze": self.gaze, "total": 10.0 + self.gaze}
        return SimpleNamespace(timings_ms=timings)


def test_stages_of_made_up_times_come_out():
    frames = [np.zeros((2, 2, 3), np.uint8)] * 5
    old, new = Fake(2.0), Fake(5.0)
    told = compare_stages(lambda: stage_ms(old, frames), lambda: stage_ms(new, frames), 3)
    assert told["gaze network"]["ratio"] == 2.5
    assert told["crops and gaze network"]["ratio"] == 2.0
    assert told["whole frame"]["ratio"] == 1.25


@pytest.mark.skipif(
    not speed_pairs.CLIP.exists() or not (BUNDLED / "gaze.onnx").exists(),
    reason="samples/media or the bundled models are not in this checkout",
)
def test_the_bundled_networks_beside_themselves(tmp_path, monkeypatch, capsys):
    assert len(read_clip(speed_pairs.CLIP, 3)) == 3
    monkeypatch.setattr(speed_pairs, "FRAMES", 4)
    monkeypatch.setattr(speed_pairs, "BENCH_FRAMES", 3)
    out = tmp_path / "pairs.json"
    assert main([str(BUNDLED), str(BUNDLED), "--rounds", "3", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    for precision in ("fp32", "int8"):
        for of in report[precision].values():
            assert 0.1 < of["ratio"] < 10
            assert of["least"] <= of["ratio"] <= of["most"]
    assert 50 < report["peak_rss_mb"]["new"] < 500
    assert "int8 gaze network" in capsys.readouterr().out
