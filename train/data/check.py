"""Whether a data set is what it should be: readable, in radians, with the right signs.

:func:`check` finds out, :func:`write` draws what only eyes can judge.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from train.data.angle_axes import LEFT, set_angle_axes
from train.data.gazehub import GazeHubDataset
from train.data.registry import open_dataset, parse_spec
from train.data.samples import (
    MOST_PITCH,
    MOST_YAW,
    UNKNOWN,
    BrokenSample,
    DataError,
    DataWarning,
    Floats,
    GazeDataset,
    Labels,
    Pixels,
)
from train.factors import FACTORS

_SIDE, _TILE_PX = 8, 160
_FEWEST = 50
"""Fewer samples tell nothing of a correlation."""
_GAZE_COLOR, _HEAD_COLOR = (40, 40, 255), (255, 160, 40)
"""BGR."""


@dataclass(slots=True)
class Report:
    """What was found; ``wrong`` is empty for a data set that can be used as it is."""

    spec: str
    samples: int = 0
    pictures_read: int = 0
    people: dict[str, int] = field(default_factory=dict)
    angles_rad: dict[str, dict[str, float]] = field(default_factory=dict)
    """By name: min, mean, max and sd; radians."""
    correlation: dict[str, float] = field(default_factory=dict)
    """Between gaze and head, of pitch and of yaw."""
    factors: dict[str, dict[str, int]] = field(default_factory=dict)
    """By name: in how many samples it is on, and in how many it is known."""
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self, most: int = 20) -> str:
        """For people to read; of each list the first ``most``."""
        lines = [
            f"{self.spec}: {self.samples} samples of {len(self.people)} people; "
            f"{self.pictures_read} pictures read"
        ]
        if self.people:
            each = list(self.people.values())
            lines.append(f"  samples per person: {min(each)} to {max(each)}")
        for name, of in self.angles_rad.items():
            deg = {key: np.degrees(value) for key, value in of.items()}
            lines.append(
                f"  {name:<11} {deg['min']:7.1f}° to {deg['max']:6.1f}°, mean {deg['mean']:6.1f}°, "
                f"sd {deg['sd']:5.1f}°"
            )
        for name, value in self.correlation.items():
            lines.append(f"  correlation of gaze and head, {name}: {value:.2f}")
        for title, entries in (("note", self.notes), ("WRONG", self.wrong)):
            lines += [f"  {title}: {entry}" for entry in entries[:most]]
            if len(entries) > most:
                lines.append(f"  {title}: {len(entries) - most} more")
        lines.append(
            f"things that are wrong: {len(self.wrong)}" if self.wrong else "nothing is wrong"
        )
        return "\n".join(lines)


def check(spec: str, *, pictures: int = 2000) -> tuple[Report, GazeDataset | None]:
    """Look at all labels and at ``pictures`` pictures spread evenly (0 for all of them).

    The data set is None where it cannot be opened at all.
    """
    report = Report(spec)
    try:
        parse_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # every problem is in the report
            dataset = open_dataset(spec, strict=False)
    except DataError as error:
        report.wrong.append(str(error))
        return report, None
    report.samples, report.people = len(dataset), dataset.counts()
    report.wrong += [str(problem) for problem in dataset.problems]
    labels = dataset.labels()
    _check_angles(report, labels)
    _check_head(report, labels)
    _check_mirrored(report, labels)
    _count_factors(report, labels)
    if isinstance(dataset, GazeHubDataset):
        report.notes.append(
            "the signs and order of 2DGaze agree with 3DGaze in every row that was not left out"
        )
    _check_pictures(report, dataset, pictures)
    return report, dataset


def _check_angles(report: Report, labels: Labels) -> None:
    for name in ("gaze", "head"):
        angles: Floats = labels[name]
        known = np.isfinite(angles).all(axis=1)
        if name == "gaze" and not known.all():
            report.wrong.append(f"{(~known).sum()} gaze labels are not finite")
        if not known.any():
            report.notes.append("the pose of the head is unknown")
            continue
        if not known.all():
            report.notes.append(f"{name} is unknown in {(~known).sum()} samples")
        for column, most in ((0, MOST_PITCH), (1, MOST_YAW)):
            title = f"{name} {('pitch', 'yaw')[column]}"
            values = angles[known, column].astype(np.float64)
            report.angles_rad[title] = {
                "min": float(values.min()),
                "mean": float(values.mean()),
                "max": float(values.max()),
                "sd": float(values.std()),
            }
            far = int((np.abs(values) > most).sum())
            if far:
                report.wrong.append(
                    f"{title}: {far} of {len(values)} are beyond ±{most} (up to "
                    f"{np.abs(values).max():.4g}); expected radians"
                )
            if name == "gaze" and len(values) >= _FEWEST and values.std() < 1e-3:
                report.wrong.append(f"{title} is {values.mean():.4f} in all samples")


def _check_head(report: Report, labels: Labels) -> None:
    """People tend to look where their head points, so both angles go together."""
    both = np.hstack([labels["gaze"], labels["head"]]).astype(np.float64)
    both = both[np.isfinite(both).all(axis=1)]
    if len(both) < _FEWEST:
        if len(both):
            report.notes.append(f"{len(both)} samples are too few to compare gaze with head")
        return
    for column, name in enumerate(("pitch", "yaw")):
        gaze, head = both[:, column], both[:, 2 + column]
        if min(gaze.std(), head.std()) < np.radians(0.5):
            continue
        value = float(np.corrcoef(gaze, head)[0, 1])
        report.correlation[name] = value
        what = f"gaze and head go against each other in {name} (correlation {value:.2f})"
        if value < -0.3:
            report.wrong.append(f"{what}: the sign of one of them is negated")
        elif value < 0:
            report.notes.append(f"{what}; it is weak, so the signs may still be right")


def _check_mirrored(report: Report, labels: Labels) -> None:
    """Mirrored rows look to the other side on average, or both hardly aside."""
    mirrored = labels["mirrored"]
    if not mirrored.any() or mirrored.all():
        return
    sides = {"as taken": ~mirrored, "mirrored": mirrored}
    yaw = {side: labels["gaze"][rows, 1] for side, rows in sides.items()}
    report.notes.append(
        "mean yaw of "
        + " and of ".join(
            f"{len(v)} pictures {s} {np.degrees(v.mean()):.1f}°" for s, v in yaw.items()
        )
    )
    head = {s: float(np.nanstd(labels["head"][rows, 1])) for s, rows in sides.items()}
    if mirrored.sum() >= _FEWEST and head["mirrored"] < 0.5 * head["as taken"]:
        report.notes.append(
            f"the head's yaw spreads {np.degrees(head['mirrored']):.1f}° in mirrored rows and "
            f"{np.degrees(head['as taken']):.1f}° in the others: what mirrored 2DHead is wrong in "
            "this copy, so rely on head poses of unmirrored rows alone"
        )


def _count_factors(report: Report, labels: Labels) -> None:
    factors = labels["factors"]
    known = factors != UNKNOWN
    if not known.any():
        return
    for number, factor in enumerate(FACTORS):
        on = int((factors[:, number] == 1).sum())
        report.factors[factor.name] = {"on": on, "known": int(known[:, number].sum())}


def _check_pictures(report: Report, dataset: GazeDataset, pictures: int) -> None:
    count = len(dataset) if pictures <= 0 else min(pictures, len(dataset))
    if count < len(dataset):
        report.notes.append(f"{count} of {len(dataset)} pictures were read; --images 0 reads all")
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int):
        try:
            rgb = dataset.picture(int(index))
        except BrokenSample as error:
            report.wrong.append(str(error))
            continue
        report.pictures_read += 1
        if rgb.std() < 1:
            file, row = dataset.where(int(index))
            report.wrong.append(f"{file}, row {row}: the picture is of one colour")


def arrow(image: Pixels, angles: Floats, length_px: float, color: tuple[int, int, int]) -> None:
    """Draw a direction (pitch, yaw) from the middle: dx = −L sin y cos p, dy = −L sin p."""
    pitch, yaw = (float(a) for a in angles)
    if not np.isfinite([pitch, yaw]).all():
        return
    x, y = image.shape[1] / 2, image.shape[0] / 2
    tip = x - length_px * np.sin(yaw) * np.cos(pitch), y - length_px * np.sin(pitch)
    start, end = (tuple(round(float(v)) for v in point) for point in ((x, y), tip))
    cv2.arrowedLine(image, start, end, color, 2, cv2.LINE_AA, tipLength=0.25)


def contact_sheet(dataset: GazeDataset, seed: int = 0) -> Pixels:
    """(1280, 1280, 3) BGR: 8 x 8 pictures drawn at random, gaze red and head blue."""
    sheet = np.zeros((_SIDE * _TILE_PX, _SIDE * _TILE_PX, 3), np.uint8)
    labels = dataset.labels()
    drawn = 0
    for index in np.random.default_rng(seed).permutation(len(dataset)):
        if drawn == _SIDE**2:
            break
        try:
            rgb = dataset.picture(int(index))
        except BrokenSample:
            continue
        small = cv2.resize(rgb[..., ::-1], (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
        tile = np.ascontiguousarray(small, np.uint8)
        arrow(tile, labels["head"][index], 0.3 * _TILE_PX, _HEAD_COLOR)
        arrow(tile, labels["gaze"][index], 0.45 * _TILE_PX, _GAZE_COLOR)
        size = 0.35
        cv2.putText(tile, str(index), (3, 12), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255))
        top, left = (_TILE_PX * k for k in divmod(drawn, _SIDE))
        sheet[top : top + _TILE_PX, left : left + _TILE_PX] = tile
        drawn += 1
    return sheet


def write_scatter(labels: Labels, path: Path, most: int = 5000) -> None:
    """Draw gaze, head, and one yaw against the other, in degrees."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(labels["gaze"])
    rows = np.random.default_rng(0).permutation(count)[:most]
    gaze, head = (np.degrees(labels[name][rows]) for name in ("gaze", "head"))
    figure = Figure(figsize=(15, 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for axes, name, angles in zip(panels, ("gaze", "head"), (gaze, head), strict=False):
        axes.scatter(angles[:, 1], angles[:, 0], s=4, alpha=0.4)
        set_angle_axes(axes, name)
    panels[2].scatter(head[:, 1], gaze[:, 1], s=4, alpha=0.4)
    panels[2].set(title="yaw", xlabel=f"head [°], {LEFT}", ylabel=f"gaze [°], {LEFT}")
    panels[2].invert_xaxis()
    panels[2].invert_yaxis()
    for axes in panels:
        axes.axhline(0, color="grey", linewidth=0.5)
        axes.axvline(0, color="grey", linewidth=0.5)
    figure.savefig(path, dpi=80)


def write(report: Report, dataset: GazeDataset | None, out: Path) -> list[Path]:
    """Write report.json and, of a data set that opened, contact_sheet.png and angles.png."""
    out.mkdir(parents=True, exist_ok=True)
    written = [out / "report.json"]
    written[0].write_text(json.dumps(asdict(report), indent=1) + "\n")
    if dataset is not None:
        written += [out / "contact_sheet.png", out / "angles.png"]
        cv2.imwrite(str(written[1]), contact_sheet(dataset))
        write_scatter(dataset.labels(), written[2])
    return written
