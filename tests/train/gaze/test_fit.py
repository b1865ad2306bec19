"""The loop: exact resume, several processes as one, what is refused, what is left."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy
from safetensors.torch import load_file, save_file
from torch import nn

from tests.train.fake_runs import fake_run
from tests.train.gaze_sources import WIDTH, WithLandmarks, small_recipe, teacher_for
from train.gaze import fit, step_bench, trainer
from train.gaze.checkpoints import load_model
from train.gaze.fitting import train_one
from train.gaze.held_out import held_out_figures
from train.gaze.losses import angular_error
from train.gaze.methods import make_method
from train.gaze.methods.clip_gaze import CachedImages, ClipTeacher, PersonTexts
from train.gaze.models import GazeModel
from train.gaze.recipes import RecipeError, find_recipe
from train.gaze.step_times import RandomCrops, random_teacher
from train.gaze.trainer import Trainer, collate
from train.loop import states
from train.loop.gather import BatchSampler, gather
from train.loop.states import STATE, CheckpointError, below, differences, read_tensors
from train.loop.training_loop import FitError, RunOptions, Untouched

QUIET = RunOptions(accelerator="cpu", progress=False, tensorboard=False, log_every=2)
EVERY_STEP = replace(QUIET, max_save_gap_s=0.0)

# Lightning and torch deprecate parts of each other, and warn of few workers.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*"),
]


@pytest.fixture(scope="module")
def source():
    return RandomCrops(10, people=3)


def weights(folder):
    return load_model(folder).state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# Going on after a kill


class Killed(Exception):
    """Stands for SIGKILL."""


def kill_after(monkeypatch, step):
    """Die in the step after ``step``, with the weights already changed."""
    whole = Trainer.one_step

    def one_step(self, batch):
        whole(self, batch)
        if self.step == step:
            raise Killed

    monkeypatch.setattr(Trainer, "one_step", one_step)


@pytest.mark.parametrize("name", ["erm", "pure_gaze", "clip_gaze", "landmarks", "muon"])
def test_a_killed_run_goes_on_exactly(name, source, tmp_path, monkeypatch):
    apart = {"landmarks": {"landmarks": 1.0}, "muon": {"optimizer": "muon"}}
    recipe = small_recipe("erm", **apart[name]) if name in apart else small_recipe(name)
    if name == "landmarks":
        source = WithLandmarks(10, people=3)
    teacher = teacher_for(recipe, source)
    train_one(recipe, source, tmp_path / "whole", teacher=teacher, options=QUIET)
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            train_one(recipe, source, tmp_path / "parts", teacher=teacher, options=EVERY_STEP)
    assert read_tensors(tmp_path / "parts" / STATE)[1]["step"] == 3
    metrics = train_one(recipe, source, tmp_path / "parts", teacher=teacher, options=QUIET)
    assert metrics["finished"] == 1
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole, parts = (read_tensors(tmp_path / f / STATE) for f in ("whole", "parts"))
    assert same(whole[0], parts[0])  # optimisers and all
    assert whole[1]["scalars"] == parts[1]["scalars"]
    logs = [(tmp_path / f / "log.jsonl").read_text().splitlines() for f in ("whole", "parts")]
    assert [json.loads(line)["step"] for line in logs[1]] == [2, 4, 5]
    assert [json.loads(line)["loss"] for line in logs[0]] == [
        json.loads(line)["loss"] for line in logs[1]
    ]


def test_a_kill_while_writing_leaves_the_old_state(source, tmp_path, monkeypatch):
    recipe = small_recipe()
    train_one(recipe, source, tmp_path / "whole", options=QUIET)
    written = []

    def save_file(tensors, path, metadata):
        written.append(path)
        if len(written) == 3:
            path.write_bytes(b"half a file")
            raise Killed
        real(tensors, path, metadata=metadata)

    real = states.save_file
    with monkeypatch.context() as patch:
        patch.setattr("train.loop.states.save_file", save_file)
        with pytest.raises(Killed):
            train_one(recipe, source, tmp_path / "parts", options=EVERY_STEP)
    train_one(recipe, source, tmp_path / "parts", options=QUIET)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_a_time_limit_stops_and_the_same_command_goes_on(source, tmp_path):
    recipe = small_recipe()
    first = train_one(recipe, source, tmp_path, options=replace(QUIET, max_minutes=1e-9))
    assert (first["finished"], first["steps"]) == (0, 1)
    assert not (tmp_path / "model.json").exists()
    assert train_one(recipe, source, tmp_path, options=QUIET)["finished"] == 1
    again = train_one(recipe, source, tmp_path, options=QUIET)  # nothing is left to do
    assert again["steps"] == 5


# Starting from another run


def test_landmarks_are_asked_for_where_they_are_known(source, tmp_path):
    recipe = small_recipe(landmarks=1.0, steps=3)
    with pytest.raises(FitError, match="knows neither landmarks nor heads"):
        train_one(recipe, source, tmp_path / "none", options=QUIET)
    metrics = train_one(recipe, WithLandmarks(10), tmp_path / "run", options=QUIET)
    assert metrics["landmarks"] > 0
    # Whoever says the landmarks is not part of the model.
    assert not any("anatomy" in name for name in weights(tmp_path / "run"))


def test_a_run_starts_from_anothers_backbone(source, tmp_path):
    base, run = tmp_path / "base", tmp_path / "run"
    train_one(small_recipe(steps=2), source, base, options=QUIET)
    recipe = small_recipe("clip_gaze", steps=1, init=base, learning_rate=1e-9, ema=0)
    train_one(recipe, source, run, teacher=teacher_for(recipe, source), options=QUIET)
    old, new = weights(base), weights(run)
    learnt = [k for k in old if k.startswith("backbone") and k.endswith("weight")]
    assert learnt
    assert all(torch.allclose(old[k], new[k], atol=1e-6) for k in learnt)
    assert not torch.allclose(old["gaze.weight"], new["gaze.weight"], atol=1e-3)
    sha256 = json.loads((base / "model.json").read_text())["sha256"]
    assert json.loads((run / "model.json").read_text())["init_sha256"] == sha256
    # Other weights in the same place are another beginning.
    train_one(small_recipe(steps=2, seed=1), source, tmp_path / "other", options=QUIET)
    for name in ("model.safetensors", "model.json"):
        (tmp_path / "other" / name).replace(base / name)
    with pytest.raises(CheckpointError, match="init: began with"):
        train_one(recipe, source, run, teacher=teacher_for(recipe, source), options=QUIET)


def test_a_run_starts_from_a_backbone_without_signed_features(source, tmp_path):
    """The layer that ends the backbone begins anew; the card says that it is there."""
    base = fake_run(tmp_path / "base", method="erm", separator=False, signed=False)
    recipe = small_recipe(steps=1, init=base, learning_rate=1e-9, ema=0)
    train_one(recipe, source, tmp_path / "run", options=QUIET)
    old, new = weights(base), weights(tmp_path / "run")
    assert torch.allclose(old["backbone.linear.weight"], new["backbone.linear.weight"], atol=1e-6)
    assert {k for k in new if k not in old} == {"projection.weight", "projection.bias"}
    assert load_model(tmp_path / "run").architecture.signed


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"band": "false"}, "has band=True \\(here False\\)"),
        ({"half": "true"}, "has half=False \\(here True\\)"),
        ({"init": "nowhere"}, "init=nowhere"),
    ],
)
def test_backbones_of_another_kind_are_refused(settings, expected, source, tmp_path):
    base = fake_run(tmp_path / "base", method="erm", separator=False)
    recipe = small_recipe(**{"init": str(base), **settings})
    with pytest.raises(FitError, match=expected):
        train_one(recipe, source, tmp_path / "run", options=QUIET)
    with pytest.raises(RecipeError, match="one beginning"):
        small_recipe(init=str(base), pretrained="true", backbone="resnet18")


# Several processes


def gradients(fabric, recipe, source):
    """Of one batch, by this process's share of it."""
    torch.manual_seed(0)
    model = GazeModel("small", WIDTH, band=True, separator=recipe.separator)
    method = make_method(model, recipe.method)
    method.gather = gather
    module = fabric.setup_module(method)
    for part in method.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    sampler = BatchSampler(
        len(source), batch=4, steps=1, seed=0, rank=fabric.global_rank, world=fabric.world_size
    )
    batch = collate([source[k] for k in next(iter(sampler))])
    batch |= random_teacher(source, WIDTH, factors=5).of(batch)
    loss, _ = module(Untouched(batch))
    fabric.backward(loss)
    return {n: p.grad.clone() for n, p in method.named_parameters()}


