"""The one training loop, on Lightning Fabric: steps, averaging, logging, saving, going on.

A recipe subclasses :class:`TrainingLoop`: it gives the batches, what is done to them on the device,
and a :class:`Learner`, which is a network with its losses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from train.loop import stopping
from train.loop.muon import OptimizerKind, make_optimizer
from train.loop.schedules import Schedule, learning_rate, momentum
from train.loop.states import (
    MAX_GAP_S,
    STATE,
    About,
    CheckpointError,
    SaveClock,
    below,
    check_same,
    load_optimizer,
    load_weights,
    log_line,
    optimizer_tensors,
    read_tensors,
    trim_log,
    write_tensors,
)
from train.loop.weight_cards import MODEL, write_weights

Batch = dict[str, Tensor]
Scalars = dict[str, Tensor]
"""Detached numbers to log."""


class FitError(ValueError):
    """A run that cannot start or go on; says what was given, what is expected, what to do."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """What is learnt depends on these, and on the recipe's own."""

    steps: int
    batch: int
    """Images a step, over all processes."""
    learning_rate: float
    schedule: Schedule = "one_cycle"
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    optimizer: OptimizerKind = "adamw"
    weight_decay: float = 0.02
    clip_norm: float = 5.0
    """Largest norm of the gradient; 0: any."""
    ema: float = 0.998
    """How much of the averaged weights is kept at each step; they are what a run leaves.  0: no
    average, the weights themselves."""
    freeze_batch_norm: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise FitError(f"{name} is {value}; expected a number above 0")

    def to_dict(self) -> dict[str, Any]:
        """For the state and the card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how a recipe runs; none of it changes what is learnt."""

    accelerator: str = "auto"
    devices: int = 1
    workers: int = 0
    """Processes that load pictures, per device."""
    max_minutes: float = 0.0
    """Stop, to be gone on with, after this time; 0: never."""
    max_save_gap_s: float = MAX_GAP_S
    """Longest time between two states, or from the start to the first; 0: one at each step."""
    log_every: int = 20
    """Steps."""
    tensorboard: bool = True
    progress: bool = True
    deterministic: bool = False
    """Only algorithms that give the same bits each time, where there are such (slower on GPUs)."""


class Untouched:
    """A batch that Fabric does not see into: it would round labels to bfloat16, by 0.06°."""

    __slots__ = ("batch",)

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self.batch = batch


class Learner(nn.Module):
    """A network and the losses that train it: ``learner(Untouched(batch), step, turn)``.

    Calling it gives the loss (a scalar) and :data:`Scalars`.  ``turns`` names what is optimised in
    turn in every step; each turn has an optimiser of its own.  ``model`` is what a run leaves.
    """

    turns: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def parameters_of(self, turn: int) -> Iterator[nn.Parameter]:
        """What the optimiser of this turn changes."""
        return self.model.parameters()

    def optimizer_of(
        self, turn: int, options: LoopOptions, *, fused: bool
    ) -> torch.optim.Optimizer:
        """The optimiser of this turn; the loop sets its learning rate at every step."""
        return make_optimizer(
            options.optimizer,
            self.parameters_of(turn),
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            fused=fused,
        )


