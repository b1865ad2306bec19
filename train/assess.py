"""Measure runs of train.fit: ``python -m train.assess --run RUN --data NAME:PATH --out DIR``.

Several ``--run`` are the seeds of one configuration; several ``--data`` are measured one by one.
Writes ``report.json`` and ``report.md``, and a heat map of the error over gaze and head for every
data set.  The error is over all images: a picture that cannot be read ends the measurement, unless
``--allow-broken`` leaves it out and counts it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import torch

from train.checkpoints import CheckpointError
from train.data.samples import DataError
from train.protocol import Figures, ProtocolError, assess
from train.protocol_report import markdown, of_spread, write_heat_map
from train.tables import GazeDataset


def assess_all(
    runs: list[Path],
    targets: dict[str, GazeDataset],
    out: Path,
    *,
    device: str = "cpu",
    batch: int = 128,
    workers: int = 0,
    last_epochs: bool = True,
    allow_broken: bool = False,
) -> dict[str, Figures]:
    """Measure on every data set and write the report; returns it by data set."""
    reports: dict[str, Figures] = {}
    texts = ["# Gaze error", ""]
    out.mkdir(parents=True, exist_ok=True)
    for name, dataset in targets.items():
        reports[name] = assess(
            runs,
            dataset,
            device=device,
            batch=batch,
            workers=workers,
            last_epochs=last_epochs,
            allow_broken=allow_broken,
        )
        reports[name]["data"]["spec"] = name
        picture = f"heat-{slug(name)}.png"
        write_heat_map(reports[name], out / picture)
        texts.append(markdown(reports[name], heat_map=picture))
    (out / "report.json").write_text(json.dumps(reports, indent=1) + "\n")
    (out / "report.md").write_text("\n".join(texts))
    return reports


def slug(text: str) -> str:
    """Letters, numbers and dashes: the last 60 of a name for files."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[-60:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.assess", description=__doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, nargs="+", help="--out of train.fit; one for each seed")
    add("--data", required=True, nargs="+", metavar="NAME:PATH")
    add("--out", type=Path, required=True, help="folder of the report")
    add("--batch", type=int, default=128)
    add("--workers", type=int, default=2, help="loading processes")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--end-only", action="store_true", help="leave out the last epochs' weights")
    add("--allow-broken", action="store_true", help="leave out pictures that cannot be read")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(arguments)
    from train.data.registry import open_dataset

    try:
        strict = not args.allow_broken
        targets = {spec: open_dataset(spec, strict=strict) for spec in args.data}
        reports = assess_all(
            args.run,
            targets,
            args.out,
            device=args.device,
            batch=args.batch,
            workers=args.workers,
            last_epochs=not args.end_only,
            allow_broken=args.allow_broken,
        )
    except (ProtocolError, CheckpointError, DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for spec, report in reports.items():
        epochs = of_spread(report["last_epochs_deg"])
        print(f"{spec}: {of_spread(report['error_deg'])}°, mean of the last epochs {epochs}°")
    print(f"wrote {args.out}/report.md, report.json and heat maps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
