"""Whether the method does what it claims: figures of probes, and what they must be.

The work of ``python -m train.eval.claims``; :mod:`train.eval.probes` measures.  Of a twin, f and
f_re are those of the picture as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import DataError, GazeDataset
from train.eval.probes import (
    ProbeError,
    factor_probe,
    gaze_probe,
    order_of,
    split_people,
    spread_of,
)
from train.eval.protocol import ProtocolError, predict, same_but_seed, spread
from train.eval.protocol_report import cell, table
from train.factors import FACTORS
from train.gaze.checkpoints import load_model
from train.loop.states import CheckpointError

Figures = dict[str, Any]

LEAST_FALL = 0.01
"""Of the factors' balanced accuracy from f to f_re: a percentage point."""
MOST_RISE = 0.02
"""Share of its error from f by which gaze may be told worse from f_re."""
MOST_COSINE, LEAST_RANK = 0.9, 2.0
"""Of f_re; gaze alone has two dimensions."""
MOST_IMAGES = 6000

PROMPTS = ("hand", "coop", "cocoop", "pco", "shuffled")
"""Names of prompt runs; ``shuffled`` is PCO's with other people's identity."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table."""

    claim: str
    measured: str
    needed: str
    passed: bool | None
    """None where it is told for information, or could not be measured."""


def measure(run: Path, dataset: GazeDataset, *, device: str = "cpu", workers: int = 0) -> Figures:
    """All probes of one run on a data set, see :mod:`train.eval.probes`."""
    said = predict(load_model(run), dataset, device=device, workers=workers, features=True)
    labels = dataset.labels()
    known = np.isfinite(said.gaze).all(1)
    person, gaze = labels["person"][known], labels["gaze"][known]
    split = split_people(person)
    out: Figures = {"run": run.name, "images": len(gaze), "people": len(np.unique(person))}
    for name, x in (("f", said.f), ("f_re", said.f_re)):
        if x is not None:
            out[name] = {
                "factors": factor_probe(x[known], labels["factors"][known], split),
                "gaze_deg": gaze_probe(x[known], gaze, split),
                "spearman": order_of(x[known], gaze),
                **spread_of(x[known]),
            }
    return out


def probed(dataset: GazeDataset, most: int = MOST_IMAGES, seed: int = 0) -> GazeDataset:
    """At most so many images of a data set, drawn at random, in their order."""
    if len(dataset) <= most:
        return dataset
    rows = np.random.default_rng([seed, 61]).choice(len(dataset), most, replace=False)
    return dataset.subset(np.sort(rows))


def verdicts(
    main: Sequence[Figures],
    without_separate: Sequence[Figures] = (),
    without_rank: Sequence[Figures] = (),
    prompts: Mapping[str, Figures] | None = None,
) -> list[Verdict]:
    """The table, of :func:`measure`'s figures and prompt tuning's ``metrics.json``."""
    return [
        _factors_fall(main),
        _gaze_stays(main),
        _separated(main, without_separate),
        _spread_out(main),
        _ordered(main, without_rank),
        *_prompts(prompts or {}),
    ]


def _values(runs: Sequence[Figures], feature: str, *names: str) -> list[float]:
    values = []
    for run in runs:
        value: Any = run[feature]
        for name in names:
            value = value[name]
        if value is not None:
            values.append(float(value))
    return values


def _said(values: Sequence[float], digits: int = 3) -> str:
    figures = spread(list(values))
    return cell(figures["mean"], figures["std"], digits)


def _factors_fall(main: Sequence[Figures]) -> Verdict:
    before, after = (_values(main, k, "factors", "balanced") for k in ("f", "f_re"))
    passed = None
    if before and len(before) == len(after):
        passed = all(b - a >= LEAST_FALL for b, a in zip(before, after, strict=True))
    return Verdict(
        "a linear probe tells less of the factors from f_re than from f",
        f"balanced accuracy {_said(before)} → {_said(after)}",
        f"falls by at least {LEAST_FALL}",
        passed,
    )


def _gaze_stays(main: Sequence[Figures]) -> Verdict:
    before, after = _values(main, "f", "gaze_deg"), _values(main, "f_re", "gaze_deg")
    return Verdict(
        "and no less of gaze",
        f"error {_said(before, 2)}° → {_said(after, 2)}°",
        f"rises by at most {MOST_RISE:.0%}",
        all(a <= b * (1 + MOST_RISE) for b, a in zip(before, after, strict=True)),
    )


def _separated(main: Sequence[Figures], without: Sequence[Figures]) -> Verdict:
    own = _values(main, "f_re", "factors", "balanced")
    other = _values(without, "f_re", "factors", "balanced")
    return Verdict(
        "L_ir takes the factors out of f_re",
        f"balanced accuracy {_said(other)} without, {_said(own)} with",
        "lower with it",
        _below(own, other),
    )


def _below(small: Sequence[float], large: Sequence[float]) -> bool | None:
    """Whether each is below its partner; None without partners."""
    pairs = list(zip(small, large, strict=False))
    return all(a < b for a, b in pairs) if pairs else None


def _spread_out(main: Sequence[Figures]) -> Verdict:
    cosine, rank = _values(main, "f_re", "mean_cosine"), _values(main, "f_re", "effective_rank")
    return Verdict(
        "f_re of different images differ",
        f"mean cosine {_said(cosine)}, effective rank {_said(rank, 1)}",
        f"at most {MOST_COSINE}, at least {LEAST_RANK:g}",
        max(cosine) <= MOST_COSINE and min(rank) >= LEAST_RANK,
    )


