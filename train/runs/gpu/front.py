"""The landmark network or the detector in minutes, by their own recipes, as pictures come."""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn

from train.front.crops import DETECTOR_MAX_FACES, DETECTOR_PX, LANDMARK_STORE_PX
from train.front.detector_recipe import DetectorRecipe
from train.front.landmark_recipe import SIZE, LandmarkRecipe
from train.front.networks import LANDMARKS
from train.front.training import FrontLearner, FrontTraining, step_generator
from train.loop import devices
from train.loop.states import log_line
from train.loop.training_loop import Batch, LoopOptions, TrainingLoop
from train.loop.weight_cards import commit, running_command, versions
from train.runs.gpu.budget import Stretch, timed
from train.runs.gpu.chunks import FRAMES_A_CUTOUT, Chunks, ChunkWork, make_chunks
from train.runs.gpu.leaving import CURVE, draw_curve, exported, new_folder, tidied, write_report
from train.runs.gpu.renderers import Renderers
from train.runs.gpu.rows import Shapes, Store, room_for
from train.runs.gpu.setup import RATE_A_PROCESS, Job, Sizes, rows_folder, wait_for

NETWORKS = {"landmarks": "face_landmarks", "detector": "face_detector"}
WHOLE = {
    "landmarks": Sizes(batch=256, first_rows=1024, held_out_rows=24, domains="", looks=10),
    "detector": Sizes(batch=64, first_rows=512, held_out_rows=24, domains="", looks=10),
}
"""``held_out_rows`` are cut-outs of a chunk, and a chunk of every process is held out."""
SMOKE = Sizes(batch=8, first_rows=8, held_out_rows=8, domains="meeting,street", looks=1)
LEARNING_RATE = 2e-3
_SMOKE_ROOM = 400
_LOOKS_AT = 4
"""Held-out batches that are looked at."""
_WATCHED_EVERY_S = 1.0
_CHUNKS_AT_ONCE = 8

_u1, _f4 = torch.uint8, torch.float32
_CROP = (LANDMARK_STORE_PX, LANDMARK_STORE_PX, 3)
SHAPES: dict[str, Shapes] = {
    "landmarks": {
        "crops": (_CROP, _u1),
        "points": ((LANDMARKS, 2), _f4),
        "visible": ((LANDMARKS,), torch.bool),
        "openness": ((2,), _f4),
    },
    "detector": {
        "frames": ((DETECTOR_PX, DETECTOR_PX, 3), _u1),
        "boxes": ((DETECTOR_MAX_FACES, 4), _f4),
        "points": ((DETECTOR_MAX_FACES, 5, 2), _f4),
    },
}
"""Of a row of what chunks hold."""


class Pictures:
    """What a recipe draws from, on the device, more of it while chunks come."""

    def __init__(self, kind: str, capacity: int, device: torch.device) -> None:
        self.kind = kind
        self.store = Store(SHAPES[kind], capacity, device)
        self.empty = Store({"empty": (_CROP, _u1)}, capacity if kind == "landmarks" else 0, device)

    def append(self, arrays: dict[str, Any]) -> None:
        """Copy a chunk, as much of it as there is room for."""
        self.store.append(arrays)
        if self.kind == "landmarks":
            self.empty.append(arrays)

    def enough(self, first_rows: int) -> bool:
        """Whether a recipe can draw."""
        rows = self.store.count >= min(first_rows, self.store.capacity)
        return rows and (self.kind == "detector" or self.empty.count > 0)

    def recipe(self) -> LandmarkRecipe | DetectorRecipe:
        """Of what is there now."""
        s = self.store
        if self.kind == "detector":
            return DetectorRecipe(s["frames"], s["boxes"], s["points"])
        return LandmarkRecipe(
            s["crops"], s["points"], s["visible"], s["openness"], self.empty["empty"]
        )


