"""Reports of :mod:`~train.eval.protocol`: Markdown, and maps of the error over gaze and head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.data.angle_axes import set_angle_axes

Figures = Mapping[str, Any]

FEWEST = 5
"""Cells of fewer images are drawn empty: their mean is of little worth."""


def cell(value: float | None, std: float | None = None, digits: int = 2) -> str:
    """``6.41 ± 0.12``; a dash for what there is not."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" + (f" ± {std:.{digits}f}" if std is not None else "")


def of_spread(figures: Figures | None, digits: int = 2) -> str:
    """A cell of :func:`train.eval.protocol.spread`."""
    return cell(figures["mean"], figures["std"], digits) if figures else "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(head)} |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def markdown(report: Figures, *, heat_map: str | None = None) -> str:
    """The report of one configuration on one data set."""
    data, run = report["data"], report["runs"][0]
    seeds = ", ".join(str(r["seed"]) for r in report["runs"])
    lines = [
        f"## {run['method']} on {data['name']}",
        "",
        f"{report['images']} images of {data['people']} people; {run['backbone']}, trained on "
        f"{run['trained_on']}, seeds {seeds}. Errors are means over all images, in degrees; ± is "
        "one standard deviation over seeds.",
        "",
    ]
    if report["not_measured"]:
        lines += [f"**{report['not_measured']} images could not be read and are left out.**", ""]
    if report["seen_in_training"]:
        lines += ["**These are the images that it was trained on.**", ""]
    epochs = report["last_epochs_deg"]
    rows = [("weights of the end", of_spread(report["error_deg"]))]
    if epochs:
        count = max(len(e) for e in epochs["epochs"].values())
        within = [v for v in epochs["within"].values() if v is not None]
        rows.append((f"mean of the last {count} epochs", of_spread(epochs)))
        if within:
            rows.append(("standard deviation between these", cell(float(np.mean(within)))))
    rows += [
        ("mean of people", cell(report["mean_of_people_deg"])),
        ("standard deviation between people", cell(report["std_of_people_deg"])),
        ("median", cell(report["median_deg"])),
        ("90 % are below", cell(report["p90_deg"])),
        *(
            (k.removesuffix("_deg").replace("_", " "), cell(v))
            for k, v in report["trivial"].items()
        ),
    ]
    lines += [table(("", "error [°]"), rows), "", _of_uncertainty(report) + ".", ""]
    for key, name in (("by_gaze_angle", "gaze"), ("by_head_angle", "head")):
        if report[key]:
            found = [(k, cell(v["mean_deg"]), str(v["images"])) for k, v in report[key].items()]
            lines += [table((f"{name} off the axis [°]", "error [°]", "images"), found), ""]
    if heat_map:
        lines += [f"![error over gaze and head]({heat_map})", ""]
    people = sorted(report["per_person"].items(), key=lambda entry: -entry[1]["mean_deg"])
    found = [(name, cell(v["mean_deg"]), str(v["images"])) for name, v in people]
    lines += [table(("person", "error [°]", "images"), found), ""]
    return "\n".join(lines)


def summary(report: Figures) -> str:
    """The same in a few lines for a terminal."""

    def bins(key: str) -> str:
        found = report[key].items()
        return "  ".join(f"{k}: {v['mean_deg']:.2f} ({v['images']})" for k, v in found) or "unknown"

    people = sorted(report["per_person"].items(), key=lambda entry: entry[1]["mean_deg"])
    best, worst = people[0], people[-1]
    reference = "; ".join(
        f"{name.removesuffix('_deg').replace('_', ' ')} {value:.2f}"
        for name, value in report["trivial"].items()
    )
    lines = {
        "images": f"{report['images']} of {len(people)} people",
        "error": f"mean {cell(report['mean_deg'])}, median {cell(report['median_deg'])}, "
        f"90 % are below {cell(report['p90_deg'])}",
        "reference": reference,
        "people": f"mean {cell(report['mean_of_people_deg'], report['std_of_people_deg'])}, from "
        f"{cell(best[1]['mean_deg'])} ({best[0]}) to {cell(worst[1]['mean_deg'])} ({worst[0]})",
        "by gaze": bins("by_gaze_angle"),
        "by head": bins("by_head_angle"),
        "uncertainty": _of_uncertainty(report),
    }
    if report["not_measured"]:
        lines["left out"] = f"{report['not_measured']} images that could not be read"
    return "\n".join(f"  {name:<12}{text}" for name, text in lines.items())


def _of_uncertainty(report: Figures) -> str:
    told = report["uncertainty"]
    return (
        f"rank correlation of the stated uncertainty with the error "
        f"{cell(told['rank_correlation'])}; it states {cell(told['stated_deg'])}° and "
        f"{cell(told['found_deg'])}° are found (root mean squares)"
    )


def write_heat_map(report: Figures, path: Path) -> None:
    """Draw the mean error by pitch and yaw of gaze and, where it is known, of the head."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(k, report[f"by_{k}"]) for k in ("gaze", "head") if report[f"by_{k}"]]
    figure = Figure(figsize=(6.2 * len(panels), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    shown = [_means(grid) for _, grid in panels]
    finite = np.concatenate([m[np.isfinite(m)] for m in shown])
    high = float(np.quantile(finite, 0.98)) if len(finite) else 1.0
    drawn = None
    for axes, (name, grid), means in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, shown, strict=True
    ):
        drawn = axes.pcolormesh(
            grid["yaw_edges_deg"],
            grid["pitch_edges_deg"],
            np.ma.masked_invalid(means),
            vmin=0,
            vmax=high,
            cmap="viridis",
        )
        axes.set_aspect("equal")
        set_angle_axes(axes, name)
        if means.size <= 200:
            _numbers(axes, grid, means, high)
    if drawn is not None:
        figure.colorbar(drawn, ax=figure.axes, label="mean error [°]", shrink=0.8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def _means(grid: Figures) -> Any:
    means = np.array([[np.nan if v is None else v for v in row] for row in grid["mean_deg"]])
    count = np.array(grid["images"])
    enough = count >= min(FEWEST, int(count.max()))
    return np.where(enough, means, np.nan)


def _numbers(axes: Any, grid: Figures, means: Any, high: float) -> None:
    middles = [np.convolve(grid[f"{k}_edges_deg"], [0.5, 0.5], "valid") for k in ("yaw", "pitch")]
    for row, pitch in enumerate(middles[1]):
        for column, yaw in enumerate(middles[0]):
            value = means[row, column]
            if np.isfinite(value):
                color = "white" if value < 0.6 * high else "black"
                axes.text(
                    yaw, pitch, f"{value:.1f}", ha="center", va="center", fontsize=6, color=color
                )