NAMES = ("cdg", "clip_gaze")


def work(fabric, source, folder):
    """One of two processes: gradients, then whole runs."""
    torch.set_num_threads(1)
    for name in NAMES:
        found = gradients(fabric, find_recipe(name), source)
        if fabric.is_global_zero:
            save_file(found, folder / f"{name}.safetensors")
    for name in ("clip_gaze", "pure_gaze"):
        recipe = small_recipe(name, freeze_batch_norm="true", steps=3)
        train_one(
            recipe,
            source,
            folder / f"two-{name}",
            teacher=teacher_for(recipe, source),
            options=QUIET,
            fabric=fabric,
        )


@pytest.mark.filterwarnings("ignore")
def test_two_processes_are_as_one(source, tmp_path):
    torch.set_num_threads(1)
    forked = DDPStrategy(start_method="fork", find_unused_parameters=True)
    two = Fabric(accelerator="cpu", devices=2, strategy=forked)
    two.launch(work, source, tmp_path)
    one = Fabric(accelerator="cpu", devices=1)
    for name in NAMES:
        expected = gradients(one, find_recipe(name), source)
        found = load_file(tmp_path / f"{name}.safetensors")
        for key, value in expected.items():
            assert torch.allclose(found[key], value, rtol=1e-3, atol=1e-6), (name, key)
        assert max(float(v.abs().max()) for v in expected.values()) > 1e-3
    for name in ("clip_gaze", "pure_gaze"):
        recipe = small_recipe(name, freeze_batch_norm="true", steps=3)
        folder = tmp_path / f"one-{name}"
        train_one(recipe, source, folder, teacher=teacher_for(recipe, source), options=QUIET)
        a, b = weights(folder), weights(tmp_path / f"two-{name}")
        frozen = [k for k in a if "running" in k or "num_batches" in k]
        assert all(torch.equal(a[k], b[k]) for k in frozen)
        apart = torch.cat([(a[k] - b[k]).abs().flatten() for k in a if k not in frozen])
        # Adam turns the rounding of a gradient near zero into a whole step: rarely, and small.
        assert float(apart.mean()) < 2e-5, name


