"""The gaze network in minutes: crops are rendered into a pool, and trained on as they come."""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric

from train.data.pool import Pool
from train.data.tables import GazeDataset
from train.gaze.checkpoints import load_model
from train.gaze.fitting import start_from
from train.gaze.held_out import held_out_figures
from train.gaze.methods.clip_gaze import ClipGazeOptions, ClipTeacher
from train.gaze.recipes import Recipe, changed, find_recipe
from train.gaze.trainer import Trainer, method_for, model_for
from train.loop import devices
from train.loop.states import About, log_line
from train.loop.training_loop import Batch, RunOptions, TrainingLoop
from train.loop.weight_cards import commit, running_command, versions
from train.runs.gpu.budget import Stretch, timed
from train.runs.gpu.leaving import CURVE, draw_curve, exported, new_folder, tidied, write_report
from train.runs.gpu.renderers import Renderers, fill_pools
from train.runs.gpu.rows import PoolRows, room_for
from train.runs.gpu.setup import RATE_A_PROCESS, Job, Sizes, rows_folder, wait_for
from train.runs.plan import Plan
from train.synth.outputs.plan import POOL_PICTURES_PER_PERSON, PoolOptions, resolve_domains
from train.synth.outputs.pool import CropPool, PoolSettings, make_pool, row_bytes
from train.synth.outputs.studio import VERSION

WHOLE = Sizes(batch=512, first_rows=1024, held_out_rows=0, domains="", looks=10)
"""Held-out rows and domains are the plan's."""
SMOKE = Sizes(batch=16, first_rows=24, held_out_rows=24, domains="meeting,street", looks=1)
SMOKE_ROWS, SMOKE_WIDTH = 240, "64"
RATE_POWER = 0.25
"""The plan's learning rate grows with the batch to this power.  Halves (the square root) are usual
for AdamW, but the plan's rate is high already, and Muon's steps have a length of their own."""
_WATCHED_EVERY_S = 1.0
_PART = 480
"""Held-out rows that are looked at while training goes on."""
_DRAWN = ("open_deg", "sight_deg", "iris_px", "lids_px")


@dataclass(slots=True)
class Pools:
    """Held-out rows, and those to train on."""

    held_out: CropPool
    rows: CropPool

    def work(self, facekit: Path, plan: Plan, held_out_rows: int) -> list[PoolOptions]:
        """What each process is to fill, in this order."""
        return [
            PoolOptions(
                facekit=facekit,
                out=pool.folder,
                count=count,
                domains=pool.settings.domains,
                seed=seed,
            )
            for pool, count, seed in (
                (self.held_out, held_out_rows, plan.held_out_seed),
                (self.rows, self.rows.settings.size, plan.seed),
            )
        ]


def recipe_for(plan: Plan, method: str, sizes: Sizes, settings: Mapping[str, str]) -> Recipe:
    """The plan's recipe by another method, with a large batch; ``settings`` have the last word."""
    planned = plan.recipe(0)
    rate = planned.learning_rate * (sizes.batch / planned.batch) ** RATE_POWER
    ours = {"batch": str(sizes.batch), "learning_rate": str(rate), "keep_epochs": "0"}
    recipe = changed(find_recipe(method), {**plan.settings, **ours, **settings})
    return replace(recipe, steps=1)  # a forecast, which the time replaces


