"""The loop of gaze training, on Lightning Fabric: turns, averaging, saving, going on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate
from tqdm import tqdm

from train.data.tables import GazeDataset
from train.gaze.augment import Augmentation
from train.gaze.checkpoints import (
    MODEL,
    STATE,
    About,
    below,
    check_same,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    read_tensors,
    write_tensors,
    write_weights,
)
from train.gaze.methods import Method
from train.gaze.methods.base import Untouched
from train.gaze.methods.clip_gaze import Guide
from train.gaze.recipes import Recipe
from train.loop.gather import BatchSampler, gather
from train.loop.muon import make_optimizer
from train.loop.states import log_line, trim_log

KEYS = ("image", "gaze", "head", "person", "index")
LANDMARK_KEYS = ("points", "openness")
"""What data sets of photographs may do without."""


class FitError(ValueError):
    """A run that cannot start or go on; says what was given, what is expected, what to do."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how a recipe runs; none of it changes what is learnt."""

    accelerator: str = "auto"
    devices: int = 1
    workers: int = 0
    """Processes that load pictures, per device."""
    max_minutes: float = 0.0
    """Stop, to be gone on with, after this time; 0: never."""
    save_every_s: float = 120.0
    log_every: int = 20
    """Steps."""
    tensorboard: bool = True
    progress: bool = True
    deterministic: bool = False
    """Only algorithms that give the same bits each time, where there are such (slower on GPUs)."""


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Of a step from 0 on: a rise over the warm-up, then half a cosine, or constant."""
    warm = max(round(recipe.warmup * steps), 1) if recipe.schedule != "constant" else 0
    top = recipe.learning_rate
    if step < warm:
        share = (step + 1) / warm
        if recipe.schedule == "one_cycle":
            share = 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * share))
        return top * share
    if recipe.schedule == "constant":
        return top
    done = (step - warm) / max(steps - warm, 1)
    return top * max(0.5 * (1 + math.cos(math.pi * done)), 1e-4)


def total_steps(recipe: Recipe, samples: int) -> int:
    """Optimiser steps of a recipe on a data set."""
    return recipe.steps or max(math.ceil(recipe.epochs * samples / recipe.batch), 1)


def collate(samples: list[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch with what training needs; unknown heads and landmarks stay NaN."""
    keys = [*KEYS, *(k for k in LANDMARK_KEYS if k in samples[0])]
    batch: dict[str, Tensor] = default_collate([{k: s[k] for k in keys} for s in samples])
    return batch