def test_batches_do_not_depend_on_the_number_of_processes():
    def of(rank, world, start=0):
        return list(BatchSampler(10, batch=4, steps=6, seed=3, rank=rank, world=world, start=start))

    whole = of(0, 1)
    assert [a + b for a, b in zip(of(0, 2), of(1, 2), strict=True)] == whole
    assert of(0, 1, start=4) == whole[4:]
    stream = [index for rows in whole for index in rows]
    assert sorted(stream[:10]) == sorted(stream[10:20]) == list(range(10))
    assert stream[:10] != stream[10:20]
    assert max(np.bincount(next(iter(BatchSampler(3, batch=7, steps=1, seed=0))))) == 3
    with pytest.raises(ValueError, match="a batch of 5 cannot be shared by 2"):
        BatchSampler(10, batch=5, steps=1, seed=0, world=2)


# What is left


def test_a_run_leaves_weights_cards_and_scalars(source, tmp_path):
    recipe = small_recipe(steps=0, epochs=2, keep_epochs=1)
    options = replace(QUIET, tensorboard=True)
    metrics = train_one(recipe, source, tmp_path, options=options, held_out=source)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["architecture"]["backbone"] == "small"
    assert card["architecture"]["pretrained"] is False
    assert card["recipe"]["epochs"] == 2
    assert card["recipe"]["precision"] == "32-true"
    assert card["trained_on"] == {
        "name": "random",
        "samples": 10,
        "people": 3,
        "signature": source.signature(),
    }
    assert card["metrics"]["error_deg"] == pytest.approx(metrics["error_deg"])
    assert len(card["sha256"]) == 64
    assert {"seed", "commit", "versions"} <= card.keys()
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert sorted(p.name for p in tmp_path.glob("epoch*")) == [
        "epoch-002.json",
        "epoch-002.safetensors",
    ]
    model = load_model(tmp_path)
    said = model.of(collate([source[k] for k in range(len(source))])).gaze.detach()
    errors = angular_error(said, torch.from_numpy(source.labels()["gaze"]))
    assert float(errors.mean().rad2deg()) == pytest.approx(metrics["held_out_deg"], rel=1e-5)
    assert same(model.state_dict(), load_model(tmp_path, "epoch-002").state_dict())


