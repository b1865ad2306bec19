"""The mean of two runs' weights: ``python -m train.front.mean RUN RUN... --out RUN``.

For runs of ``train.front.detector``, ``train.front.landmarks`` or ``train.gaze`` of which each
began where
another ended: their mean is often better than either (Wortsman et al., ICML 2022).  Of runs that
began apart it is worth nothing.  The result can be exported and started from, but not gone on with.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def mean(runs: Sequence[Path], out: Path) -> Path:
    """Write ``out/checkpoint.pt`` with the mean of the averaged weights of ``runs``.

    Raises :class:`FileNotFoundError` for a run without weights and :class:`ValueError` for fewer
    than two runs or runs of different networks.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run; a mean is of at least 2")
    states: list[dict[str, Any]] = [
        torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["average"]
        for run in runs
    ]
    first = states[0]
    shapes = {name: value.shape for name, value in first.items()}
    for run, state in zip(runs, states, strict=True):
        if {name: value.shape for name, value in state.items()} != shapes:
            raise ValueError(f"{run} is of another network than {runs[0]}; give runs of one")
    average = {
        name: torch.stack([s[name] for s in states]).mean(0)
        if value.dtype.is_floating_point
        else value
        for name, value in first.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"average": average}, out / "checkpoint.pt")
    return out / "checkpoint.pt"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.front.mean", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of one network")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        print(f"wrote {mean(args.runs, args.out)}")
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
