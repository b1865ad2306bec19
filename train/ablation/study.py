"""An ablation study: its runs, the claims and the report, as the command line asks for them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from train.ablation.plan import (
    FULL,
    MAIN,
    PRESETS,
    PROMPT_RUNS,
    WITHOUT_RANK,
    WITHOUT_SEPARATE,
    Preset,
    Table,
    Variant,
    make_plan,
)
from train.ablation.report import HELD_OUT, whole_report
from train.ablation.runs import (
    AblationError,
    Bench,
    Place,
    device_name,
    locked,
    open_bench,
    run_one,
    specs_below,
)
from train.data.views import Joined
from train.eval.assessment import slug
from train.eval.feature_plots import draw
from train.eval.protocol import Figures
from train.eval.protocol_report import write_heat_map
from train.eval.verdicts import check_claims, markdown, probed
from train.gaze.adaptation import AdaptOptions, adapt
from train.gaze.trainer import total_steps
from train.loop.states import CheckpointError
from train.loop.weight_cards import commit

WARNING = (
    "**These are drawn dots, a CLIP that knows nothing and a few steps: this shows that the path "
    "works, and no figure means anything.**"
)


def ablate(
    bench: Bench,
    variants: Mapping[str, Variant],
    tables: tuple[Table, ...],
    *,
    only: tuple[str, ...] = (),
    command: str = "",
    warning: str = "",
) -> Figures:
    """Make all runs that are not done, and the report of what is; returns the report.

    ``only`` names variants to run; the report has all that are done.
    """
    preset = bench.preset
    results: dict[str, list[Figures]] = {name: [] for name in variants}
    planned = 0
    for name, variant in variants.items():
        for seed in preset.seeds if name in MAIN else preset.row_seeds:
            planned += 1
            if only and name not in only:
                bench_now = replace(bench, place=replace(bench.place, deadline=0.0))
                result = run_one(bench_now, variant, seed)
            else:
                result = run_one(bench, variant, seed)
            if result is not None:
                results[name].append(result)
                errors = [f"{c} {result['data'][c]['mean_deg']:.2f}°" for c in bench.targets]
                print(f"{name}, seed {seed}: {', '.join(errors)}", flush=True)
    out = bench.place.out
    with locked(out / "report.lock"):
        claims, claim_figures = _claims(bench) if _complete(results, bench) else ("", {})
        report = {
            "about": _about(bench, results, planned, command, warning),
            "columns": list(bench.columns),
            "results": results,
            "adapted": _adapted(bench, results),
            "claims": claims,
            "claim_figures": claim_figures,
            "pictures": _pictures(bench, results),
        }
        (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        (out / "report.md").write_text(whole_report(report, tables))
    return report


def _complete(results: Mapping[str, list[Figures]], bench: Bench) -> bool:
    """Whether what claims compare is there."""
    needed = (FULL, WITHOUT_SEPARATE, WITHOUT_RANK)
    return all(results.get(name) for name in needed) and bench.place.left_minutes() > 0


def _run_of(bench: Bench, name: str, seed: int) -> Path:
    return bench.place.out / "runs" / name / f"seed{seed}"


def _claims(bench: Bench) -> tuple[str, Figures]:
    first = bench.preset.row_seeds[0]
    runs = {
        "main": [_run_of(bench, FULL, first)],
        "without_separate": [_run_of(bench, WITHOUT_SEPARATE, first)],
        "without_rank": [_run_of(bench, WITHOUT_RANK, first)],
    }
    prompts = {name: bench.prompts(name) for name in PROMPT_RUNS}
    data = probed(Joined(list(bench.targets.values())))
    place = bench.place
    found, figures = check_claims(data, runs, prompts, device=place.device, workers=place.workers)
    return markdown(found, figures["prompts"]), figures


def _adapted(bench: Bench, results: Mapping[str, list[Figures]]) -> Figures:
    """Few-label adaptation of the baseline and of CLIP-Gaze, on each target."""
    preset, place = bench.preset, bench.place
    options = AdaptOptions(
        labels=preset.labels, draws=preset.draws, steps=preset.adapt_steps, layers="head"
    )
    adapted: dict[str, dict[str, Figures]] = {}
    for name in ("erm", FULL):
        if not results.get(name) or place.left_minutes() <= 0:
            continue
        adapted[name] = {}
        for column in bench.columns:
            out = place.out / "adapted" / name / slug(column)
            run = _run_of(bench, name, bench.preset.seeds[0])
            target = bench.targets[column]
            adapted[name][column] = adapt(
                run, target, out, options, device=place.device, workers=place.workers
            )
    return adapted


def _pictures(bench: Bench, results: Mapping[str, list[Figures]]) -> dict[str, str]:
    """Heat maps on the first target and features of its images; paths below the report."""
    out, column = bench.place.out, bench.columns[0]
    pictures = {}
    for name in ("erm", FULL):
        if results.get(name):
            path = f"images/ablation-heat-{name.replace('_', '-')}.png"
            write_heat_map(results[name][0]["data"][column], out / path)
            pictures[path] = f"error of {name} over gaze and head, {column}"
    if results.get(FULL):
        path = "images/ablation-features.png"
        run = _run_of(bench, FULL, results[FULL][0]["seed"])
        draw(run, probed(bench.targets[column], 1500), out / path, device=bench.place.device)
        pictures[path] = f"features of CLIP-Gaze before and after M, {column}"
    return pictures


def _about(
    bench: Bench, results: Mapping[str, list[Figures]], planned: int, command: str, warning: str
) -> Figures:
    runs = [r for found in results.values() for r in found]
    seconds = sum(r["metrics"]["seconds"] for r in runs)
    steps = sum(r["metrics"]["steps"] for r in runs)
    recipe = bench.recipe(Variant("erm", "erm"), 0).to_dict()
    base = bench.make_base() if runs and bench.preset.base_steps else None
    data = [("source", bench.source), *bench.targets.items()]
    return {
        "warning": warning,
        "recipe": recipe,
        "steps": total_steps(bench.recipe(Variant("erm", "erm"), 0), len(bench.source)),
        "base_steps": int(base["steps"]) if base else 0,
        "clip": bench.place.clip,
        "commit": commit(),
        "command": command,
        "data": [
            (name, {"images": len(d), "people": len(d.people), "signature": d.signature()})
            for name, d in data
        ],
        "compute": {
            "planned": planned,
            "done": len(runs),
            "hours": seconds / 3600,
            "base_hours": base["seconds"] / 3600 if base else 0.0,
            "device": device_name(bench.place.device),
            "images_per_s": steps * recipe["batch"] / max(seconds, 1e-9),
        },
    }


def _smoke_data(out: Path) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Source, targets and CLIP of the smoke test."""
    from train.ablation.dots import write_dots, write_tiny_clip

    data = out / "data"
    write_dots(data / "source", people=24, pictures=3, seed=1)
    write_dots(data / "bright", people=4, pictures=4, seed=2, gain=1.3)
    write_dots(data / "dim", people=4, pictures=4, seed=3, gain=0.6)
    return *specs_below(data), str(write_tiny_clip(data / "clip"))