def test_labels_are_not_rounded_with_the_network(source, tmp_path, monkeypatch):
    seen = []
    real = trainer.Trainer.to_device

    def to_device(self, batch):
        batch = real(self, batch)
        forward = self.learner.loss

        def loss(inner, step, turn=0):
            seen.append(torch.equal(inner["gaze"], batch["gaze"]))
            return forward(inner, step, turn)

        monkeypatch.setattr(self.learner, "loss", loss)
        return batch

    monkeypatch.setattr(trainer.Trainer, "to_device", to_device)
    train_one(small_recipe(precision="bf16-mixed", steps=1), source, tmp_path, options=QUIET)
    assert seen == [True]


def test_it_learns_where_to_look(tmp_path):
    """Pictures that are bright on one side: their gaze is told by which."""
    source = RandomCrops(16)
    source.images[:] = 60
    for row in range(16):
        side = slice(0, 112) if row % 2 else slice(112, 224)
        source.images[row, :, :, side] = 200
        source.gaze[row] = torch.tensor([0.0, 0.3 if row % 2 else -0.3])
    recipe = small_recipe(steps=30, batch=8, learning_rate=0.004, augment=0.2, ema=0.5)
    train_one(recipe, source, tmp_path, options=QUIET)
    assert held_out_figures(load_model(tmp_path), source)["held_out_deg"] < 6  # of 17 at first


# What is refused


def test_another_configuration_is_refused_with_what_differs(source, tmp_path):
    train_one(small_recipe(steps=1), source, tmp_path, options=QUIET)
    other = small_recipe("cdg", steps=1, learning_rate=0.5)
    with pytest.raises(CheckpointError) as refused:
        train_one(other, source, tmp_path, options=QUIET)
    message = str(refused.value)
    assert "recipe.learning_rate: began with 0.001, now 0.5" in message
    assert "recipe.method.is: began with 'Erm', now 'Cdg'" in message
    with pytest.raises(CheckpointError, match=r"source\.samples: began with 10, now 8"):
        train_one(small_recipe(steps=1), RandomCrops(8, people=3), tmp_path, options=QUIET)


def test_differences_are_named():
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}) == [
        "a.b: began with 1, now 3"
    ]


def test_weights_of_another_architecture_are_refused(source, tmp_path):
    train_one(small_recipe(steps=1), source, tmp_path, options=QUIET)
    tensors, about = read_tensors(tmp_path / "model.safetensors")
    about["architecture"]["width"] = 32
    states.write_tensors(tmp_path / "wide.safetensors", tensors, about)
    with pytest.raises(CheckpointError, match="width 32, and a last layer of 2 x 16"):
        load_model(tmp_path, "wide")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(tmp_path, "broken")
    with pytest.raises(FileNotFoundError, match=r"there is broken, .*model, "):
        load_model(tmp_path, "nothing")


@pytest.mark.parametrize(
    ("value", "what"), [(float("nan"), "1 of 10 .* not finite"), (40.0, "sample 7: .*40")]
)
def test_bad_labels_are_refused(value, what, tmp_path):
    source = RandomCrops(10)
    source.gaze[7, 0] = value
    with pytest.raises(FitError, match=what):
        train_one(small_recipe(), source, tmp_path / "run", options=QUIET)
    assert not (tmp_path / "run").exists()


