"""What every task on one GPU is told, and where its rows are kept meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from train.commands import announce
from train.loop.devices import make_fabric
from train.loop.training_loop import FitError, RunOptions
from train.loop.weight_cards import commit, running_command
from train.runs.gpu.budget import Budget
from train.runs.gpu.renderers import Renderers, cores_here, processes_here
from train.runs.plan import EYES, Plan, read_plan
from train.synth.figure.facekit import load_facekit

RATE_A_PROCESS = 25.0
"""Rows a second of a process at most; room for so many is made."""
_RAM = Path("/dev/shm")
_ASKED_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a run is."""

    batch: int
    first_rows: int
    """Rows that are there before the first step."""
    held_out_rows: int
    domains: str
    """As ``train.synth --domain`` takes them."""
    looks: int
    """How often the network is measured on held-out rows while it trains."""


@dataclass(slots=True)
class Job:
    """A run: what it was asked for, and what it has found out so far."""

    task: str
    out: Path
    budget: Budget
    plan: Plan
    facekit: Path
    processes: int
    smoke: bool
    options: RunOptions
    times_s: dict[str, float] = field(default_factory=dict)
    """When what was over, seconds since the beginning."""

    @classmethod
    def of(cls, args: argparse.Namespace) -> Job:
        """Of the command's arguments; raises :class:`ValueError` for what cannot be."""
        facekit = args.facekit or os.environ.get("CLIPGAZE_FACEKIT")
        if not facekit:
            raise FitError(
                "no face model: give --facekit DIR or set CLIPGAZE_FACEKIT to ICT-FaceKit's "
                "folder FaceXModel, or to a folder that holds it packed (docs/training.md)"
            )
        minutes = args.minutes if args.minutes is not None else (2.0 if args.smoke else 8.0)
        return cls(
            args.task,
            args.out,
            Budget(60 * minutes, began=args.began),
            read_plan(args.plan or EYES),
            Path(facekit),
            args.processes or processes_here(),
            args.smoke,
            RunOptions(
                accelerator=args.accelerator,
                log_every=5 if args.smoke else 50,
                tensorboard=False,
                progress=False,
            ),
        )

    def fabric(self, precision: str = "auto") -> Fabric:
        """Of the device that trains."""
        made = make_fabric(self.options, precision)
        torch.backends.cudnn.benchmark = True
        # Threads that wait for a core which renders would hold up every step, even on a GPU.
        torch.set_num_threads(max(cores_here() - self.processes, 1))
        return made

    def mark(self, what: str) -> None:
        """Note and say that something is over."""
        self.times_s[what] = round(self.budget.spent_s(), 1)
        self.say(what)

    def say(self, what: str) -> None:
        """On stderr, with the time."""
        announce(f"{self.budget.spent_s():6.1f} s  {what}")

    def check_face_model(self) -> None:
        """Pack it once, before many processes would; raises :class:`FitError` without one."""
        try:
            load_facekit(self.facekit)
        except (FileNotFoundError, ValueError) as error:
            raise FitError(str(error)) from None

    def report(self, device: torch.device, renderers: Renderers) -> dict[str, Any]:
        """What reports of all tasks hold."""
        return {
            "task": self.task,
            "smoke": self.smoke,
            "minutes": round(self.budget.total_s / 60, 3),
            "times_s": self.times_s,
            **machine(device),
            "opengl": renderers.opengl,
            "processes": renderers.processes,
            "processes_died": renderers.died,
        }


def machine(device: torch.device) -> dict[str, Any]:
    """The computer, and the code that ran."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": f"{device.type}, {name}",
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": commit(),
        "command": running_command(),
    }


@contextlib.contextmanager
def rows_folder(needed_bytes: float) -> Iterator[Path]:
    """An empty folder in memory, or on a disk with more room where memory has too little."""
    places = [path for path in (_RAM, Path(tempfile.gettempdir())) if os.access(path, os.W_OK)]
    free = {path: shutil.disk_usage(path).free for path in places}
    fits = [path for path in places if free[path] >= needed_bytes]
    chosen = fits[0] if fits else max(places, key=lambda path: free[path])
    with tempfile.TemporaryDirectory(prefix="clipgaze-", dir=chosen) as name:
        yield Path(name)


def wait_for(there: Any, renderers: Renderers, budget: Budget, what: str) -> None:
    """Until ``there()`` is true; raises :class:`FitError` where nothing can come any more."""
    while not there():
        renderers.watch()
        if not renderers.at_work():
            raise FitError(f"no {what}: every process that renders has died; see what they said")
        if budget.for_training_s() <= 0:
            raise FitError(f"no {what} in {budget.spent_s():.0f} s; give more --minutes")
        time.sleep(_ASKED_EVERY_S)