class TimedFront(FrontTraining):
    """The loop of the front end on pictures that are on the device; ends by the clock."""

    def __init__(self, job: Job, sizes: Sizes, feed: Feed, fabric: Fabric) -> None:
        recipe = feed.pictures.recipe()
        learner = FrontLearner(recipe.network(), recipe)
        options = LoopOptions(
            steps=1,  # a forecast, which the time replaces
            batch=sizes.batch,
            learning_rate=LEARNING_RATE,
            schedule="one_cycle_momentum",
        )
        said = options.to_dict() | recipe.settings()
        card = {
            "architecture": {"network": recipe.name},
            "trained_on": {"seed": job.plan.seed, "domains": sizes.domains or job.plan.domains},
            "recipe": said,
            "init_sha256": None,
            "seed": options.seed,
            "commit": commit(),
            "command": running_command(),
            "versions": versions(),
        }
        super().__init__(
            fabric, learner, job.out, options, job.options, {"network": recipe.name}, card
        )
        self.feed, self.stretch = feed, Stretch(job.budget.for_training_s())

    def batches(self) -> Iterator[Batch]:
        """Until the time is over."""
        yield from timed(self, self.stretch, self._drawn)
        self.card["recipe"]["steps"] = self.step

    def _drawn(self) -> Batch:
        self.feed.beside(self)
        self.recipe = self.feed.pictures.recipe()
        generator = step_generator(self.options.seed, self.step)
        return self.recipe.drawn(self.options.batch, generator)

    def progress(self) -> dict[str, float]:
        """With rows, and how often each was seen in the mean."""
        rows, seen = self.feed.pictures.store.count, self.step * self.options.batch
        return TrainingLoop.progress(self) | {
            "rows": float(rows),
            "image_steps": float(seen),
            "times_seen": round(seen / max(rows, 1), 2),
        }


class Feed:
    """Chunks become pictures, those held out and those to train on; and the network is measured."""

    def __init__(
        self,
        job: Job,
        renderers: Renderers,
        chunks: Chunks,
        held_out: Pictures,
        pictures: Pictures,
        looks: int,
    ) -> None:
        self.job, self.pictures, self.held_out = job, pictures, held_out
        self.curve: list[dict[str, float]] = []
        self._renderers, self._chunks, self._looks = renderers, chunks, looks
        self._watched = 0.0

    def take(self) -> None:
        """Copy some of what is there to the device."""
        for is_held_out, arrays in self._chunks.new(_CHUNKS_AT_ONCE):
            (self.held_out if is_held_out else self.pictures).append(arrays)

    def beside(self, loop: TimedFront) -> None:
        """Before every batch."""
        now = time.monotonic()
        if now - self._watched >= _WATCHED_EVERY_S:
            self._watched = now
            self._renderers.watch()
            self.take()
        looked = len(self.curve)
        due = loop.stretch.share() * (self._looks + 1) >= looked + 1
        if due and looked < self._looks and loop.step:
            self.look(loop)

    def look(self, loop: TimedFront) -> dict[str, float]:
        """Figures of the averaged weights on held-out pictures, noted in the log."""
        figures = held_out_losses(loop, self.held_out.recipe())
        line = {"step": loop.step, **loop.progress(), **figures}
        line["seconds"] = round(self.job.budget.spent_s(), 1)
        self.curve.append(line)
        log_line(loop.out, {name: round(value, 5) for name, value in line.items()})
        said = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        self.job.say(f"step {loop.step}, {self.pictures.store.count} rows: {said}")
        return figures


@torch.inference_mode()
def held_out_losses(
    loop: TrainingLoop, recipe: LandmarkRecipe | DetectorRecipe
) -> dict[str, float]:
    """The losses on batches that are the same each time, and landmarks' error in crop pixels."""
    network = copy.deepcopy(loop.learner.model).eval()
    network.load_state_dict(loop.average)
    sums: dict[str, torch.Tensor] = {}
    for number in range(_LOOKS_AT):
        generator = step_generator(77, number)
        batch = recipe.drawn(loop.options.batch, generator)
        batch = {k: v.to(loop.fabric.device) for k, v in batch.items()}
        batch = recipe.augmented(batch, generator)
        found = dict(recipe.losses(network, batch))
        if isinstance(recipe, LandmarkRecipe):
            found["landmarks_px"] = landmark_error(network, batch)
        for name, value in found.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value / _LOOKS_AT
    return {f"held_out_{name}": float(value) for name, value in sums.items()}