def test_paths_and_precision_that_cannot_be_are_refused(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FitError, match="cannot be the run's folder"):
        train_one(small_recipe(), source, tmp_path / "file", options=QUIET)
    with pytest.raises(FitError, match="needs a GPU"):
        train_one(small_recipe(precision="16-mixed"), source, tmp_path / "run", options=QUIET)


def test_features_that_do_not_fit_are_refused(source, tmp_path):
    recipe = small_recipe("clip_gaze")

    def refused(teacher, what):
        with pytest.raises(FitError, match=what):
            train_one(recipe, source, tmp_path / "run", teacher=teacher, options=QUIET)

    good = random_teacher(source, WIDTH, factors=5)
    refused(None, "needs CLIP's features: give --clip")
    refused(random_teacher(source, 8), "image_features are 8 wide .* set width=8")
    refused(ClipTeacher(CachedImages(torch.ones(3, WIDTH)), good.texts, "x"), "of 3 samples")
    refused(ClipTeacher(good.images, PersonTexts(torch.ones(2, 5, WIDTH)), "x"), "of 2 people")


def test_losses_that_are_not_finite_stop_the_run(source, tmp_path, monkeypatch):
    monkeypatch.setattr("train.gaze.losses.uncertainty", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(FitError, match="by step 1 the losses are not finite"):
        train_one(small_recipe(), source, tmp_path, options=QUIET)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--method", "clip", "--source", "rendered:x"], "no method 'clip'; expected one of erm"),
        (["--method", "erm", "--source", "rendered:/nowhere"], "/nowhere"),
        (["--method", "erm", "--source", "x:y", "--set", "rank"], "expected NAME=VALUE"),
        (["--method", "erm", "--source", "x:y", "--set", "rank=1"], "no option 'rank'"),
    ],
)
def test_the_command_refuses_before_it_makes_anything(arguments, what, tmp_path, capsys):
    out = tmp_path / "run"
    assert fit.main([*arguments, "--out", str(out), "--accelerator", "cpu"]) == 2
    assert what in capsys.readouterr().err
    assert not out.exists()


def test_the_command_trains(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.data.registry.open_dataset", lambda spec: source)
    arguments = ["--method", "erm", "--source", "random:x", "--out", str(tmp_path / "run")]
    arguments += ["--backbone", "small", "--steps", "2", "--batch", "4", "--workers", "0"]
    arguments += ["--set", "band=true", "--set", "width=16", "--accelerator", "cpu"]
    assert fit.main([*arguments, "--held-out", "random:x"]) == 0
    assert "held_out_deg" in capsys.readouterr().out
    assert load_model(tmp_path / "run").architecture.band


def test_the_benchmark_prints_its_table(capsys):
    assert step_bench.main(["--backbone", "small", "--band", "--batch", "4", "--steps", "1"]) == 0
    assert "clip_gaze" in capsys.readouterr().out


def test_state_names(source, tmp_path):
    """The state holds the decoder and both optimisers; the weights only the gaze model."""
    train_one(small_recipe("pure_gaze", steps=1), source, tmp_path, options=QUIET)
    tensors, about = read_tensors(tmp_path / STATE)
    assert below(tensors, "learner.decoder.")
    assert below(tensors, "optimizer.0.")
    assert below(tensors, "optimizer.1.")
    assert about["step"] == 1
    assert not any("decoder" in k for k in weights(tmp_path))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["erm", "pure_gaze", "clip_gaze"])
def test_steps_on_a_gpu(name, source, tmp_path):
    recipe = small_recipe(name, steps=4)
    options = replace(QUIET, accelerator="cuda")
    metrics = train_one(
        recipe, source, tmp_path, teacher=teacher_for(recipe, source), options=options
    )
    assert metrics["finished"] == 1
    assert np.isfinite(metrics["loss"])
    assert all(torch.isfinite(v).all() for v in weights(tmp_path).values())