class TrainingLoop:
    """One run of a recipe; :meth:`run` does its steps and returns its metrics."""

    shown: ClassVar[tuple[str, ...]] = ("loss",)
    """Scalars beside the progress bar."""
    leaves_model: ClassVar[bool] = True
    """Whether a finished run writes the weights, or its recipe does in a form of its own."""

    def __init__(
        self,
        fabric: Fabric,
        learner: Learner,
        out: Path,
        *,
        options: LoopOptions,
        run: RunOptions,
        config: About,
        card: About,
    ) -> None:
        self.fabric, self.out, self.options, self.run_options = fabric, out, options, run
        self.config, self.card = config, card
        self.steps, self.step, self.seconds = options.steps, 0, 0.0
        self.learner = learner.to(memory_format=torch.channels_last)
        self.module: Any = fabric.setup_module(self.learner)
        # Fused, AdamW cannot have its gradients clipped where float16 scales them.
        fused = fabric.device.type == "cuda" and self._scaler() is None
        made = [
            learner.optimizer_of(turn, options, fused=fused) for turn in range(len(learner.turns))
        ]
        self.optimizers: list[Any] = [fabric.setup_optimizers(o) for o in made]
        self.average = dict(learner.model.state_dict())
        if options.ema:
            self.average = {k: v.detach().clone() for k, v in self.average.items()}
        self.scalars: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._summed = 0

    # What a recipe gives

    def batches(self) -> Iterable[Batch]:
        """This process's part of every batch from ``self.step`` on, on the CPU."""
        raise NotImplementedError

    def to_device(self, batch: Batch) -> Batch:
        """A batch of :meth:`batches` moved, and made on the device into what the learner takes."""
        raise NotImplementedError

    def kept_now(self) -> str | None:
        """Name under which to keep the averaged weights of this step, besides the last."""
        return None

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        o = self.options
        return learning_rate(o.schedule, o.learning_rate, o.warmup, step, self.steps)

    def progress(self) -> dict[str, float]:
        """How far the run is, for metrics and cards."""
        return {"steps": float(self.step), "seconds": round(self.seconds, 2)}

    # Steps

    def run(self) -> dict[str, float]:
        """Train to the end, or to the time limit, from where the folder's state is."""
        self.resume()
        self.train_mode()
        started = time.monotonic()
        clock = SaveClock(self.run_options.max_save_gap_s)
        before, first = self.seconds, self.step
        bar = tqdm(
            total=self.steps,
            initial=self.step,
            unit="step",
            disable=None if self.run_options.progress and self.fabric.is_global_zero else True,
        )
        writer = self._writer()
        try:
            for batch in self.batches():
                self.one_step(self.to_device(batch))
                self.step += 1
                self.seconds = before + time.monotonic() - started
                bar.update()
                if self.step % self.run_options.log_every == 0 or self.step == self.steps:
                    self._log(writer, bar, (self.step - first) / (time.monotonic() - started))
                name = self.kept_now()
                if name is not None:
                    self._keep(name)
                stop = self.step < self.steps and self._out_of_time(started)
                if clock.due() or stop or name is not None or self.step == self.steps:
                    with clock.saving():
                        self.save()
                if stop:
                    break
        finally:
            bar.close()
            if writer is not None:
                writer.close()
        finished = self.step >= self.steps
        if finished and self.leaves_model:
            self._keep(MODEL)
        self.fabric.barrier()
        return {**self.scalars, **self.progress(), "finished": float(finished)}

    def one_step(self, batch: Batch) -> None:
        """Every turn's loss, gradient and step; then the averaged weights."""
        o = self.options
        # Whatever a network draws follows from the step, so that nothing need be kept of it.
        torch.manual_seed((o.seed * 1_000_003 + self.step) * 4099 + self.fabric.global_rank)
        rate = self.rate(self.step)
        beta = momentum(o.schedule, o.warmup, self.step, self.steps)
        for turn, optimizer in enumerate(self.optimizers):
            for group in optimizer.param_groups:
                group["lr"] = rate
                if beta is not None:
                    group["betas"] = (beta, group["betas"][1])
            self.learner.zero_grad(set_to_none=True)
            loss, scalars = self.module(Untouched(batch), self.step, turn)
            self.fabric.backward(loss)
            if o.clip_norm:
                self.fabric.clip_gradients(
                    self.module, optimizer, max_norm=o.clip_norm, error_if_nonfinite=False
                )
            optimizer.step()
            name = "loss" if turn == 0 else f"loss_{self.learner.turns[turn]}"
            for key, value in {**scalars, name: loss.detach()}.items():
                self._sums[key] = self._sums[key] + value if key in self._sums else value
        self._summed += 1
        if o.ema:
            self._update_average(min(o.ema, 1 - 1 / (self.step + 2)))

    def train_mode(self) -> None:
        """Before the first step."""
        self.learner.train()
        if self.options.freeze_batch_norm:
            for part in self.learner.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()

    @torch.no_grad()
    def _update_average(self, keep: float) -> None:
        for name, value in self.learner.model.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - keep)
            else:
                self.average[name].copy_(value)

    def _out_of_time(self, started: float) -> bool:
        """Whether to stop; processes agree on it, which costs, so they ask every tenth step."""
        limit = self.run_options.max_minutes
        if self.fabric.world_size > 1 and self.step % 10:
            return False
        over = stopping.asked() or 0 < 60 * limit < time.monotonic() - started
        if self.fabric.world_size == 1:
            return over
        flag = torch.tensor(float(over), device=self.fabric.device)
        return bool(self.fabric.all_reduce(flag, reduce_op="sum") > 0)  # type: ignore[operator]

    # What is written

    def _log(self, writer: Any, bar: Any, steps_per_s: float) -> None:
        """Read the sums, which waits for the device."""
        names = sorted(self._sums)
        # Of this process alone until now: the mean over processes is that of the whole batch.
        whole = torch.stack([self._sums[n].float() for n in names]) / self._summed
        values = self.fabric.all_reduce(whole, reduce_op="mean")
        self.scalars = dict(zip(names, values.tolist(), strict=True))  # type: ignore[union-attr]
        self._sums, self._summed = {}, 0
        if not all(math.isfinite(v) for v in self.scalars.values()):
            raise self._not_finite(f"the losses are not finite: {self.scalars}")
        if not self.fabric.is_global_zero:
            return
        logged = {
            **self.scalars,
            "learning_rate": self.rate(self.step - 1),
            "images_per_s": round(steps_per_s * self.options.batch, 1),
        }
        log_line(self.out, {"step": self.step, **logged})
        bar.set_postfix({k: f"{self.scalars[k]:.3g}" for k in self.shown})
        if writer is not None:
            for name, value in logged.items():
                writer.add_scalar(name, value, self.step)

    def _check_finite(self) -> None:
        """Raise rather than write what nothing can go on with over a state that is good.

        The first process alone does, as saving is its own; it waits for the device anyway.
        """
        values = [v for v in self.average.values() if v.is_floating_point()]
        if torch.stack([v.isfinite().all() for v in (*self._sums.values(), *values)]).all():
            return
        losses = {k: float(v) / self._summed for k, v in self._sums.items()}
        if all(math.isfinite(v) for v in losses.values()):
            raise self._not_finite("the weights are not finite")
        raise self._not_finite(f"the losses are not finite: {losses}")

    def _not_finite(self, what: str) -> FitError:
        return FitError(
            f"by step {self.step} {what}; lower learning_rate, or the weight of what is not "
            "finite, in another folder"
        )

    def _writer(self) -> Any:
        if not self.run_options.tensorboard or not self.fabric.is_global_zero:
            return None
        from torch.utils.tensorboard import SummaryWriter

        # Steps after the state are done again: their old values go.
        return SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step)

    def _keep(self, name: str) -> None:
        if self.fabric.is_global_zero:
            self._check_finite()
            metrics = {**self.scalars, **self.progress()}
            write_weights(self.out, name, self.average, self.card | {"metrics": metrics})

    def save(self) -> None:
        """The state; all processes have the same, so the first writes it.

        Raises :class:`FitError` where losses or weights are not finite.
        """
        if not self.fabric.is_global_zero:
            return
        self._check_finite()
        tensors = {f"learner.{k}": v for k, v in self.learner.state_dict().items()}
        if self.options.ema:
            tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for turn, optimizer in enumerate(self.optimizers):
            tensors |= optimizer_tensors(optimizer, f"optimizer.{turn}.")
        tensors |= {f"sums.{k}": v for k, v in self._sums.items()}
        scaler = self._scaler()
        about = {
            **self.card,
            "config": self.config,
            "metrics": {**self.scalars, **self.progress()},
            # The batches' place, the learning rate and all that is drawn follow from these.
            "step": self.step,
            "seed": self.options.seed,
            "scalars": self.scalars,
            "summed": self._summed,
            "seconds": self.seconds,
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        write_tensors(self.out / STATE, tensors, about)

    def resume(self) -> None:
        """Go on from the folder's state, if there is one."""
        path = self.out / STATE
        if not path.is_file():
            return
        tensors, about = read_tensors(path)
        if lacking := {"config", "step", "summed", "scalars", "seconds", "scaler"} - about.keys():
            raise CheckpointError(
                f"{path} is the state of another kind of run (it has no {', '.join(lacking)}); "
                "give another folder"
            )
        check_same(self.out, about["config"], self.config)
        load_weights(self.learner, below(tensors, "learner."), path)
        for name, value in below(tensors, "average.").items():
            self.average[name].copy_(value)
        for turn, optimizer in enumerate(self.optimizers):
            load_optimizer(optimizer.optimizer, below(tensors, f"optimizer.{turn}."))
        device = self.fabric.device
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