class TimedTrainer(Trainer):
    """The loop of gaze on rows that are on the device; ends by the clock."""

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        method: Any,
        rows: PoolRows,
        out: Path,
        *,
        stretch: Stretch,
        beside: Callable[[TimedTrainer], None],
        options: RunOptions,
        config: About,
        card: About,
        teacher: ClipTeacher | None = None,
    ) -> None:
        """``beside`` is called before every batch is drawn: for whatever else is to be done."""
        super().__init__(
            fabric,
            recipe,
            method,
            cast(GazeDataset, rows),  # only its length is asked for
            out,
            options=options,
            config=config,
            card=card,
            teacher=teacher,
        )
        self.rows, self.stretch, self._beside = rows, stretch, beside
        self._generator = torch.Generator().manual_seed(recipe.seed)

    def batches(self) -> Iterator[Batch]:
        """Until the time is over."""
        yield from timed(self, self.stretch, self._drawn)
        self.card["recipe"]["steps"] = self.step

    def _drawn(self) -> Batch:
        self._beside(self)
        return self.rows.drawn(self.recipe.batch, self._generator)

    def kept_now(self) -> str | None:
        """Nothing but the last."""
        return None

    def progress(self) -> dict[str, float]:
        """With rows, and how often each was seen in the mean."""
        seen = self.step * self.recipe.batch
        return TrainingLoop.progress(self) | {
            "rows": float(len(self.rows)),
            "image_steps": float(seen),
            "times_seen": round(seen / max(len(self.rows), 1), 2),
        }


class Beside:
    """What goes on between steps: processes are watched, rows come, and the network is measured."""

    def __init__(
        self,
        job: Job,
        renderers: Renderers,
        held_out: GazeDataset,
        looks: int,
        learn: Callable[[], None],
    ) -> None:
        self.curve: list[dict[str, float]] = []
        self._job, self._renderers, self._held_out = job, renderers, held_out
        self._looks, self._learn, self._watched = looks, learn, 0.0
        self.last_row_s = job.budget.spent_s()

    def __call__(self, trainer: TimedTrainer) -> None:
        now = time.monotonic()
        if now - self._watched >= _WATCHED_EVERY_S:
            self._watched = now
            self._renderers.watch()
            if len(trainer.rows.grow()):
                self.last_row_s = self._job.budget.spent_s()
                self._learn()
        looked = len(self.curve)
        due = trainer.stretch.share() * (self._looks + 1) >= looked + 1
        if due and looked < self._looks and trainer.step:
            self.look(trainer)

    def look(self, trainer: TimedTrainer) -> None:
        """Measure the averaged weights on held-out rows, and note it in the log."""
        model = copy.deepcopy(trainer.learner.model)
        model.load_state_dict(trainer.average)
        figures = held_out_figures(cast(Any, model), self._held_out, device=trainer.fabric.device)
        line = {"step": trainer.step, **trainer.progress(), **figures}
        line["seconds"] = round(self._job.budget.spent_s(), 1)
        self.curve.append(line)
        log_line(trainer.out, {name: round(value, 4) for name, value in line.items()})
        said = ", ".join(f"{k} {figures[k]:.3g}" for k in _DRAWN if k in figures)
        self._job.say(f"step {trainer.step}, {len(trainer.rows)} rows: {said}")


