"""Runs of the front end: going on after a kill, where they start, their commands, what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.front.front_recipes import LineRecipe, detector_recipe, landmark_recipe
from train.front import detector, landmarks
from train.front.networks import DetectorNetwork, LandmarkNetwork
from train.front.training import train
from train.loop.states import STATE, CheckpointError, read_tensors
from train.loop.training_loop import FitError, LoopOptions, RunOptions
from train.loop.weight_cards import read_weights, write_weights

ROOT = Path(__file__).parents[3]
OPTIONS = LoopOptions(steps=7, batch=8, learning_rate=1e-2, schedule="one_cycle_momentum")
QUIET = RunOptions(accelerator="cpu", progress=False, tensorboard=False, log_every=2)
EVERY_STEP = replace(QUIET, max_save_gap_s=0.0)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*lr_scheduler.*"
)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(a: Path, b: Path, name: str = STATE) -> bool:
    one, other = (read_tensors(folder / name)[0] for folder in (a, b))
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_goes_on_exactly(optimizer, tmp_path: Path) -> None:
    options = replace(OPTIONS, optimizer=optimizer)
    metrics = train(LineRecipe(), tmp_path / "whole", options, QUIET)
    with pytest.raises(KeyboardInterrupt):
        train(LineRecipe(dies_at=3), tmp_path / "parts", options, EVERY_STEP)
    assert read_tensors(tmp_path / "parts" / STATE)[1]["step"] == 3
    again = train(LineRecipe(), tmp_path / "parts", options, QUIET)
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert again["square"] == metrics["square"] > 0
    assert again["loss"] == pytest.approx(again["square"] + again["absolute"])
    logs = [(tmp_path / f / "log.jsonl").read_text().splitlines() for f in ("whole", "parts")]
    assert [json.loads(line)["step"] for line in logs[1]] == [2, 4, 6, 7]
    losses = [[json.loads(line)["loss"] for line in log] for log in logs]
    assert losses[0] == losses[1]


LONG = """
import torch
from pathlib import Path
from tests.train.front.front_recipes import LineRecipe
from tests.train.front.test_front_training import OPTIONS, QUIET
from dataclasses import replace
from train.front.training import train
torch.set_num_threads(1)
train(LineRecipe(0.02), Path({out!r}), replace(OPTIONS, steps=150), QUIET)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_sigkill_after_a_second_loses_a_part_of_it_alone(tmp_path: Path) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", LONG.format(out=str(out))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    limit = time.monotonic() + 90
    while not (out / "log.jsonl").is_file():  # two steps are done
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "model.safetensors").exists()
    assert 1 <= read_tensors(out / STATE)[1]["step"] < 150
    options = replace(OPTIONS, steps=150)
    assert train(LineRecipe(), out, options, QUIET)["finished"] == 1
    train(LineRecipe(), tmp_path / "whole", options, QUIET)
    assert same(out, tmp_path / "whole")
    assert same(out, tmp_path / "whole", "model.safetensors")


def test_processes_that_fetch_change_nothing(tmp_path: Path) -> None:
    train(LineRecipe(), tmp_path / "none", OPTIONS, QUIET)
    train(LineRecipe(), tmp_path / "one", OPTIONS, replace(QUIET, workers=1))
    assert same(tmp_path / "none", tmp_path / "one")


def test_a_time_limit_stops_and_the_same_command_goes_on(tmp_path: Path) -> None:
    first = train(LineRecipe(), tmp_path, OPTIONS, replace(QUIET, max_minutes=1e-9))
    assert (first["finished"], first["steps"]) == (0, 1)
    assert not (tmp_path / "model.json").exists()
    assert train(LineRecipe(), tmp_path, OPTIONS, QUIET)["finished"] == 1
    assert train(LineRecipe(), tmp_path, OPTIONS, QUIET)["steps"] == 7  # nothing is left to do


