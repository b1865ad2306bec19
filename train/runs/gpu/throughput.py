"""How fast this machine renders, trains and answers, and whether its GPU's tests pass: one JSON.

A part that fails says why in its place, and the others go on.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from train.gaze.recipes import Recipe, changed
from train.gaze.trainer import method_for, model_for
from train.loop.training_loop import FitError
from train.runs.gpu.budget import Stretch
from train.runs.gpu.gaze import TimedTrainer
from train.runs.gpu.leaving import new_folder, write_report
from train.runs.gpu.renderers import Renderers, fill_pools
from train.runs.gpu.rows import POOL_NAMES, PoolRows
from train.runs.gpu.setup import RATE_A_PROCESS, Job, rows_folder, wait_for
from train.synth.outputs.plan import POOL_PICTURES_PER_PERSON, PoolOptions, resolve_domains
from train.synth.outputs.pool import CropPool, PoolSettings, make_pool, row_bytes
from train.synth.outputs.studio import VERSION

BACKBONES = ("eyes", "twin")
PRECISIONS = {"cuda": ("32-true", "bf16-mixed"), "cpu": ("32-true",)}
BATCHES, SMOKE_BATCHES = (32, 128, 512, 1024, 2048), (4,)
STEPS, SMOKE_STEPS, WARM_UP = 30, 1, 3
RENDERING_SHARE, TESTS_SHARE = 0.4, 0.3
"""Of the minutes: for rendering by each number of processes together, and for tests."""
SMOKE_ROWS = 24
_ROOT = Path(__file__).parents[3]
_ROWS = 64


def run_throughput(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Measure everything that there is time for; returns the report."""
    new_folder(job.out)
    job.check_face_model()
    fabric = job.fabric()
    device = fabric.device
    counts = sorted({1, max(job.processes // 2, 1), job.processes})
    seconds = RENDERING_SHARE * job.budget.total_s / len(counts)
    report: dict[str, Any] = {"task": job.task, "smoke": job.smoke}
    report["rendering"] = [_said(partial(rendered, job, n, seconds)) for n in counts]
    job.mark("rendered")
    limit = TESTS_SHARE * job.budget.total_s
    report["tests"] = {
        "gpu": _said(partial(run_tests, ["-m", "gpu", "tests/train"], limit)),
        "pycuda": _said(
            partial(run_tests, ["tests/tensorrt"], limit, needs=("tensorrt", "pycuda"))
        ),
    }
    job.mark("tested")
    report["gaze"] = [
        line
        for backbone in BACKBONES
        for precision in PRECISIONS.get(device.type, ("32-true",))
        for line in _speeds(job, backbone, precision)
    ]
    job.mark("timed")
    report = {**report, **_about(job, device), "times_s": job.times_s}
    write_report(job.out, report)
    return report


def _about(job: Job, device: torch.device) -> dict[str, Any]:
    from train.runs.gpu.setup import machine

    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {**machine(device), "minutes": job.budget.total_s / 60, "device_memory_bytes": memory}


def _said(work: Callable[[], Any]) -> Any:
    """What it gives, or what went wrong in it."""
    try:
        return work()
    except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


# Rendering


def rendered(job: Job, processes: int, seconds: float) -> dict[str, Any]:
    """Crops a second of some processes, from when the first of them have come."""
    size = SMOKE_ROWS if job.smoke else int(processes * RATE_A_PROCESS * seconds)
    domains = tuple(d.name for d in resolve_domains(job.plan.domains))
    settings = PoolSettings(job.plan.seed, domains, size, POOL_PICTURES_PER_PERSON, VERSION)
    with rows_folder(1.5 * size * row_bytes()) as folder:
        pool = make_pool(folder / "rows", settings)
        work = PoolOptions(
            facekit=job.facekit,
            out=pool.folder,
            count=size,
            domains=domains,
            seed=job.plan.seed,
        )
        began = time.monotonic()
        with Renderers(fill_pools, (work,), processes) as renderers:
            wait_for(lambda: len(pool.rows()) > 0, renderers, job.budget, "rows")
            first, rows = time.monotonic(), len(pool.rows())
            while len(pool.missing(size)) and time.monotonic() - began < seconds:
                time.sleep(0.2)
                renderers.watch()
            passed = time.monotonic() - first
            made = len(pool.rows())
    return {
        "processes": processes,
        "crops_per_s": round((made - rows) / max(passed, 1e-6), 2),
        "crops": made,
        "first_after_s": round(first - began, 1),
        "opengl": renderers.opengl,
        "died": renderers.died,
    }


# Training and answering


def _speeds(job: Job, backbone: str, precision: str) -> list[dict[str, Any]]:
    """Of every batch that there is time for."""
    lines = []
    batches, steps = (SMOKE_BATCHES, SMOKE_STEPS) if job.smoke else (BATCHES, STEPS)
    for batch in batches:
        about = {"backbone": backbone, "precision": precision, "batch": batch}
        if job.budget.for_training_s() <= 0:
            lines.append({**about, "error": "no time was left"})
            break
        made = _said(partial(_speed, job, backbone, precision, batch, steps))
        lines.append({**about, **made})
    return lines


def _speed(job: Job, backbone: str, precision: str, batch: int, steps: int) -> dict[str, float]:
    recipe = changed(
        job.plan.recipe(0),
        {"backbone": backbone, "batch": str(batch), "precision": precision, "keep_epochs": "0"},
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = random_trainer(job, replace(recipe, steps=1_000_000), Path(folder))
        return {
            "trained_per_s": round(batch * trained(trainer, steps), 1),
            "answered_per_s": round(batch * answered(trainer, steps), 1),
        }


def random_trainer(job: Job, recipe: Recipe, folder: Path) -> TimedTrainer:
    """On crops of noise, whose labels mean nothing, on the device."""
    fabric = job.fabric(recipe.precision)
    settings = PoolSettings(0, ("meeting",), _ROWS, POOL_PICTURES_PER_PERSON, VERSION)
    pool = make_pool(folder / "rows", settings)
    fill_with_noise(pool)
    rows = PoolRows(pool, _ROWS, fabric.device)
    rows.grow()
    method = method_for(model_for(recipe), recipe)
    trainer = TimedTrainer(
        fabric,
        recipe,
        method,
        rows,
        folder,
        stretch=Stretch(1e9),
        beside=lambda _: None,
        options=job.options,
        config={},
        card={},
    )
    trainer.train_mode()
    return trainer


def fill_with_noise(pool: CropPool) -> None:
    """Every row, with labels of the size that real ones have."""
    rng = np.random.default_rng(0)
    for name in POOL_NAMES:
        array = pool.arrays[name]
        if array.dtype.kind == "f":
            middle, spread = (0.0, 0.2) if array.shape[1:] == (2,) else (112.0, 20.0)
            array[:] = rng.normal(middle, spread, array.shape)
        else:
            array[:] = rng.integers(0, 6 if name == "classes" else 200, array.shape)
    pool.arrays["person"][:] = 0
    pool.arrays["openness"][:] = 0.7
    pool.done[:] = 1


def trained(trainer: TimedTrainer, steps: int) -> float:
    """Steps a second, drawing, augmentation and optimiser included."""
    batches = iter(trainer.batches())
    began = 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            began = _now(trainer.fabric.device)
        trainer.one_step(trainer.to_device(next(batches)))
        trainer.step += 1
    return steps / (_now(trainer.fabric.device) - began)


@torch.inference_mode()
def answered(trainer: TimedTrainer, steps: int) -> float:
    """Batches a second of a network that answers, from whole crops on the device."""
    model: Any = trainer.learner.model
    model.eval()
    batch = trainer.rows.drawn(trainer.recipe.batch, torch.Generator().manual_seed(1))
    began = 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            began = _now(trainer.fabric.device)
        with trainer.fabric.autocast():
            model.of(batch)
    return steps / (_now(trainer.fabric.device) - began)


def _now(device: torch.device) -> float:
    """Seconds, with the device's work done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


# Tests


def run_tests(
    arguments: list[str], seconds: float, *, needs: tuple[str, ...] = ()
) -> dict[str, Any]:
    """How tests ended that are chosen so."""
    for name in ("pytest", *needs):
        if importlib.util.find_spec(name) is None:
            raise FitError(f"not run: {name} is not installed")
    if not (_ROOT / "tests").is_dir():
        raise FitError("not run: tests/ is not in this checkout")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["said nothing"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"exit_code": done.returncode, "said": lines[-1], "failed": failed[:20]}
