"""The loop of gaze training: batches of a data set, described by CLIP and augmented."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from train.data.tables import GazeDataset
from train.gaze.methods import Method, make_method
from train.gaze.methods.clip_gaze import ClipTeacher
from train.gaze.methods.pure_gaze import PureGaze
from train.gaze.models import SWITCHES, GazeModel
from train.gaze.recipes import Recipe
from train.gaze.sheet_augment import augmentation_for
from train.loop.gather import BatchSampler, gather
from train.loop.states import About
from train.loop.training_loop import Batch, FitError, LoopOptions, RunOptions, TrainingLoop

KEYS = ("image", "gaze", "head", "person", "index")
LANDMARK_KEYS = ("points", "openness", "rims", "seen_eyes", "seen_head", "sight_gaze", "classes")
"""What data sets of photographs may do without."""


def total_steps(recipe: Recipe, samples: int) -> int:
    """Optimiser steps of a recipe on a data set."""
    return recipe.steps or max(math.ceil(recipe.epochs * samples / recipe.batch), 1)


def model_for(recipe: Recipe) -> GazeModel:
    """The network of a recipe, with random weights or timm's."""
    switches = {name: getattr(recipe, name) for name in SWITCHES}
    return GazeModel(recipe.backbone, recipe.width, recipe.pretrained, **switches)


def method_for(model: GazeModel, recipe: Recipe) -> Method:
    """The method of a recipe, with what it adds to the method's own loss.

    Raises :class:`FitError` for options that would do nothing.
    """
    method = make_method(model, recipe.method)
    if recipe.certainty and isinstance(method, PureGaze):
        raise FitError("certainty weighs L_g, which pure_gaze has not; set certainty=0")
    if recipe.segmentation and not (recipe.landmarks and model.has_heat):
        raise FitError(
            "segmentation is part of the landmarks' loss of eyes; set landmarks=1 and "
            "backbone=eyes with heat=true, or segmentation=0"
        )
    method.certainty = recipe.certainty
    if recipe.landmarks:
        method.add_landmarks(recipe.landmarks, recipe.segmentation)
    return method


def loop_options(recipe: Recipe, samples: int) -> LoopOptions:
    """What of a recipe the loop reads."""
    names = [f.name for f in fields(LoopOptions)]
    shared: dict[str, Any] = {name: getattr(recipe, name) for name in names}
    return LoopOptions(**shared | {"steps": total_steps(recipe, samples)})


def collate(samples: list[Mapping[str, Any]]) -> Batch:
    """A batch with what training needs; unknown heads and landmarks stay NaN."""
    keys = [*KEYS, *(k for k in LANDMARK_KEYS if k in samples[0])]
    batch: Batch = default_collate([{k: s[k] for k in keys} for s in samples])
    return batch


def taught_gaze(batch: Batch) -> Tensor:
    """(B, 2) along the line of sight that the pixels show, where that is known.

    A wrong focal length turns the label away from what is seen, by 1.2 degrees in the mean, and no
    picture says how: nothing can be learnt from that.
    """
    if "sight_gaze" not in batch:
        return batch["gaze"]
    sight = batch["sight_gaze"]
    return torch.where(sight.isfinite(), sight, batch["gaze"])


class Trainer(TrainingLoop):
    """One run of a recipe of gaze."""

    shown = ("loss", "error_deg")

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        method: Method,
        source: GazeDataset,
        out: Path,
        *,
        options: RunOptions,
        config: About,
        card: About,
        teacher: ClipTeacher | None = None,
    ) -> None:
        super().__init__(
            fabric,
            method,
            out,
            options=loop_options(recipe, len(source)),
            run=options,
            config=config,
            card=card,
        )
        method.gather = gather
        self.recipe, self.source, self.teacher = recipe, source, teacher
        self.augment = augmentation_for(method.model.architecture, recipe.augment, seed=recipe.seed)

    def batches(self) -> Iterable[Batch]:
        """Bytes of pictures, and labels."""
        sampler = BatchSampler(
            len(self.source),
            batch=self.recipe.batch,
            steps=self.steps,
            seed=self.recipe.seed,
            start=self.step,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
        )
        return DataLoader(
            self.source,  # type: ignore[arg-type]
            batch_sampler=sampler,
            num_workers=self.run_options.workers,
            collate_fn=collate,
            pin_memory=self.fabric.device.type == "cuda",
        )

    def to_device(self, batch: Batch) -> Batch:
        """Moved, described by CLIP as it is stored, then augmented.

        ``index`` stays where it is: a table in memory is looked up by it, and to fetch it back
        from the device would wait for the step before.
        """
        device = self.fabric.device
        batch = {
            k: v if k == "index" else v.to(device, non_blocking=True) for k, v in batch.items()
        }
        described: dict[str, Tensor] = self.teacher.of(batch) if self.teacher is not None else {}
        batch["gaze"] = taught_gaze(batch)
        size = len(batch["image"])
        batch = self.augment(
            batch, self.step, first=self.fabric.global_rank * size, total=self.recipe.batch
        )
        return batch | described

    def kept_now(self) -> str | None:
        """Of the last epochs' ends, each."""
        per_epoch = len(self.source) / self.recipe.batch
        now = math.floor(self.step / per_epoch + 1e-9)
        last = math.floor(self.steps / per_epoch + 1e-9)
        ends = now > math.floor((self.step - 1) / per_epoch + 1e-9)
        return f"epoch-{now:03d}" if ends and now > last - self.recipe.keep_epochs else None

    def progress(self) -> dict[str, float]:
        """With epochs."""
        steps, seconds = super().progress().values()
        epochs = self.step * self.recipe.batch / len(self.source)
        return {"steps": steps, "epochs": epochs, "seconds": seconds}