def landmark_error(network: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean distance in pixels of the 128 px crop, of faces that are there."""
    off = (network(batch["image"])["points"].float() - batch["points"]).norm(dim=-1).mean(1)
    present = batch["present"].float()
    mean: torch.Tensor = (off * present).sum() / present.sum().clamp(min=1)
    return SIZE / 2 * mean


def run_front(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Render, train, measure, export and write; returns the report.

    Raises :class:`ValueError` for what cannot be, before anything long is begun.
    """
    sizes = SMOKE if args.smoke else WHOLE[args.task]
    if args.batch:
        sizes = replace(sizes, batch=args.batch)
    new_folder(job.out)
    job.check_face_model()
    fabric = job.fabric()
    torch.manual_seed(0)
    row_bytes = _row_bytes(args.task)
    with rows_folder(2e9 if not args.smoke else 1e8) as folder:
        room = _SMOKE_ROOM if args.smoke else _rows_wanted(job)
        # Twice: crops of no face are beside the others.
        room = max(min(room, room_for(2 * row_bytes, fabric.device, folder)), 1)
        work = _work(args, job, sizes, folder)
        with Renderers(make_chunks, (work,), job.processes) as renderers:
            held_out, pictures = (
                Pictures(args.task, n, fabric.device)
                for n in (work.held_out_chunks * work.each * FRAMES_A_CUTOUT, room)
            )
            feed = Feed(job, renderers, Chunks(work), held_out, pictures, sizes.looks)

            def whole() -> bool:
                feed.take()
                return held_out.enough(work.each) and pictures.enough(sizes.first_rows)

            wait_for(whole, renderers, job.budget, "pictures")
            job.mark("first rows")
            loop = TimedFront(job, sizes, feed, fabric)
            metrics = loop.run()
            job.mark("trained")
        figures = feed.look(loop)
    report = job.report(fabric.device, renderers) | {
        "recipe": loop.card["recipe"],
        "precision": devices.precision_on("auto", fabric.device.type),
        "metrics": metrics,
        "held_out": figures,
        "rows_per_s": round(pictures.store.count / job.times_s["trained"], 2),
        "curve": feed.curve,
    }
    return _written(args.task, job, report)


def _written(task: str, job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """Export, picture and report."""
    names = (
        ("held_out_landmarks_px",) if task == "landmarks" else ("held_out_score", "held_out_box")
    )
    curve = {
        name.removeprefix("held_out_"): [(p["seconds"] / 60, p[name]) for p in report["curve"]]
        for name in names
    }
    draw_curve(job.out / CURVE, curve)
    report["export"] = exported(NETWORKS[task], job.out, job.budget.left_s())
    job.mark("exported")
    report["beyond_bounds"] = tidied(job.out)
    write_report(job.out, report)
    return report


def _work(args: argparse.Namespace, job: Job, sizes: Sizes, folder: Path) -> ChunkWork:
    return ChunkWork(
        kind=args.task,
        facekit=job.facekit,
        folder=folder,
        domains=sizes.domains or job.plan.domains,
        seed=job.plan.seed,
        held_out_seed=job.plan.held_out_seed,
        held_out_chunks=job.processes,
        each=sizes.held_out_rows,
        processes=job.processes,
    )


def _rows_wanted(job: Job) -> int:
    return int(FRAMES_A_CUTOUT * job.processes * RATE_A_PROCESS * job.budget.for_training_s())


def _row_bytes(kind: str) -> int:
    shapes = SHAPES[kind]
    return sum(
        torch.Size(shape).numel() * torch.zeros((), dtype=dtype).element_size()
        for shape, dtype in shapes.values()
    )
