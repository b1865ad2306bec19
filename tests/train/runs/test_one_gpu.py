"""Minutes on one GPU: the clock, rows that come, processes that die, what is left; all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.train.front.front_recipes import LineRecipe
from tests.train.one_device import MetaFabric, OneDevice, no_autocast
from train.front.training import FrontLearner, FrontTraining
from train.gaze.methods.clip_gaze import ClipTeacher
from train.gaze.settings import METHODS
from train.gaze.trainer import method_for, model_for
from train.loop.devices import make_fabric
from train.loop.training_loop import FitError, LoopOptions, RunOptions
from train.loop.weight_cards import read_weights
from train.runs.gpu import leaving
from train.runs.gpu.budget import Budget, Stretch, steps_at, timed
from train.runs.gpu.front import SHAPES, Pictures
from train.runs.gpu.gaze import SMOKE, TimedTrainer, recipe_for
from train.runs.gpu.rows import POOL_NAMES, PoolRows, Store
from train.runs.gpu.throughput import fill_with_noise
from train.runs.one_gpu import main
from train.runs.plan import read_plan
from train.synth.outputs.pool import CropPool, PoolSettings, make_pool
from train.synth.outputs.studio import VERSION

ROOT = Path(__file__).parents[3]
META = torch.device("meta")
QUIET = RunOptions(accelerator="cpu", tensorboard=False, progress=False)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*lr_scheduler.*"
)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def noise_pool(folder: Path, size: int = 30, each: int = 4) -> CropPool:
    """Rows of noise, all of them whole."""
    pool = make_pool(folder / "pool", PoolSettings(3, ("meeting",), size, each, VERSION))
    fill_with_noise(pool)
    pool.arrays["person"][:] = np.arange(size) // each
    return pool


# The clock


def test_a_budget_keeps_a_reserve_and_never_owes():
    clock = Clock()
    long, short = Budget(480, clock), Budget(90, clock)
    assert (long.for_training_s(), short.for_training_s()) == (435, 63)
    assert Budget(90, clock, began=90.0).left_s() == 80
    clock.now += 60
    assert (long.left_s(), long.for_training_s()) == (420, 375)
    clock.now += 1000
    assert (long.left_s(), long.for_training_s()) == (0, 0)
    with pytest.raises(ValueError, match="expected more than 0"):
        Budget(0)


def test_steps_are_forecast_and_end_with_the_time():
    assert steps_at(50, 0.5) == 101
    assert steps_at(0, 0.0) == 5000
    assert steps_at(9, 1.0) == 10
    assert steps_at(9, 0.89) == 11  # not the last yet
    assert steps_at(9, 0.91) == 10  # another would be too late


class ClockedTraining(FrontTraining):
    """A step takes a second, later ones three."""

    def __init__(self, folder: Path, clock: Clock, seconds: float) -> None:
        recipe = LineRecipe()
        options = LoopOptions(steps=1, batch=4, learning_rate=0.1, schedule="one_cycle_momentum")
        run = replace(QUIET, log_every=1, max_save_gap_s=1e9)
        card = {"architecture": {"network": "line"}}
        learner = FrontLearner(recipe.network(), recipe)
        super().__init__(make_fabric(run), learner, folder, options, run, {}, card)
        self.clock, self.stretch = clock, Stretch(seconds, clock)
        self.rates: list[float] = []

    def batches(self):
        return timed(self, self.stretch, self._drawn)

    def _drawn(self):
        self.clock.now += 1.0 if self.step < 20 else 3.0
        self.rates.append(self.rate(self.step))
        generator = torch.Generator().manual_seed(self.step)
        return self.recipe.drawn(4, generator)


def test_the_learning_rate_follows_the_clock_and_the_run_finishes(tmp_path):
    clock = Clock()
    loop = ClockedTraining(tmp_path, clock, 80.0)
    metrics = loop.run()
    assert metrics["finished"] == 1
    assert loop.step == 41  # 20 steps of 1 s, 20 of 3 s, and the one that ends it
    rates = loop.rates
    assert rates[0] == pytest.approx(0.1 / 25, rel=0.05)
    assert max(rates) == pytest.approx(0.1, rel=0.01)
    assert int(np.argmax(rates)) in (7, 8, 9)  # a tenth of 80 s
    assert rates[-1] < 0.001
    assert rates[20] == pytest.approx(0.1 * 0.5 * (1 + np.cos(np.pi * (20 / 80 - 0.1) / 0.9)), 0.06)
    assert (tmp_path / "model.safetensors").is_file()


def test_a_run_without_time_takes_one_step(tmp_path):
    loop = ClockedTraining(tmp_path, Clock(), 0.0)
    assert loop.run()["finished"] == 1
    assert loop.step == 1


# Rows


def test_a_store_takes_what_it_has_room_for():
    store = Store({"a": ((2,), torch.float32)}, 5, torch.device("cpu"))
    first = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert store.append({"a": first, "other": np.zeros(9)}) == 3
    assert store.append({"a": first + 10}) == 2
    assert store.append({"a": first}) == 0
    assert store["a"].tolist() == [[0, 1], [2, 3], [4, 5], [10, 11], [12, 13]]


def test_rows_grow_as_they_are_made_and_batches_are_of_those(tmp_path):
    pool = noise_pool(tmp_path)
    pool.done[:] = 0
    rows = PoolRows(pool, 100, torch.device("cpu"))
    assert len(rows.grow()) == 0
    pool.done[[3, 7, 8]] = 1
    assert rows.grow().tolist() == [3, 7, 8]
    pool.done[[0, 20]] = 1
    assert rows.grow(most=1).tolist() == [0]
    assert rows.grow().tolist() == [20]
    assert rows.where.tolist() == [3, 7, 8, 0, 20]
    batch = rows.drawn(200, torch.Generator().manual_seed(1))
    assert sorted(set(batch["index"].tolist())) == [0, 1, 2, 3, 4]
    row = rows.where[batch["index"].numpy()]
    for name in POOL_NAMES:
        assert np.array_equal(batch[name].numpy(), pool.arrays[name][row], equal_nan=True), name
    few = PoolRows(pool, 2, torch.device("cpu"))
    few.grow()
    assert len(few) == 2
    assert len(few.grow()) == 0


# Devices


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_on_the_device_alone(name, tmp_path):
    """What a GPU would refuse or be waited for; nothing of a batch begins on the CPU."""
    plan = read_plan()
    recipe = recipe_for(plan, name, replace(SMOKE, batch=5), {"width": "16"})
    method = method_for(model_for(recipe), recipe)
    pool = noise_pool(tmp_path)
    rows = PoolRows(pool, 30, META)
    rows.grow()
    trainer = TimedTrainer(
        MetaFabric(),
        recipe,
        method.to(META),
        rows,
        tmp_path,
        stretch=Stretch(1e6),
        beside=lambda _: None,
        options=QUIET,
        config={},
        card={},
        teacher=table_teacher(recipe.width, META) if method.needs_clip else None,
    )
    trainer.train_mode()
    batches = iter(trainer.batches())
    for _ in range(2):
        with OneDevice(), no_autocast():
            batch = next(batches)
            assert {value.device.type for value in batch.values()} == {"meta"}
            trainer.one_step(trainer.to_device(batch))
        trainer.step += 1
    assert {"loss", "error_deg", "iris_px", "segmentation"} <= trainer._sums.keys()
    assert all(value.device.type == "meta" for value in trainer._sums.values())


def few_steps(name, folder, run, precision, seconds, teacher=None):
    """Metrics of a run on noise."""
    settings = {"width": "16", "precision": precision}
    recipe = recipe_for(read_plan(), name, replace(SMOKE, batch=6), settings)
    method = method_for(model_for(recipe), recipe)
    fabric = make_fabric(run, precision)
    rows = PoolRows(noise_pool(folder), 30, fabric.device)
    rows.grow()
    trainer = TimedTrainer(
        fabric,
        recipe,
        method,
        rows,
        folder,
        stretch=Stretch(seconds),
        beside=lambda _: None,
        options=run,
        config={},
        card={**method.model.card(), "recipe": recipe.to_dict()},
        teacher=teacher if method.needs_clip else None,
    )
    return trainer.run()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_in_bfloat16(name, tmp_path):
    """As on a GPU, where losses and labels are float32 nevertheless."""
    teacher = table_teacher(16, torch.device("cpu"))
    metrics = few_steps(name, tmp_path, QUIET, "bf16-mixed", 0.0, teacher)
    assert metrics["finished"] == 1
    assert np.isfinite(metrics["loss"])
    assert read_weights(tmp_path)[0]["gaze.weight"].dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_steps_on_a_gpu(name, tmp_path):
    run = replace(QUIET, accelerator="cuda")
    teacher = table_teacher(16, torch.device("cuda"))
    metrics = few_steps(name, tmp_path, run, "auto", 3.0, teacher)
    assert metrics["finished"] == 1
    assert np.isfinite(metrics["loss"])
    assert all(torch.isfinite(v).all() for v in read_weights(tmp_path)[0].values())


def table_teacher(width: int, device: torch.device) -> ClipTeacher:
    """As of ``train.runs.gpu.clip``, with tables of nothing."""
    from types import SimpleNamespace

    from train.runs.gpu.clip import RowImages, RowTexts

    tables = SimpleNamespace(
        table=torch.ones(30, width, dtype=torch.half, device=device),
        texts=torch.ones(8, 5, width, dtype=torch.half, device=device),
        personal=True,
    )
    return ClipTeacher(RowImages(tables), RowTexts(tables), "none")


@pytest.mark.parametrize("kind", ["landmarks", "detector"])
def test_the_front_end_draws_on_the_device(kind):
    pictures = Pictures(kind, 9, META)
    arrays = {
        name: np.zeros((4, *shape), np.uint8 if dtype == torch.uint8 else np.float32)
        for name, (shape, dtype) in {**SHAPES[kind], "empty": ((192, 192, 3), torch.uint8)}.items()
    }
    assert not pictures.enough(4)
    pictures.append(arrays)
    assert pictures.enough(4)
    assert not pictures.enough(5)
    with OneDevice():
        recipe = pictures.recipe()
        batch = recipe.drawn(10, torch.Generator().manual_seed(1))
    assert batch["image"].device.type == "meta"
    assert len(batch["image"]) == 10


# CLIP's words, of rows that come


def test_clip_describes_rows_as_they_come(tmp_path):
    from train.gaze.recipes import find_recipe
    from train.runs.gpu.clip import growing_teacher, shipped_clip

    pool = noise_pool(tmp_path, size=12, each=4)
    pool.arrays["identity"][:] = np.random.default_rng(2).normal(size=(12, 100))
    pool.arrays["identity"][:] = pool.arrays["identity"][np.arange(12) // 4 * 4]
    pool.done[6:] = 0  # one person and a half
    rows = PoolRows(pool, 12, torch.device("cpu"))
    rows.grow()
    clip = shipped_clip(torch.device("cpu"))
    hand, features = growing_teacher(rows, find_recipe("clip_gaze_minus").method, clip)
    assert not features.personal
    teacher, features = growing_teacher(rows, find_recipe("clip_gaze").method, clip)
    features.learn()
    pool.done[6] = 1
    rows.grow()
    features.learn()  # a row, and nobody new
    pool.done[:] = 1
    rows.grow()
    features.learn()
    batch = rows.drawn(9, torch.Generator().manual_seed(4))
    said = teacher.of(batch)
    expected = clip.encode_images(batch["image"])
    assert torch.allclose(said["image_features"], expected, atol=2e-3)
    texts = said["text_features"]
    assert texts.shape[::2] == (9, clip.width)
    person = batch["person"]
    for a, b in ((0, k) for k in range(1, 9)):
        same = torch.allclose(texts[a], texts[b])
        assert same == bool(person[a] == person[b])
    assert hand.of({**batch, "index": batch["index"] * 0})["text_features"].ndim == 2


# What is left


def test_a_folder_with_files_is_refused(tmp_path):
    leaving.new_folder(tmp_path / "new")
    (tmp_path / "new" / "log.jsonl").touch()
    with pytest.raises(FitError, match=r"holds log.jsonl already; give a new folder"):
        leaving.new_folder(tmp_path / "new")


def test_files_are_few_and_small_or_it_is_said(tmp_path):
    for name in ("state.safetensors", "log.jsonl.partial", "model.safetensors"):
        (tmp_path / name).write_bytes(b"1")
    assert leaving.tidied(tmp_path) == []
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    (tmp_path / "big.onnx").write_bytes(bytes(17 << 20))
    for number in range(7):
        (tmp_path / f"{number}").touch()
    assert leaving.tidied(tmp_path) == ["big.onnx has 17.0 MiB", "there are 9 files"]


def test_a_curve_has_a_line_for_each_error(tmp_path):
    path = tmp_path / "curve.png"
    leaving.draw_curve(path, {"deg": [(0.0, 30.0), (2.0, 5.0)], "px": [(2.0, 1.0)], "none": []})
    picture = cv2.imread(str(path))
    assert picture.shape == (400, 640, 3)
    corner, end = picture[19:24, 58:63], picture[297:303, 485:493]
    assert (corner == (180, 60, 20)).all(2).any()  # 30 at 0
    assert (end == (180, 60, 20)).all(2).any()  # 5 at 2
    leaving.draw_curve(path, {})


def test_a_run_is_worth_its_weights_without_an_export(tmp_path, monkeypatch):
    assert "not exported: 3 s were left" in leaving.exported("gaze", tmp_path, 3.0)
    said = leaving.exported("gaze", tmp_path, 60.0)  # holds no weights
    assert "not exported: " in said
    assert "model.safetensors does not exist" in said
    monkeypatch.setattr(leaving.importlib.util, "find_spec", lambda name: None)
    said = leaving.exported("gaze", tmp_path, 60.0)
    assert said.startswith("not exported: onnx and onnxruntime not installed")


# The command


def test_what_cannot_be_is_refused_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CLIPGAZE_FACEKIT", raising=False)
    out = str(tmp_path / "out")
    assert main(["--out", out]) == 2
    assert "no face model: give --facekit DIR" in capsys.readouterr().err
    assert main(["--out", out, "--facekit", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    other = str(tmp_path / "other")
    assert main(["--out", other, "--facekit", "x", "--set", "colour=red"]) == 2
    assert "no option 'colour'" in capsys.readouterr().err


def test_a_large_batch_learns_faster_and_settings_have_the_last_word():
    plan = read_plan()
    planned = plan.recipe(0)
    recipe = recipe_for(plan, "cdg", replace(SMOKE, batch=16 * planned.batch), {})
    assert recipe.batch == 16 * planned.batch
    assert recipe.learning_rate == pytest.approx(2 * planned.learning_rate)
    assert recipe.backbone == "eyes"
    assert type(recipe.method).__name__ == "CdgOptions"
    assert recipe_for(plan, "erm", SMOKE, {"learning_rate": "0.01"}).learning_rate == 0.01


def test_rendering_processes_import_no_pytorch():
    source = (
        "import sys, train.runs.gpu.chunks, train.runs.gpu.renderers; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["gaze", "landmarks", "detector", "throughput"])
def test_all_of_a_gpu_run_in_two_minutes_on_two_cores(task, facekit_folder, studio, tmp_path):
    """The studio is asked for because it skips where nothing can be drawn."""
    out = tmp_path / "out"
    command = ["train.runs.one_gpu", "--task", task, "--smoke", "--out", str(out)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command, "--facekit", str(facekit_folder), "--accelerator", "cpu"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'sdk'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 135
    report = json.loads((out / "report.json").read_text())
    there = [path for path in out.iterdir() if path.is_file()]
    assert len(there) <= leaving.MOST_FILES
    assert all(path.stat().st_size <= leaving.MOST_BYTES for path in there)
    if task == "throughput":
        assert all(line["crops_per_s"] > 0 for line in report["rendering"])
        assert {line["backbone"] for line in report["gaze"]} == {"eyes", "twin"}
        return
    assert report["metrics"]["finished"] == 1
    assert report["metrics"]["times_seen"] > 0
    assert report["export"].startswith("wrote "), report["export"]
    assert read_weights(out)[1]["architecture"]
    assert len(report["curve"]) >= 1
