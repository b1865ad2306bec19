"""Adaptation by few labels: what is drawn, what changes, what is refused, going on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training tests need the extra [train]")

from tests.train.fake_runs import dots, fake_run
from train.eval.protocol import read_card
from train.gaze import adaptation as module
from train.gaze.adapt import main
from train.gaze.adaptation import AdaptError, AdaptOptions, adapt, drawn
from train.gaze.checkpoints import load_model
from train.loop.states import CheckpointError

FEW = {"labels": 12, "draws": 2, "steps": 30}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dots(tmp_path_factory.mktemp("dots"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "run", seed=0)


def test_draws_differ_and_are_the_same_again():
    options = AdaptOptions(labels=20)
    first, second = drawn(200, options, 0), drawn(200, options, 1)
    assert len(np.unique(first)) == 20
    assert first.tolist() == drawn(200, options, 0).tolist() != second.tolist()


@pytest.mark.parametrize("labels", [0, 101])
def test_only_few_labels_are_adaptation(labels):
    with pytest.raises(AdaptError, match=f"{labels} labels; expected 1 to 100"):
        AdaptOptions(labels=labels)


def test_something_is_left_to_test_on(run, data, tmp_path):
    with pytest.raises(AdaptError, match="24 labels of a target of 24 images"):
        adapt(run, data, tmp_path, AdaptOptions(labels=24))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [{"draws": 0}, {"layers": "first"}, {"learning_rate": -1.0}])
def test_other_nonsense_is_refused(bad):
    with pytest.raises(AdaptError, match=next(iter(bad))):
        AdaptOptions(**bad)


def changed_parts(run, folder):
    before, after = load_model(run).state_dict(), load_model(folder).state_dict()
    return {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ("last", {"gaze", "sigma"}),
        ("head", {"gaze", "sigma", "separator"}),
        ("all", {"gaze", "sigma", "separator", "backbone"}),
    ],
)
def test_layers_that_change(layers, parts, run, data, tmp_path):
    steps = 2 if layers == "all" else 30
    adapt(run, data, tmp_path, AdaptOptions(layers=layers, labels=8, draws=1, steps=steps))
    parts = parts | {"projection"} if layers == "all" else parts
    assert changed_parts(run, tmp_path / "draw-0") == parts
    before, after = load_model(run).state_dict(), load_model(tmp_path / "draw-0").state_dict()
    statistics = [k for k in before if "running" in k or "num_batches" in k]
    assert statistics
    assert all(torch.equal(before[k], after[k]) for k in statistics)


def test_labels_are_left_out_of_the_test_and_help(run, data, tmp_path):
    report = adapt(run, data, tmp_path, AdaptOptions(labels=16, draws=3, steps=100))
    assert [d["test_images"] for d in report["draws"]] == [8, 8, 8]
    after = [d["after_deg"] for d in report["draws"]]
    assert report["after_deg"]["mean"] == pytest.approx(np.mean(after))
    assert report["after_deg"]["std"] == pytest.approx(np.std(after, ddof=1))
    # Of a network that knows nothing, only the mean gaze can be learnt.
    assert report["gain_deg"]["mean"] > 0
    assert "drawn 3 times" in (tmp_path / "report.md").read_text()


def test_the_card_tells_what_the_weights_are(run, data, tmp_path):
    adapt(run, data, tmp_path, AdaptOptions(**FEW | {"seed": 3}))
    first, card = read_card(run), read_card(tmp_path / "draw-1")
    assert card["init_sha256"] == first["sha256"] != card["sha256"]
    assert card["trained_on"]["samples"] == 12
    assert 1 < card["trained_on"]["people"] <= 6
    assert card["trained_on"]["signature"] == data.signature()
    assert card["trained_on"]["after"] == first["trained_on"]
    assert card["seed"] == 3
    assert card["command"].startswith("python ")
    assert "commit" in card
    assert card["adapted"]["draw"] == 1


SHIPPED = Path(__file__).parents[3] / "train" / "weights" / "gaze"


@pytest.mark.parametrize("layers", ["last", "head", "all"])
def test_where_nothing_is_learnt_nothing_changes(layers, data, tmp_path):
    """On the network that ships, a twin, whose answer is the mean of two ways."""
    nothing = AdaptOptions(layers=layers, labels=6, draws=2, steps=1, learning_rate=1e-12)
    report = adapt(SHIPPED, data, tmp_path, nothing)
    for draw in report["draws"]:
        assert draw["after_deg"] == pytest.approx(draw["before_deg"], abs=1e-3)


@pytest.mark.parametrize("run", [SHIPPED, None], ids=["shipped", "small"])
@pytest.mark.parametrize("layers", ["head", "all"])
def test_what_is_reported_is_what_the_written_weights_do(layers, run, data, tmp_path):
    from train.eval.protocol import errors_deg, predict

    run = run or fake_run(tmp_path / "run", seed=0)
    options = AdaptOptions(**FEW | {"layers": layers, "steps": 4, "learning_rate": 1e-2})
    report = adapt(run, data, tmp_path, options)
    chosen = drawn(len(data), options, 1)
    test = np.setdiff1d(np.arange(len(data)), chosen)
    assert abs(report["gain_deg"]["mean"]) > 0.1
    said = predict(load_model(tmp_path / "draw-1"), data).gaze
    errors = errors_deg(said, data.labels()["gaze"])
    assert report["draws"][1]["after_deg"] == pytest.approx(errors[test].mean(), abs=1e-3)


def test_goes_on_with_the_draws_that_are_missing(run, data, tmp_path, monkeypatch):
    whole = adapt(run, data, tmp_path / "a", AdaptOptions(**FEW))
    adapt(run, data, tmp_path / "b", AdaptOptions(**FEW | {"draws": 1}))
    tuned = []
    own = module._tune_head
    monkeypatch.setattr(module, "_tune_head", lambda *a: (tuned.append(a[-1]), own(*a)))
    again = adapt(run, data, tmp_path / "b", AdaptOptions(**FEW))
    assert tuned == [1]
    assert again["draws"] == whole["draws"]
    with pytest.raises(CheckpointError, match="steps: began with 30, now 31"):
        adapt(run, data, tmp_path / "b", AdaptOptions(**FEW | {"steps": 31}))


def test_the_command(run, data, tmp_path, capsys):
    spec = f"rendered:{data.files()[0].parent}"
    given = ["--run", str(run), "--target", spec, "--out", str(tmp_path), "--workers", "0"]
    small = ["--labels", "6", "--draws", "2", "--steps", "3", "--device", "cpu"]
    assert main([*given, *small]) == 0
    assert "with 6 labels" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["options"]["labels"] == 6
    assert main([*given, "--labels", "500"]) == 2
    assert "expected 1 to 100" in capsys.readouterr().err
