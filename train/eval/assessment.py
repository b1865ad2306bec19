"""Gaze networks, runs or files, measured on data sets, with a report.

The work of ``python -m train.eval.assess``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from clipgaze_sdk import ClipGazeError
from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import DataError
from train.data.tables import GazeDataset
from train.eval.network_files import assess_file, is_run, network_path
from train.eval.protocol import Figures, ProtocolError, assess
from train.eval.protocol_report import markdown, of_spread, summary, write_heat_map
from train.loop.states import CheckpointError


def assess_all(
    runs: list[Path],
    targets: Mapping[str, GazeDataset],
    out: Path,
    *,
    network: Path | None = None,
    device: str = "cpu",
    batch: int = 128,
    workers: int = 0,
    last_epochs: bool = True,
    allow_broken: bool = False,
) -> dict[str, Figures]:
    """Measure on every data set and write the report; returns it by data set.

    ``network`` is a network's file, in the place of runs.
    """
    reports: dict[str, Figures] = {}
    texts = ["# Gaze error", ""]
    out.mkdir(parents=True, exist_ok=True)
    for name, dataset in targets.items():
        if network is not None:
            reports[name] = assess_file(
                network, dataset, batch=batch, workers=workers, allow_broken=allow_broken
            )
        else:
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


def run(args: argparse.Namespace) -> int:
    """Measure as the command says, and print a summary; returns the exit code."""
    try:
        runs, network = args.run or [], None
        if args.model is not None and is_run(args.model):
            runs = [args.model]
        elif args.model is not None:
            network = network_path(args.model)
        strict = not args.allow_broken
        targets: dict[str, GazeDataset] = {
            spec: open_dataset(spec, strict=strict) for spec in args.data
        }
        reports = assess_all(
            runs,
            targets,
            args.out,
            network=network,
            device=device_of(args.device),
            batch=args.batch,
            workers=args.workers,
            last_epochs=not args.end_only,
            allow_broken=args.allow_broken,
        )
    except (
        ProtocolError,
        CheckpointError,
        DataError,
        ClipGazeError,
        FileNotFoundError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for spec, report in reports.items():
        told = f"{spec}: {of_spread(report['error_deg'])}°"
        if report["last_epochs_deg"]:
            told += f", mean of the last epochs {of_spread(report['last_epochs_deg'])}°"
        print(f"{told}\n{summary(report)}")
    print(f"wrote {args.out}/report.md, report.json and heat maps")
    return 0