class Trainer:
    """One run of a recipe; :meth:`run` does its steps and returns its metrics."""

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
        guide: Guide | None = None,
    ) -> None:
        self.fabric, self.recipe, self.source, self.out = fabric, recipe, source, out
        self.options, self.config, self.card, self.guide = options, config, card, guide
        self.steps = total_steps(recipe, len(source))
        self.step, self.seconds = 0, 0.0
        self.method = method.to(memory_format=torch.channels_last)
        self.method.gather = gather
        self.module: Any = fabric.setup_module(self.method)
        fused = fabric.device.type == "cuda" and recipe.precision != "16-mixed"
        made = [
            make_optimizer(
                recipe.optimizer,
                method.parameters_of(turn),
                learning_rate=recipe.learning_rate,
                weight_decay=recipe.weight_decay,
                fused=fused,
            )
            for turn in range(len(method.turns))
        ]
        self.optimizers: list[Any] = [fabric.setup_optimizers(o) for o in made]
        self.average = {k: v.detach().clone() for k, v in method.model.state_dict().items()}
        seen = method.model.architecture
        self.augment = Augmentation(
            recipe.augment, seed=recipe.seed, rows=seen.rows, half=seen.half
        )
        self.scalars: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._summed = 0

    # Steps

    def run(self) -> dict[str, float]:
        """Train to the end, or to the time limit, from where the folder's state is."""
        self.resume()
        self._train_mode()
        started = last_saved = time.monotonic()
        before, first = self.seconds, self.step
        bar = tqdm(
            total=self.steps,
            initial=self.step,
            unit="step",
            disable=None if self.options.progress and self.fabric.is_global_zero else True,
        )
        writer = self._writer()
        try:
            for batch in self._loader():
                self.one_step(self.to_device(batch))
                self.step += 1
                self.seconds = before + time.monotonic() - started
                bar.update()
                if self.step % self.options.log_every == 0 or self.step == self.steps:
                    self._log(writer, bar, (self.step - first) / (time.monotonic() - started))
                epoch = self._kept_epoch()
                if epoch:
                    self._keep(f"epoch-{epoch:03d}")
                stop = self.step < self.steps and self._out_of_time(started)
                due = time.monotonic() - last_saved > self.options.save_every_s
                if due or stop or epoch or self.step == self.steps:
                    self.save()
                    last_saved = time.monotonic()
                if stop:
                    break
        finally:
            bar.close()
            if writer is not None:
                writer.close()
        finished = self.step >= self.steps
        if finished:
            self._keep(MODEL)
        self.fabric.barrier()
        return {**self.scalars, **self._progress(), "finished": float(finished)}

    def one_step(self, batch: dict[str, Tensor]) -> None:
        """Every turn's loss, gradient and step; then the averaged weights."""
        # Whatever a backbone draws follows from the step, so that nothing need be kept of it.
        torch.manual_seed(
            (self.recipe.seed * 1_000_003 + self.step) * 4099 + self.fabric.global_rank
        )
        rate = learning_rate(self.recipe, self.step, self.steps)
        for turn, optimizer in enumerate(self.optimizers):
            for group in optimizer.param_groups:
                group["lr"] = rate
            self.method.zero_grad(set_to_none=True)
            loss, scalars = self.module(Untouched(batch), self.step, turn)
            self.fabric.backward(loss)
            if self.recipe.clip_norm:
                self.fabric.clip_gradients(
                    self.module,
                    optimizer,
                    max_norm=self.recipe.clip_norm,
                    error_if_nonfinite=False,
                )
            optimizer.step()
            name = "loss" if turn == 0 else f"loss_{self.method.turns[turn]}"
            for key, value in {**scalars, name: loss.detach()}.items():
                self._sums[key] = self._sums[key] + value if key in self._sums else value
        self._summed += 1
        self._update_average(min(self.recipe.ema, 1 - 1 / (self.step + 2)))

    def to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Moved, described by CLIP as it is stored, then augmented."""
        device = self.fabric.device
        batch = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
        described = self.guide.of(batch) if self.guide is not None else {}
        size = len(batch["image"])
        batch = self.augment(
            batch, self.step, first=self.fabric.global_rank * size, total=self.recipe.batch
        )
        return batch | described

    def _loader(self) -> DataLoader[Any]:
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
            num_workers=self.options.workers,
            collate_fn=collate,
            pin_memory=self.fabric.device.type == "cuda",
        )

    def _train_mode(self) -> None:
        self.method.train()
        if self.recipe.freeze_batch_norm:
            for part in self.method.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()

    @torch.no_grad()
    def _update_average(self, keep: float) -> None:
        for name, value in self.method.model.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - keep)
            else:
                self.average[name].copy_(value)

    def _out_of_time(self, started: float) -> bool:
        """Whether to stop; processes agree on it, which costs, so they ask every tenth step."""
        if not self.options.max_minutes or (self.fabric.world_size > 1 and self.step % 10):
            return False
        over = time.monotonic() - started > 60 * self.options.max_minutes
        if self.fabric.world_size == 1:
            return over
        flag = torch.tensor(float(over), device=self.fabric.device)
        return bool(self.fabric.all_reduce(flag, reduce_op="sum") > 0)

    # What is written

    def _log(self, writer: Any, bar: Any, steps_per_s: float) -> None:
        names = sorted(self._sums)
        # Of this process alone until now: the mean over processes is that of the whole batch.
        whole = torch.stack([self._sums[n].float() for n in names]) / self._summed
        values = self.fabric.all_reduce(whole, reduce_op="mean")
        self.scalars = dict(zip(names, values.tolist(), strict=True))  # type: ignore[union-attr]
        self._sums, self._summed = {}, 0
        if not all(math.isfinite(v) for v in self.scalars.values()):
            raise FitError(
                f"by step {self.step} the losses are not finite: {self.scalars}; "
                "lower learning_rate, or the weight of what is not finite"
            )
        if not self.fabric.is_global_zero:
            return
        logged = {
            **self.scalars,
            "learning_rate": learning_rate(self.recipe, self.step - 1, self.steps),
            "images_per_s": round(steps_per_s * self.recipe.batch, 1),
        }
        log_line(self.out, {"step": self.step, **logged})
        bar.set_postfix({k: f"{self.scalars[k]:.3g}" for k in ("loss", "error_deg")})
        if writer is not None:
            for name, value in logged.items():
                writer.add_scalar(name, value, self.step)

    def _writer(self) -> Any:
        if not self.options.tensorboard or not self.fabric.is_global_zero:
            return None
        from torch.utils.tensorboard import SummaryWriter

        # Steps after the state are done again: their old values go.
        return SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step)

    def _kept_epoch(self) -> int:
        """Number of the epoch that this step ends, where its weights are kept; else 0."""
        per_epoch = len(self.source) / self.recipe.batch
        now = math.floor(self.step / per_epoch + 1e-9)
        last = math.floor(self.steps / per_epoch + 1e-9)
        ends = now > math.floor((self.step - 1) / per_epoch + 1e-9)
        return now if ends and now > last - self.recipe.keep_epochs else 0

    def _progress(self) -> dict[str, float]:
        return {
            "steps": float(self.step),
            "epochs": self.step * self.recipe.batch / len(self.source),
            "seconds": round(self.seconds, 2),
        }

    def _keep(self, name: str) -> None:
        if self.fabric.is_global_zero:
            metrics = {**self.scalars, **self._progress()}
            write_weights(self.out, name, self.average, self.card | {"metrics": metrics})

    def save(self) -> None:
        """The state; all processes have the same, so the first writes it."""
        if not self.fabric.is_global_zero:
            return
        tensors = {f"method.{k}": v for k, v in self.method.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for turn, optimizer in enumerate(self.optimizers):
            tensors |= optimizer_tensors(optimizer, f"optimizer.{turn}.")
        tensors |= {f"sums.{k}": v for k, v in self._sums.items()}
        about = {
            **self.card,
            "config": self.config,
            "metrics": {**self.scalars, **self._progress()},
            # The sampler's place, the learning rate and all that is drawn follow from these.
            "step": self.step,
            "seed": self.recipe.seed,
            "scalars": self.scalars,
            "summed": self._summed,
            "seconds": self.seconds,
            "scaler": self._scaler().state_dict() if self._scaler() is not None else None,
        }
        write_tensors(self.out / STATE, tensors, about)

    def resume(self) -> None:
        """Go on from the folder's state, if there is one."""
        path = self.out / STATE
        if not path.is_file():
            return
        tensors, about = read_tensors(path)
        check_same(self.out, about["config"], self.config)
        device = self.fabric.device
        load_weights(self.method, below(tensors, "method."), path)
        for name, value in below(tensors, "average.").items():
            self.average[name].copy_(value)
        for turn, optimizer in enumerate(self.optimizers):
            load_optimizer(optimizer.optimizer, below(tensors, f"optimizer.{turn}."))
        self._sums = {k: v.to(device) for k, v in below(tensors, "sums.").items()}
        self.step, self._summed = about["step"], about["summed"]
        self.scalars, self.seconds = about["scalars"], about["seconds"]
        if about["scaler"] is not None:
            self._scaler().load_state_dict(about["scaler"])
        if self.fabric.is_global_zero:
            trim_log(self.out, self.step)
            self.fabric.print(f"going on with {self.out} at step {self.step} of {self.steps}")

    def _scaler(self) -> Any:
        """Of the losses, where float16 needs it."""
        return getattr(self.fabric._precision, "scaler", None)
