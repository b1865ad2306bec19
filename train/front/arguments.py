"""What the commands of the detector and the landmark network are told."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser, *, steps: int, batch: int) -> None:
    """Add the options that both share; nothing heavy is imported."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="shards of `python -m train.synth write`")
    add("--cache", type=Path, required=True, help="folder for prepared crops")
    add("--out", type=Path, required=True, help="folder of the run")
    add("--init", type=Path, help="finished run, or exported .onnx, to start from")
    add("--steps", type=int, default=steps, help="optimiser steps")
    add("--batch", type=int, default=batch, help="images a step")
    add("--learning-rate", type=float, default=2e-3, help="the highest of the run")
    add(
        "--optimizer",
        default="adamw",
        choices=("adamw", "muon"),
        help="muon moves convolutions by Muon, the rest by AdamW",
    )
    add("--seed", type=int, default=0, help="of the first weights and of all that is drawn")
    add("--threads", type=int, default=2, help="CPU threads, and processes that prepare crops")
    add("--workers", type=int, default=0, help="processes that fetch batches ahead, for a GPU")
    add("--accelerator", default="auto", choices=("auto", "cpu", "cuda"), help="what trains")
    add(
        "--precision",
        default="auto",
        choices=("auto", "32-true", "bf16-mixed", "16-mixed"),
        help="of all but the last layers; auto is bf16-mixed on a GPU, 32-true on a CPU",
    )
    add("--max-minutes", type=float, default=0.0, help="stop then; the same command goes on")
