"""Fine-tuning by a few pictures: folds, what changes, what is told, and that the SDK loads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training tests need the extra [train]")

from clipgaze_sdk import GazeEstimator
from export import export_onnx
from tests.train.fake_runs import dots, fake_run
from train.eval.protocol import predict, read_card
from train.gaze import fine_tuning as module
from train.gaze.augment import Augmentation
from train.gaze.checkpoints import load_model
from train.gaze.fine_tuning import (
    FineTuneError,
    FineTuneOptions,
    fine_tune,
    folds_of,
    parameters_of,
    verdict,
)
from train.gaze.finetune import main
from train.gaze.models import GazeModel
from train.gaze.tuning import average, last_stage, only, tune

QUICK = FineTuneOptions(
    layers="head", steps=12, batch=4, learning_rate=2e-2, keep=0, augment=0, folds=2
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dots(tmp_path_factory.mktemp("dots"), people=4, pictures=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "run", seed=0, half=True)


class Relabelled:
    """A data set with other labels."""

    def __init__(self, data, gaze):
        self.data, self.gaze = data, torch.from_numpy(gaze.astype(np.float32))
        self.name, self.people = data.name, data.people

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return {**self.data[index], "gaze": self.gaze[index]}

    def signature(self):
        return "relabelled"


def test_folds_are_of_whole_people_or_of_neighbours():
    person = np.array([0, 0, 1, 1, 1, 2, 3])
    fold, kind = folds_of(person, 3)
    assert kind == "people"
    assert all(len(set(fold[person == p])) == 1 for p in range(4))
    assert sorted(set(fold)) == [0, 1, 2]
    assert folds_of(np.array([5, 5, 9]), 5)[0].tolist() == [0, 0, 1]
    fold, kind = folds_of(np.full(10, 3), 5)
    assert (fold.tolist(), kind) == ([0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "order")
    assert folds_of(np.zeros(3, int), 5)[0].tolist() == [0, 1, 2]


def test_no_fold_is_tuned_on_its_own_pictures(run, data, tmp_path, monkeypatch):
    seen = []

    def untuned(start, samples, rows, options, *, draw):
        seen.append((draw, rows.tolist()))
        return start

    monkeypatch.setattr(module, "_tuned", untuned)
    fine_tune(run, data, tmp_path / "out", FineTuneOptions(folds=4))
    fold, _ = folds_of(data.labels()["person"], 4)
    assert len(seen) == 5
    for draw, rows in seen[:-1]:
        assert rows == np.flatnonzero(fold != draw - 1).tolist()
    assert seen[-1] == (0, list(range(len(data))))


def test_it_helps_where_all_look_to_one_side(run, data, tmp_path):
    gaze = data.labels()["gaze"] * 0.3 + np.radians([-15.0, 25.0])
    report = fine_tune(run, Relabelled(data, gaze), tmp_path / "out", QUICK)
    found = report["cross_validation"]
    assert found["before_deg"] == pytest.approx(report["before_deg"])
    assert found["after_deg"] < 0.7 * found["before_deg"]
    assert found["folds_of"] == "people"
    assert sum(f["pictures"] for f in found["folds"]) == len(data)
    assert verdict(report).startswith("It helped: ")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "It helped" in text
    assert "| **all** |" in text
    # What was written is what was measured.
    said = predict(load_model(tmp_path / "out"), data).gaze
    errors = module.errors_deg(said, gaze)
    assert report["fitted_deg"] == pytest.approx(errors.mean(), abs=1e-3)
    card = read_card(tmp_path / "out")
    first = read_card(run)
    assert card["init_sha256"] == first["sha256"] != card["sha256"]
    assert card["trained_on"]["after"] == first["trained_on"]
    assert card["trained_on"]["samples"] == 12


def test_a_constant_error_is_mended_by_the_shift_and_said_so(run, data, tmp_path):
    constant = predict(load_model(run), data).gaze + np.radians([3.0, -5.0])
    nothing = FineTuneOptions(layers="head", steps=1, learning_rate=1e-9, augment=0)
    report = fine_tune(run, Relabelled(data, constant), tmp_path / "out", nothing)
    found = report["cross_validation"]
    assert found["shifted_deg"] == pytest.approx(0, abs=0.01)
    assert found["before_deg"] == pytest.approx(5.8, abs=0.3)
    assert found["after_deg"] == pytest.approx(found["before_deg"], abs=0.01)
    harm = {**found, "after_deg": found["before_deg"] + 1, "helped_folds": 0}
    assert "did not help" in verdict({"cross_validation": harm})
    assert "unknown" in verdict({})


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ("head", {"gaze", "sigma", "separator"}),
        ("stage", {"gaze", "sigma", "separator", "projection", "backbone"}),
        ("all", {"gaze", "sigma", "separator", "projection", "backbone"}),
    ],
)
def test_what_changes(layers, parts, run, data):
    start, model = load_model(run), load_model(run)
    samples = dict(module.collate([data[k] for k in range(4)]))
    options = FineTuneOptions(layers=layers, steps=1, batch=4)
    chosen = parameters_of(model, layers)
    tune(model, chosen, samples, options, key=(0,), seed=0, mirrored=False)
    before, after = start.state_dict(), model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert {k.split(".")[0] for k in changed} == parts
    assert not any("running" in k for k in changed)
    stem = {k for k in changed if k.startswith("backbone.stages.0.")}
    assert bool(stem) == (layers == "all")
    assert all(p.requires_grad for p in model.parameters())


def test_the_mean_of_weights_keeps_a_share_of_the_first(run):
    start, model = load_model(run), load_model(run)
    with torch.no_grad():
        model.gaze.weight += 1.0
    average(model, start, 0.75)
    assert torch.allclose(model.gaze.weight, start.gaze.weight + 0.25, atol=1e-6)


def test_nothing_is_mirrored():
    image = torch.zeros(6, 3, 224, 224, dtype=torch.uint8)
    image[..., :112] = 200
    batch = {"image": image, "gaze": torch.tensor([[0.1, 0.4]]).repeat(6, 1)}
    augment, unmirrored = (Augmentation(0.5, seed=3, mirrored=flag) for flag in (True, False))
    plain, kept = [], []
    for step in range(3):
        plain.append(augment(batch, step)["gaze"][:, 1])
        out = unmirrored(batch, step)
        kept.append(out["gaze"][:, 1])
        bright = out["image"].mean((1, 2))
        assert (bright[:, :100].mean(1) > bright[:, 124:].mean(1)).all()
    assert (torch.cat(plain) < 0).any()
    assert (torch.cat(kept) > 0.3).all()


def test_the_last_stage_of_other_backbones():
    model = GazeModel("resnet18", 512)
    names = {id(p): n for n, p in model.backbone.named_parameters()}
    assert {names[id(p)].split(".")[0] for p in last_stage(model.backbone)} == {"layer4"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_command_leaves_a_run_that_the_sdk_loads(run, data, tmp_path, capsys):
    spec, out = f"rendered:{data.files()[0].parent}", tmp_path / "tuned"
    given = ["--init", str(run), "--data", spec, "--out", str(out), "--device", "cpu"]
    small = ["--labels", "6", "--steps", "2", "--batch", "4", "--folds", "2", "--layers", "head"]
    assert main([*given, *small]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["data"]["pictures"] == 6
    export_onnx.main(["gaze", "--run", str(out), "--out", str(tmp_path / "models")])
    with GazeEstimator(tmp_path / "models" / "gaze.onnx") as estimator:
        card = estimator.cards["gaze"]
    assert card.command.startswith("python -m train.gaze.finetune --init")
    assert json.loads(card.trained_on)["samples"] == 6
    assert main([*given[:4], "--out", str(run)]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert main(["--init", str(tmp_path), *given[2:]]) == 2
    assert "not a finished run" in capsys.readouterr().err


SHIPPED = Path(__file__).parents[3] / "train" / "weights" / "gaze"


def test_the_network_that_ships_can_be_tuned(data, tmp_path, capsys):
    spec, out = f"rendered:{data.files()[0].parent}", tmp_path / "tuned"
    given = ["--init", str(SHIPPED), "--data", spec, "--out", str(out), "--device", "cpu"]
    assert main([*given, "--labels", "4", "--steps", "2", "--batch", "2", "--folds", "0"]) == 0
    before, after = load_model(SHIPPED).state_dict(), load_model(out).state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert {k.split(".")[0] for k in changed} == {"gaze", "sigma", "separator", "backbone"}
    learnt = {".".join(k.split(".")[1:3]) for k in changed if k.startswith("backbone.")}
    deepest = f"stages.{len(load_model(SHIPPED).backbone.stages) - 1}"
    assert learnt == {
        deepest,
        "squeeze.0",
        "squeeze.1",
        "eye.weight",
        "eye.bias",
        "linear.weight",
        "linear.bias",
    }
    report = json.loads((out / "report.json").read_text())
    said = predict(load_model(out), data.subset(np.round(np.linspace(0, 11, 4)).astype(int))).gaze
    truth = data.labels()["gaze"][np.round(np.linspace(0, 11, 4)).astype(int)]
    assert report["fitted_deg"] == pytest.approx(module.errors_deg(said, truth).mean(), abs=1e-3)


def test_too_many_and_too_few_pictures_are_refused(run, data, tmp_path):
    many = Relabelled(data, np.zeros((12, 2)))
    many.__class__ = type("Many", (Relabelled,), {"__len__": lambda _: 101})
    with pytest.raises(FineTuneError, match=r"101 pictures; expected at most 100.*--labels 100"):
        fine_tune(run, many, tmp_path / "out", QUICK)
    many.__class__ = type("Few", (Relabelled,), {"__len__": lambda _: 3})
    with pytest.raises(FineTuneError, match="3 pictures; expected 4 or more"):
        fine_tune(run, many, tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "bad", [{"layers": "last"}, {"steps": 0}, {"keep": 1.0}, {"folds": 1}, {"labels": 200}]
)
def test_nonsense_is_refused(bad):
    with pytest.raises(FineTuneError, match=next(iter(bad))):
        FineTuneOptions(**bad)


def test_a_model_whose_tuning_fails_can_be_trained_afterwards(run):
    model = load_model(run)

    def killed():
        with only(model, list(model.gaze.parameters())):
            assert not model.separator[0].weight.requires_grad
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert all(p.requires_grad for p in model.parameters())