def _preset(args: argparse.Namespace) -> Preset:
    preset = PRESETS[args.preset]
    recipe = dict(preset.recipe)
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise AblationError(f"--set {text}; expected NAME=VALUE")
        recipe[name.replace("-", "_")] = value
    changes: dict[str, Any] = {"recipe": recipe}
    own = ("seeds", "row_seeds", "prompt_epochs", "prompt_rate", "prompt_images", "base_steps")
    for name in (*own, "labels", "draws"):
        value = getattr(args, name)
        if value is not None:
            changes[name] = tuple(value) if isinstance(value, list) else value
    return replace(preset, **changes)


def _bench(args: argparse.Namespace, preset: Preset, device: str) -> Bench:
    sources, targets, clip = tuple(args.source), tuple(args.target), args.clip
    if args.data is not None:
        if sources or targets:
            raise AblationError("--data and --source or --target; give one or the other")
        sources, targets = specs_below(args.data)
    elif args.preset == "smoke" and not sources:
        sources, targets, tiny = _smoke_data(args.out)
        clip = clip or tiny
    if not sources or not targets:
        raise AblationError("no data; give --data DIR, or --source and --target")
    if clip is None:
        raise AblationError(
            "no CLIP; give --clip: the folder of a face CLIP, or such as ViT-B-16:openai"
        )
    minutes = args.max_minutes
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    place = Place(args.out, clip, device, args.workers, args.threads, args.identity, deadline)
    return open_bench(sources, targets, preset, place, decoded=args.decoded)


def run(args: argparse.Namespace, command: str) -> int:
    """Make the study that the command line asks for; returns the exit code."""
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(args.threads)
    try:
        preset = _preset(args)
        variants, tables = make_plan(preset, args.tries)
        unknown = set(args.only) - set(variants)
        if unknown:
            raise AblationError(f"no variant {min(unknown)}; there are {', '.join(variants)}")
        bench = _bench(args, preset, device)
        report = ablate(
            bench,
            variants,
            tables,
            only=tuple(args.only),
            command=command,
            warning=WARNING if args.preset == "smoke" else "",
        )
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    compute = report["about"]["compute"]
    print(f"{compute['done']} of {compute['planned']} runs are done; wrote {args.out}/report.md")
    for name, found in report["results"].items():
        each = [r["data"][HELD_OUT]["mean_deg"] for r in found]
        if each:
            print(f"  {name}: {np.mean(each):.2f}° on held-out people of the source")
    return 0
