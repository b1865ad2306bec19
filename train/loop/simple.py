"""One training loop for the first networks: one-cycle, EMA, exact resume; bfloat16 on GPUs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from train.loop.from_onnx import load_onnx
from train.loop.muon import OptimizerKind, make_optimizer

Losses = dict[str, Tensor]

SAVE_EVERY_S = 120.0


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How long and how fast."""

    out: Path
    steps: int
    batch: int = 128
    learning_rate: float = 2e-3
    optimizer: OptimizerKind = "adamw"
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0
    threads: int = 2
    device: str = "cpu"
    init: Path | None = None
    """A finished run whose averaged weights this one starts from (a second leg), or the exported
    ``.onnx`` of one."""


def add_loop_arguments(parser: argparse.ArgumentParser, *, steps: int, batch: int) -> None:
    """Add the arguments that every recipe shares."""
    parser.add_argument("--data", type=Path, required=True, help="shards of `train.synth write`")
    parser.add_argument("--cache", type=Path, required=True, help="folder for prepared crops")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--optimizer", default="adamw", choices=get_args(OptimizerKind))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--init", type=Path, help="run, or exported .onnx, to start from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def loop_options(args: argparse.Namespace) -> LoopOptions:
    """Options from parsed arguments."""
    return LoopOptions(
        out=args.out,
        steps=args.steps,
        batch=args.batch,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        seed=args.seed,
        threads=args.threads,
        device=args.device,
        init=args.init,
    )


def train(
    model: nn.Module,
    batch_of: Callable[[torch.Generator], tuple[Tensor, ...]],
    loss_of: Callable[[nn.Module, tuple[Tensor, ...]], Losses],
    options: LoopOptions,
) -> nn.Module:
    """Train and return the model with averaged weights.

    ``batch_of`` draws a batch from a generator that depends on the seed and the step alone, so a
    run that was killed goes on exactly where its last checkpoint was.  ``loss_of`` returns named
    losses whose sum is minimised.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device)
    if options.init is not None and options.init.suffix == ".onnx":
        load_onnx(model, options.init, batch_of(torch.Generator().manual_seed(options.seed))[0])
    elif options.init is not None:
        load_average(model, options.init)
    model = model.to(device=device, memory_format=torch.channels_last)
    optimizer = make_optimizer(
        options.optimizer,
        model.parameters(),
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=options.steps, pct_start=0.1
    )
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    step = _resume(options, model, optimizer, schedule, average)
    model.train()
    sums: dict[str, float] = {}
    started, last_saved = time.monotonic(), time.monotonic()
    bar = tqdm(total=options.steps, initial=step, disable=None, unit="step")
    while step < options.steps:
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
        batch = tuple(t.to(device) for t in batch_of(generator))
        # Few CPUs compute bfloat16 faster than float32; most take longer.
        gpu = device.type != "cpu"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=gpu):
            losses = loss_of(model, batch)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        step += 1
        _update_average(average, model, min(options.ema, 1 - 1 / (step + 1)))
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        bar.update()
        if step % 100 == 0 or step == options.steps:
            rate = 100 * options.batch / (time.monotonic() - started)
            means = {k: round(v / 100, 5) for k, v in sums.items()}
            with (options.out / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, "images_per_s": round(rate), **means}) + "\n")
            sums, started = {}, time.monotonic()
        if time.monotonic() - last_saved > SAVE_EVERY_S or step == options.steps:
            _save(options, model, optimizer, schedule, average, step)
            last_saved = time.monotonic()
    bar.close()
    model.load_state_dict(average)
    return model.eval()


def _update_average(average: dict[str, Tensor], model: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1 - keep)
            else:
                average[name].copy_(value)


def _save(
    options: LoopOptions,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    average: dict[str, Tensor],
    step: int,
) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "average": average,
    }
    partial = options.out / "checkpoint.partial"
    torch.save(state, partial)
    partial.replace(options.out / "checkpoint.pt")


def _resume(
    options: LoopOptions,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    average: dict[str, Tensor],
) -> int:
    path = options.out / "checkpoint.pt"
    if not path.is_file():
        return 0
    state = torch.load(path, map_location=options.device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    for name, value in state["average"].items():
        average[name].copy_(value)
    print(f"resumed {path} at step {state['step']} of {options.steps}")
    return int(state["step"])


def load_average(model: nn.Module, folder: Path) -> nn.Module:
    """The averaged weights of a run's checkpoint, in evaluation mode."""
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["average"])
    return model.eval()
