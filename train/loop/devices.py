"""Which devices a run has, and in which precision they compute."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from train.loop.training_loop import FitError, RunOptions


def make_fabric(
    run: RunOptions, precision: str = "auto", *, unused_parameters: bool = False
) -> Fabric:
    """Devices and precision; call ``launch()`` first where there are several devices.

    With ``unused_parameters`` some get no gradient in some turn.  Raises :class:`FitError` for
    what this computer has not.
    """
    several = run.devices > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1
    accelerator = run.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return Fabric(
            accelerator=accelerator,
            devices=run.devices,
            strategy=DDPStrategy(find_unused_parameters=unused_parameters) if several else "auto",
            precision=precision_on(precision, accelerator),
        )
    except (ValueError, RuntimeError) as error:
        if isinstance(error, FitError):
            raise
        raise FitError(
            f"{run.devices} device(s) of kind {run.accelerator} cannot be had: {error}"
        ) from None


def one_device(device: str) -> Fabric:
    """One device by torch's name, such as ``cuda:1``, in float32.

    Raises :class:`FitError` where it cannot be had.
    """
    asked = torch.device(device)
    devices: Any = 1 if asked.index is None or asked.type == "cpu" else [asked.index]
    try:
        return Fabric(accelerator=asked.type, devices=devices, precision="32-true")
    except (ValueError, RuntimeError) as error:
        raise FitError(f"the device {device} cannot be had: {error}") from None


def precision_on(precision: str, device: str) -> Any:
    """One of Fabric's names; ``auto`` is bfloat16 on GPUs (most CPUs are slower with it)."""
    if precision == "auto":
        return "bf16-mixed" if device == "cuda" else "32-true"
    if precision == "16-mixed" and device == "cpu":
        raise FitError("16-mixed needs a GPU; set precision to bf16-mixed or 32-true")
    return precision