def test_other_options_are_refused(tmp_path: Path) -> None:
    train(LineRecipe(), tmp_path, OPTIONS, QUIET)
    with pytest.raises(CheckpointError, match=r"options\.batch: began with 8, now 4"):
        train(LineRecipe(), tmp_path, replace(OPTIONS, batch=4), QUIET)
    with pytest.raises(CheckpointError, match=r"options\.weight: began with 1\.0, now 2\.0"):
        train(LineRecipe(weight=2.0), tmp_path, OPTIONS, QUIET)
    with pytest.raises(FitError, match="steps is 0; expected a number above 0"):
        replace(OPTIONS, steps=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(FitError, match="cannot be the run's folder"):
        train(LineRecipe(), tmp_path / "file", OPTIONS, QUIET)
    with pytest.raises(FitError, match="cannot be had"):
        train(LineRecipe(), tmp_path / "gpu", OPTIONS, replace(QUIET, devices=0))


def test_a_run_starts_from_anothers_averaged_weights(tmp_path: Path) -> None:
    base = tmp_path / "base"
    train(LineRecipe(), base, OPTIONS, QUIET)
    options = replace(OPTIONS, steps=1, learning_rate=1e-12, ema=0.0)
    train(LineRecipe(), tmp_path / "next", options, QUIET, init=base)
    old, new = (read_weights(f)[0] for f in (base, tmp_path / "next"))
    assert torch.allclose(old["layer.weight"], new["layer.weight"], atol=1e-7)
    cards = [json.loads((f / "model.json").read_text()) for f in (base, tmp_path / "next")]
    assert cards[1]["init_sha256"] == cards[0]["sha256"]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        train(LineRecipe(), tmp_path / "other", options, QUIET, init=tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="expected a run of face_detector"):
        train(detector_recipe(), tmp_path / "other", options, QUIET, init=base)


# The commands


def folders(tmp_path: Path, kind: str, arrays: dict[str, torch.Tensor]) -> list[str]:
    """Of a shard whose arrays are made already."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    (data / "shard-00000.tar").write_bytes(b"")
    (cache / kind).mkdir(parents=True)
    np.savez(cache / kind / "shard-00000.npz", **{k: v.numpy() for k, v in arrays.items()})
    return ["--data", str(data), "--cache", str(cache), "--accelerator", "cpu"]


def test_the_detector_command_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = detector_recipe()
    arrays = {"frames": recipe.frames, "boxes": recipe.boxes, "points": recipe.points}
    given = folders(tmp_path, "detector", arrays)
    given += ["--steps", "2", "--batch", "3", "--threads", "1"]
    out = tmp_path / "run"
    assert detector.main([*given, "--out", str(out), "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "6 frames" in said
    assert "finished 1" in said
    card = json.loads((out / "model.json").read_text())
    assert card["architecture"] == {"network": "face_detector"}
    assert card["recipe"]["schedule"] == "one_cycle_momentum"
    assert (card["seed"], card["trained_on"], card["recipe"]["batch"]) == (3, {"samples": 6}, 3)
    assert card["metrics"]["loss"] > 0
    weights, _ = read_weights(out)
    DetectorNetwork().load_state_dict(weights)
    # A second stage, another beginning, and nothing to begin with.
    assert detector.main([*given, "--out", str(tmp_path / "two"), "--init", str(out)]) == 0
    assert detector.main([*given, "--out", str(out), "--seed", "4"]) == 2
    assert "options.seed: began with 3, now 4" in capsys.readouterr().err
    assert detector.main([*given, "--out", str(tmp_path / "x"), "--init", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_landmark_command_trains_and_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = landmark_recipe()
    names = ("crops", "points", "visible", "openness", "empty")
    given = folders(tmp_path, "landmarks", {k: getattr(recipe, k) for k in names})
    given += ["--steps", "3", "--batch", "5", "--threads", "1", "--out", str(tmp_path / "run")]
    given += ["--poor-boxes", "0.2", "--consistency", "0.5", "--optimizer", "muon"]
    assert landmarks.main([*given, "--max-minutes", "1e-9"]) == 0
    assert "stopped by --max-minutes; the same command goes on" in capsys.readouterr().out
    assert landmarks.main(given) == 0
    said = capsys.readouterr().out
    assert "going on with" in said
    assert "mirror " in said
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["recipe"]["poor_boxes"] == 0.2
    assert landmarks.main(["--data", "nowhere", "--cache", "c", "--out", "o"]) == 2
    assert "nowhere holds no shard-*.tar" in capsys.readouterr().err


def test_what_is_drawn_of_landmarks() -> None:
    recipe = landmark_recipe()
    batch = recipe.drawn(10, torch.Generator().manual_seed(0))
    assert batch["present"].tolist() == [True] * 8 + [False] * 2
    assert batch["image"].shape == (10, 192, 192, 3)
    assert not batch["visible"][8:].any()
    assert recipe.samples() == 8
    empty = {bytes(picture.numpy().tobytes()) for picture in recipe.empty}
    assert all(picture.numpy().tobytes() in empty for picture in batch["image"][8:])


@pytest.mark.parametrize("make", [DetectorNetwork, LandmarkNetwork])
def test_what_a_network_says_is_float32_in_any_precision(make) -> None:
    network = make().eval()
    image = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        said = network(image)
    assert {v.dtype for v in said.values()} == {torch.float32}
    points = said["points"]
    assert (points != points.bfloat16().float()).float().mean() > 0.9  # and was not rounded


def test_the_precision_is_an_option_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = detector_recipe()
    arrays = {"frames": recipe.frames, "boxes": recipe.boxes, "points": recipe.points}
    given = folders(tmp_path, "detector", arrays)
    given += ["--steps", "1", "--batch", "2", "--threads", "1", "--out", str(tmp_path / "run")]
    assert detector.main([*given, "--precision", "bf16-mixed"]) == 0
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["recipe"]["precision"] == "bf16-mixed"
    assert detector.main(given) == 2  # auto is float32 on a CPU
    said = capsys.readouterr().err
    assert "options.precision: began with 'bf16-mixed', now '32-true'" in said
    assert detector.main([*given, "--precision", "16-mixed"]) == 2
    assert "16-mixed needs a GPU" in capsys.readouterr().err


class BreaksAt(LineRecipe):
    """Whose losses, or the gradient alone, are not finite from a step on."""

    def __init__(self, step: int, *, gradient: bool) -> None:
        super().__init__()
        self.step, self.gradient = step, gradient

    def losses(self, network, batch):
        found = super().losses(network, batch)
        if self.steps_done > self.step:
            weight = network.layer.weight
            # The square root's gradient at 0 is infinite, and its loss 0.
            extra = (weight - weight.detach()).abs().sum().sqrt() * weight.sum().sign()
            found["extra"] = extra if self.gradient else extra * float("nan")
        return found


@pytest.mark.parametrize("gradient", [False, True], ids=["losses", "weights"])
def test_a_good_state_is_not_lost_to_numbers_that_are_not_finite(gradient, tmp_path: Path) -> None:
    run = replace(EVERY_STEP, log_every=100)
    what = "weights" if gradient else "losses"
    with pytest.raises(FitError, match=f"by step 4 the {what} are not finite.*in another folder"):
        train(BreaksAt(3, gradient=gradient), tmp_path, OPTIONS, run)
    tensors, about = read_tensors(tmp_path / STATE)
    assert about["step"] == 3
    assert all(v.isfinite().all() for v in tensors.values())
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.gpu
@pytest.mark.parametrize("make", [detector_recipe, landmark_recipe])
def test_steps_on_a_gpu(make, tmp_path: Path) -> None:
    options = replace(OPTIONS, steps=4)
    metrics = train(make(), tmp_path, options, replace(QUIET, accelerator="cuda", workers=1))
    assert metrics["finished"] == 1
    assert np.isfinite(metrics["loss"])
    assert all(torch.isfinite(v).all() for v in read_weights(tmp_path)[0].values())


def test_a_fake_run_is_read(tmp_path: Path) -> None:
    """By what exports and starts from it."""
    weights = DetectorNetwork().state_dict()
    write_weights(tmp_path, "model", weights, {"architecture": {"network": "face_detector"}})
    options = replace(OPTIONS, steps=1, learning_rate=1e-12, ema=0.0)
    train(detector_recipe(), tmp_path / "next", options, QUIET, init=tmp_path)
    again = read_weights(tmp_path / "next")[0]
    assert torch.allclose(again["out.weight"], weights["out.weight"], atol=1e-7)
