"""Measure gaze networks.

``python -m train.eval.assess --model gaze.onnx --data NAME:PATH --out DIR``.

``--model`` is an ONNX file with its card beside it, of any precision that the SDK runs, or a run
of train.gaze.fit.  Several ``--run`` instead are the seeds of one configuration; several ``--data``
are
measured one by one.  Prints mean, median and 90 % of the error, by person, gaze and head, what
needs no network (the mean gaze, the head's direction), and how well the uncertainty fits.
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

from clipgaze_sdk import ClipGazeError
from train.data.samples import DataError
from train.data.tables import GazeDataset
from train.eval.network_files import assess_file, is_run, network_path
from train.eval.protocol import Figures, ProtocolError, assess
from train.eval.protocol_report import markdown, of_spread, summary, write_heat_map
from train.gaze.checkpoints import CheckpointError


def assess_all(
    runs: list[Path],
    targets: dict[str, GazeDataset],
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.eval.assess", description=__doc__)
    add = parser.add_argument
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="NAME.onnx with its card, a folder with gaze.onnx, or a run of train.gaze.fit",
    )
    given.add_argument(
        "--run", type=Path, nargs="+", help="runs of train.gaze.fit that differ in their seed"
    )
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
        runs, network = args.run or [], None
        if args.model is not None and is_run(args.model):
            runs = [args.model]
        elif args.model is not None:
            network = network_path(args.model)
        strict = not args.allow_broken
        targets = {spec: open_dataset(spec, strict=strict) for spec in args.data}
        reports = assess_all(
            runs,
            targets,
            args.out,
            network=network,
            device=args.device,
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


if __name__ == "__main__":
    sys.exit(main())
