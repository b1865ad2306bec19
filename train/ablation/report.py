"""The ablation's report: the paper's tables with our figures, published ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.ablation.plan import MAIN, TITLES, Table
from train.eval.protocol import spread
from train.eval.protocol_report import of_spread, table

Figures = Mapping[str, Any]
Results = Mapping[str, Sequence[Figures]]
"""Of each variant, a result for each seed that is done."""

HELD_OUT = "held-out people of the source"

SHORT = {"eth_xgaze": "E", "gaze360": "G", "mpiifacegaze": "M", "eyediap": "D"}
"""Letters of data sets in published tables."""

PUBLISHED_COLUMNS = ("E→M", "E→D", "G→M", "G→D")
PUBLISHED: dict[str, tuple[float, float, float, float]] = {
    "PureGaze's baseline": (8.13, 7.74, 9.89, 11.42),
    "PureGaze": (7.08, 7.48, 9.28, 9.32),
    "CDG": (6.73, 7.95, 7.03, 7.27),
    "Gaze-Consistent": (6.50, 7.44, 7.55, 9.03),
    "**CLIP-Gaze**": (6.41, 7.51, 6.89, 7.06),
    "AGG, ResNet-50": (5.91, 6.75, 9.20, 11.36),
    "FSCI, ResNet-18": (5.79, 6.96, 7.06, 7.99),
    "FGAL, ResNet-50 (best average known)": (5.29, 7.18, 5.85, 6.94),
}
"""Degrees, as the papers state them."""

_SAME = {"erm": "PureGaze's baseline"} | {k: v for k, v in TITLES.items() if v in PUBLISHED}


def published(variant: str, column: str) -> float | None:
    """What the papers state of this method on these data sets; None where they do not match."""
    row = PUBLISHED.get(_SAME.get(variant, ""))
    if row is None or column not in PUBLISHED_COLUMNS:
        return None
    return row[PUBLISHED_COLUMNS.index(column)]


def errors(results: Results, variant: str, column: str, key: str = "error_deg") -> list[float]:
    """Mean errors in degrees of a variant's seeds on a column's data set."""
    found = []
    for result in results.get(variant, ()):
        figures = result["data"][column][key]
        if figures is not None:
            found.append(float(figures["mean"]))
    return found


def means(results: Results, variant: str, columns: Sequence[str]) -> list[float]:
    """Mean over the targets, of each seed."""
    each = [errors(results, variant, column) for column in columns]
    return [sum(values) / len(values) for values in zip(*each, strict=True)]


def shared(one: Table, results: Results) -> Results:
    """Results of a table's lines, of the seeds that all of them have: others compare unequals."""
    found = {line.variant: results.get(line.variant, ()) for line in one.lines}
    seeds = [{r["seed"] for r in result} for result in found.values() if result]
    both = set.intersection(*seeds) if seeds else set()
    if not both:
        return found
    return {name: [r for r in result if r["seed"] in both] for name, result in found.items()}


def error_table(one: Table, results: Results, columns: Sequence[str]) -> str:
    """A table of the paper in its layout; published figures stand after ours where they match."""
    results = shared(one, results)
    beside = [c for c in columns if any(published(line.variant, c) for line in one.lines)]
    head = [*one.head]
    for column in columns:
        head += [column] + (["published"] if column in beside else [])
    rows = []
    for line in one.lines:
        row = [*line.cells]
        for column in columns:
            row.append(of_spread(spread(errors(results, line.variant, column))))
            if column in beside:
                value = published(line.variant, column)
                row.append("–" if value is None else f"{value:.2f}")
        row.append(of_spread(spread(means(results, line.variant, columns))))
        row.append(of_spread(spread(errors(results, line.variant, HELD_OUT))))
        row.append(str(len(results.get(line.variant, ()))))
        rows.append(row)
    text = table((*head, "mean of targets", "held-out source", "seeds"), rows)
    return f"## {one.title}\n\n{one.note}\n\n{text}\n"


def epochs_table(results: Results, columns: Sequence[str]) -> str:
    """The end's error beside the last epochs', and how much epochs of one run differ."""
    rows = []
    for name in MAIN:
        row = [TITLES[name]]
        for column in columns:
            row.append(of_spread(spread(errors(results, name, column))))
            row.append(of_spread(spread(errors(results, name, column, "last_epochs_deg"))))
            within = [
                value
                for result in results.get(name, ())
                if result["data"][column]["last_epochs_deg"]
                for value in result["data"][column]["last_epochs_deg"]["within"].values()
                if value is not None
            ]
            row.append(f"{sum(within) / len(within):.2f}" if within else "–")
        rows.append(row)
    head = ["method"]
    for column in columns:
        head += [column, "last epochs", "std in a run"]
    return (
        "## Last epochs\n\nThe averaged weights of the end, the mean over the last epochs, and the "
        "standard deviation between epochs of one run, in degrees.\n\n" + table(head, rows) + "\n"
    )