def _ordered(main: Sequence[Figures], without: Sequence[Figures]) -> Verdict:
    own, other = _values(main, "f_re", "spearman"), _values(without, "f_re", "spearman")
    return Verdict(
        "L_re orders features as their labels are",
        f"Spearman's ρ {_said(other)} without, {_said(own)} with",
        "higher with it",
        _below(other, own),
    )


def _prompts(metrics: Mapping[str, Figures]) -> list[Verdict]:
    if "pco" not in metrics:
        return []
    own = metrics["pco"]["balanced"]["runs"]
    names = {
        "hand": "hand-written prompts",
        "coop": "CoOp's",
        "shuffled": "its own with other people's identity",
        "cocoop": "CoCoOp's (for information)",
    }
    found = []
    for kind, name in names.items():
        if kind in metrics:
            other = metrics[kind]["balanced"]["runs"]
            passed = _below(other, own) if kind != "cocoop" else None
            found.append(
                Verdict(
                    f"PCO tells attributes better than {name}",
                    f"balanced accuracy {_said(other)}, PCO {_said(own)}",
                    "higher in every seed",
                    passed,
                )
            )
    return found


def read_metrics(folder: Path) -> Figures:
    """Figures of ``train.clip.tune_prompts``; the factors of identity also by themselves."""
    path = folder / "metrics.json"
    try:
        figures: Figures = json.loads(path.read_text())
        figures["balanced"]["runs"], figures["kind"]
    except FileNotFoundError:
        raise ProtocolError(
            f"{folder} holds no metrics.json; give the --out of `python -m train.clip.tune_prompts`"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"{path} is damaged ({error!r}); tune the prompts again") from None
    figures["of_identity"] = _of_scope(folder, figures.get("seeds", []), "identity")
    return figures


def _of_scope(folder: Path, seeds: Sequence[int], scope: str) -> Figures:
    """Balanced accuracy over the factors of a scope, of every seed."""
    names = {f.name for f in FACTORS if f.scope == scope}
    values = []
    for seed in seeds:
        path = folder / f"seed{seed}" / "metrics.json"
        if path.is_file():
            each = json.loads(path.read_text())["test"]["factors"]
            own = [v["balanced"] for k, v in each.items() if k in names and v["balanced"]]
            values += [float(np.mean(own))] if own else []
    return spread(values)


def markdown(found: Sequence[Verdict], metrics: Mapping[str, Figures] | None = None) -> str:
    """The table, and that of the prompts' accuracy."""
    words = {True: "holds", False: "**does not hold**", None: "–"}
    rows = [(v.claim, v.measured, v.needed, words[v.passed]) for v in found]
    text = table(("claim", "measured", "needed", "verdict"), rows)
    if metrics:
        lines = [
            (
                kind,
                *(
                    cell(m[k]["mean"], m[k]["std"], 3)
                    for k in ("balanced", "of_identity", "accuracy")
                    if k in m
                ),
            )
            for kind, m in metrics.items()
        ]
        head = ("prompts", "balanced accuracy", "of identity's factors", "accuracy")
        text += "\n\n" + table(head, lines)
    return text + "\n"


def check_claims(
    dataset: GazeDataset,
    runs: Mapping[str, Sequence[Path]],
    prompts: Mapping[str, Path] | None = None,
    *,
    device: str = "cpu",
    workers: int = 0,
) -> tuple[list[Verdict], Figures]:
    """Verdicts and all figures of ``runs``: ``main``, ``without_separate``, ``without_rank``."""
    for seeds in runs.values():
        if seeds:
            same_but_seed(seeds)
    found = {
        name: [measure(run, dataset, device=device, workers=workers) for run in seeds]
        for name, seeds in runs.items()
    }
    metrics = {kind: read_metrics(folder) for kind, folder in (prompts or {}).items()}
    verdict = verdicts(
        found["main"], found.get("without_separate", ()), found.get("without_rank", ()), metrics
    )
    figures = {"verdicts": [asdict(v) for v in verdict], "runs": found, "prompts": metrics}
    return verdict, figures


def _folders(texts: Sequence[str]) -> dict[str, Path]:
    found = {}
    for text in texts:
        kind, equals, folder = text.partition("=")
        if not equals or kind not in PROMPTS:
            raise ProtocolError(
                f"--prompts {text}; expected KIND=DIR, KIND of {', '.join(PROMPTS)}"
            )
        found[kind] = Path(folder)
    return found


def run(args: argparse.Namespace) -> int:
    """Check as the command says, and print the table; returns 1 where something does not hold."""
    try:
        prompts = _folders(args.prompts)
        runs = {
            "main": args.run,
            "without_separate": args.without_separate,
            "without_rank": args.without_rank,
        }
        dataset = probed(open_dataset(args.data, strict=True), args.most)
        found, figures = check_claims(
            dataset, runs, prompts, device=device_of(args.device), workers=args.workers
        )
    except (ProtocolError, ProbeError, CheckpointError, DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = markdown(found, figures["prompts"])
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "claims.json").write_text(json.dumps(figures, indent=1) + "\n")
        (args.out / "claims.md").write_text(text)
    return 1 if any(v.passed is False for v in found) else 0