def run_gaze(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Render, train, measure, export and write; returns the report.

    Raises :class:`ValueError` for what cannot be, before anything long is begun.
    """
    sizes = SMOKE if args.smoke else WHOLE
    if args.batch:
        sizes = replace(sizes, batch=args.batch)
    settings = dict(part.partition("=")[::2] for part in args.set)
    if args.smoke:
        settings = {"width": SMOKE_WIDTH, **settings}
    recipe = recipe_for(job.plan, args.method, sizes, settings)
    new_folder(job.out)
    job.check_face_model()
    fabric = job.fabric(recipe.precision)
    precision = devices.precision_on(recipe.precision, fabric.device.type)
    recipe = replace(recipe, precision=precision)
    torch.manual_seed(recipe.seed)
    wanted = SMOKE_ROWS if args.smoke else _rows_wanted(job)
    with rows_folder(1.5 * wanted * row_bytes()) as folder:
        held_out_rows = sizes.held_out_rows or job.plan.held_out_rows
        wanted = min(wanted, room_for(row_bytes(), fabric.device, folder))
        pools = _pools(folder, job.plan, sizes.domains or job.plan.domains, held_out_rows, wanted)
        job.mark("room made")
        work = pools.work(job.facekit, job.plan, held_out_rows)
        with Renderers(fill_pools, work, job.processes) as renderers:
            rows = PoolRows(pools.rows, wanted, fabric.device)
            trainer, beside = _trainer(
                fabric, recipe, rows, job, pools, sizes, renderers, held_out_rows
            )
            metrics = trainer.run()
            job.mark("trained")
        report = job.report(fabric.device, renderers) | {
            "method": args.method,
            "recipe": trainer.card["recipe"],
            "pool": {"domains": list(pools.rows.settings.domains), "seed": job.plan.seed},
            "renderer_version": VERSION,
            "metrics": metrics,
            "rows_per_s": round(len(rows) / beside.last_row_s, 2),
            "rows_of_room": [len(rows), wanted],
        }
        figures = held_out_figures(
            load_model(job.out), Pool(pools.held_out.folder), device=fabric.device
        )
    job.mark("measured")
    end = {**metrics, "seconds": job.times_s["trained"], **figures}
    return _written(job, report | {"held_out": figures, "curve": [*beside.curve, end]})


def _written(job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """Export, picture and report."""
    curve = {
        name: [(p["seconds"] / 60, p[name]) for p in report["curve"] if name in p]
        for name in _DRAWN
    }
    draw_curve(job.out / CURVE, curve)
    report["export"] = exported("gaze", job.out, job.budget.left_s())
    job.mark("exported")
    report["beyond_bounds"] = tidied(job.out)
    write_report(job.out, report)
    return report


def _rows_wanted(job: Job) -> int:
    return int(job.processes * RATE_A_PROCESS * job.budget.for_training_s())


def _pools(folder: Path, plan: Plan, domains: str, held_out_rows: int, rows: int) -> Pools:
    names = tuple(d.name for d in resolve_domains(domains))
    made = [
        make_pool(folder / name, PoolSettings(seed, names, size, POOL_PICTURES_PER_PERSON, VERSION))
        for name, seed, size in (
            ("held-out", plan.held_out_seed, held_out_rows),
            ("rows", plan.seed, rows),
        )
    ]
    return Pools(*made)


def _trainer(
    fabric: Fabric,
    recipe: Recipe,
    rows: PoolRows,
    job: Job,
    pools: Pools,
    sizes: Sizes,
    renderers: Renderers,
    held_out_rows: int,
) -> tuple[TimedTrainer, Beside]:
    """Made while the first rows are, and for as long as is left once they are there."""
    clip = None
    if isinstance(recipe.method, ClipGazeOptions):
        from train.runs.gpu.clip import growing_teacher, shipped_clip

        clip = shipped_clip(fabric.device)
        recipe = replace(recipe, width=clip.width)
    model = model_for(recipe)
    if recipe.init:
        start_from(model, Path(recipe.init))
    method = method_for(model, recipe)
    job.mark("network made")

    def whole() -> bool:
        rows.grow()
        there = len(pools.held_out.missing(held_out_rows)) == 0
        return there and len(rows) >= min(sizes.first_rows, pools.rows.settings.size)

    wait_for(whole, renderers, job.budget, "rows")
    job.mark("first rows")
    teacher, learn = None, _nothing
    if clip is not None:
        assert isinstance(recipe.method, ClipGazeOptions)
        teacher, features = growing_teacher(rows, recipe.method, clip)
        learn = features.learn
        learn()
    held_out = Pool(pools.held_out.folder)
    part = held_out.subset(range(0, len(held_out), max(len(held_out) // _PART, 1)))
    beside = Beside(job, renderers, cast(GazeDataset, part), sizes.looks, learn)
    card = {
        **model.card(),
        "trained_on": {"name": "pool", "seed": job.plan.seed, "renderer_version": VERSION},
        "recipe": recipe.to_dict(),
        "clip": teacher.name if teacher is not None else None,
        "init_sha256": None,
        "seed": recipe.seed,
        "commit": commit(),
        "command": running_command(),
        "devices": f"1 {fabric.device.type}",
        "versions": versions(),
    }
    trainer = TimedTrainer(
        fabric,
        recipe,
        method,
        rows,
        job.out,
        stretch=Stretch(job.budget.for_training_s()),
        beside=beside,
        options=job.options,
        config={"recipe": recipe.to_dict()},
        card=card,
        teacher=teacher,
    )
    return trainer, beside


def _nothing() -> None:
    pass