def adapt_table(adapted: Mapping[str, Mapping[str, Figures]], columns: Sequence[str]) -> str:
    """Few-label adaptation: before → after."""
    if not adapted:
        return ""
    first = next(iter(next(iter(adapted.values())).values()))["options"]
    rows = []
    for variant, by_column in adapted.items():
        row = [TITLES.get(variant, variant)]
        for column in columns:
            one = by_column.get(column)
            before, after = (of_spread(one[k]) if one else "–" for k in ("before_deg", "after_deg"))
            row += [before, after]
        rows.append(row)
    head = ["method"]
    for column in columns:
        head += [column, "adapted"]
    return (
        f"## Few labels\n\nSupervised adaptation with {first['labels']} labelled images of the "
        f"target, drawn {first['draws']} times and left out of the test; layers "
        f"{first['layers']}, seed 0 of each method. ± is over the draws.\n\n"
        + table(head, rows)
        + "\n"
    )


def published_table(columns: Sequence[str]) -> str:
    """All published figures, for reference."""
    matched = [c for c in columns if c in PUBLISHED_COLUMNS]
    note = (
        f"Columns {', '.join(matched)} of the tables above are of these data sets."
        if matched
        else "**None of the tables above can be compared with these figures**: rendered domains "
        "are not these data sets."
    )
    rows = [(name, *(f"{v:.2f}" for v in values)) for name, values in PUBLISHED.items()]
    return (
        "## Published figures\n\nIn degrees, as the papers state them (E = ETH-XGaze, G = Gaze360, "
        f"M = MPIIFaceGaze, D = EyeDiap). {note}\n\n"
        + table(("method", *PUBLISHED_COLUMNS), rows)
        + "\n"
    )


def set_up(about: Figures) -> str:
    """What was done, in words and a list."""
    recipe, steps = about["recipe"], about["steps"]
    images = steps * recipe["batch"]
    data = [f"- {label}: {d['images']} crops of {d['people']} people" for label, d in about["data"]]
    compute = about["compute"]
    lines = [
        "# Ablation",
        "",
        *([about["warning"], ""] if about["warning"] else []),
        f"Every run sees {images:,} image-steps ({steps} steps of {recipe['batch']}) of "
        f"the source with the same backbone (`{recipe['backbone']}`), schedule, augmentation and "
        "evaluation; methods differ in their loss alone. Figures are mean angular errors in "
        "degrees over all images of a target, of the averaged weights of the end; ± is one "
        "standard deviation over seeds. No epoch, seed or weight was chosen on a target.",
        "",
        *_base(about),
        *data,
        f"- CLIP: {about['clip']}",
        f"- runs: {compute['done']} of {compute['planned']} done; {compute['hours']:.2f} hours of "
        f"training on {compute['device']}, {compute['images_per_s']:.0f} images a second",
        f"- commit {about['commit']}; command:",
        "",
        "```bash",
        about["command"],
        "```",
        "",
    ]
    return "\n".join(lines)


def _base(about: Figures) -> list[str]:
    if not about["base_steps"]:
        return []
    images = about["base_steps"] * about["recipe"]["batch"]
    return [
        "**The backbone of every run starts from the same weights**: ERM on the source for "
        f"{images:,} image-steps ({about['compute']['base_hours']:.2f} hours). What follows the "
        "backbone begins anew. So seeds differ in what follows and in the order of images, and ± "
        "leaves out what another beginning would change.",
        "",
    ]


def whole_report(report: Figures, tables: Sequence[Table]) -> str:
    """The text of ``report.md``, as in ``docs/notes/ablation_2026-11.md``."""
    columns, results = report["columns"], report["results"]
    parts = [set_up(report["about"])]
    parts += [error_table(one, results, columns) for one in tables]
    parts += [adapt_table(report["adapted"], columns), epochs_table(results, columns)]
    if report["claims"]:
        data = "the held-out people of the source and all targets"
        parts.append(
            "## Does it do what it claims?\n\nLinear probes are fitted to half of the people and "
            f"tested on the others, over {data}, with seed 0 of each.\n\n{report['claims']}"
        )
    if report["pictures"]:
        links = "\n\n".join(f"![{text}]({path})" for path, text in report["pictures"].items())
        parts.append(f"## Pictures\n\n{links}\n")
    parts.append(published_table(columns))
    return "\n".join(part for part in parts if part)
