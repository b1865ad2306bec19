"""Figures with 95 % intervals over people, and differences of two networks on the same pictures.

An interval is the bootstrap's: people are drawn with replacement, each with all of their rows,
since pictures of one person err alike.  A table is columns (n,) by name; ``person`` is one of them.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Table = Mapping[str, NDArray[Any]]
Measure = Callable[[Table], float]

DRAWS = 1000
SHARES = (0.025, 0.975)
LEAST_ROWS = 3
"""Fewer rows than this say nothing of a spread, a slope or a correlation."""


PAIR = ("against", "difference", "ratio")
"""What stands beside a figure where two networks are compared."""


class Figure(NamedTuple):
    """A figure and its 95 % interval; not a number where nothing could be measured."""

    value: float
    low: float
    high: float


class Compared(NamedTuple):
    """A figure of one network, of another on the same rows, and the first less and over it."""

    value: Figure
    against: Figure | None = None
    difference: Figure | None = None
    ratio: Figure | None = None
    """Not a number where the figure of either may be 0 or below."""

    def plain(self) -> dict[str, Any]:
        """Ready for JSON: value, low and high, and the same of the others that there are."""
        pair = dict(zip(PAIR, self[1:], strict=True))
        more = {name: _plain(figure) for name, figure in pair.items() if figure is not None}
        return _plain(self.value) | more


def _plain(figure: Figure) -> dict[str, Any]:
    """Five digits; None for what is not a number."""
    pairs = figure._asdict().items()
    return {name: round(v, 5) if np.isfinite(v) else None for name, v in pairs}


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows, at least one, with the same names, as a table."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def chosen(table: Table, rows: NDArray[Any]) -> Table:
    """Rows of a table, by number or by a mask."""
    return {name: column[rows] for name, column in table.items()}


def people_drawn(
    person: NDArray[Any], *, draws: int = DRAWS, seed: int = 0
) -> Iterator[NDArray[np.intp]]:
    """Row numbers of as many people as there are, drawn with replacement, ``draws`` times."""
    names, number = np.unique(person, return_inverse=True)
    rows = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.concatenate([rows[k] for k in rng.integers(len(names), size=len(names))])


def measured(
    table: Table,
    measures: Mapping[str, Measure],
    *,
    against: Table | None = None,
    draws: int = DRAWS,
) -> dict[str, Compared]:
    """Each measure with its interval; beside ``against``, of which each row is the same face.

    Raises :class:`ValueError` where ``against`` has other rows.
    """
    tables = [table] if against is None else [table, against]
    if any(not np.array_equal(each["person"], table["person"]) for each in tables):
        raise ValueError("the two tables are not of the same people in the same order")
    whole = np.array([[measure(each) for measure in measures.values()] for each in tables])
    drawn = np.array(
        [
            [[measure(part) for measure in measures.values()] for part in parts]
            for parts in _parts(tables, draws)
        ]
    )
    figures = [_figures(whole[k], drawn[:, k]) for k in range(len(tables))]
    if against is not None:
        figures.append(_figures(whole[0] - whole[1], drawn[:, 0] - drawn[:, 1]))
        above = (np.vstack([whole[None], drawn]) > 0).all(axis=(0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [
                np.where(above, of[..., 0, :] / of[..., 1, :], np.nan) for of in (whole, drawn)
            ]
        figures.append(_figures(*ratios))
    columns = zip(*figures, strict=True)
    return {name: Compared(*column) for name, column in zip(measures, columns, strict=True)}


def _parts(tables: Sequence[Table], draws: int) -> Iterator[list[Table]]:
    for rows in people_drawn(tables[0]["person"], draws=draws):
        yield [chosen(table, rows) for table in tables]


def _figures(whole: Floats, drawn: Floats) -> list[Figure]:
    """Figures of values (m,) and what came out of the draws (draws, m)."""
    figures = []
    for value, column in zip(whole, drawn.T, strict=True):
        good = column[np.isfinite(column)]
        ends = np.quantile(good, SHARES) if np.isfinite(value) and len(good) else (np.nan, np.nan)
        figures.append(Figure(float(value), float(ends[0]), float(ends[1])))
    return figures


def mean_of(name: str) -> Measure:
    """The mean of a column, over what is a number in it."""
    return _of_column(name, np.mean)


def median_of(name: str) -> Measure:
    """The median of a column, over what is a number in it."""
    return _of_column(name, np.median)


def spread_of(name: str) -> Measure:
    """The standard deviation of a column, over what is a number in it."""
    return _of_column(name, lambda x: np.std(x, ddof=1), least=LEAST_ROWS)


def _of_column(name: str, statistic: Callable[[Floats], Any], *, least: int = 1) -> Measure:
    def measure(table: Table) -> float:
        column = np.asarray(table[name], np.float64)
        column = column[np.isfinite(column)]
        return float(statistic(column)) if len(column) >= least else np.nan

    return measure


def slope_of(said: str, on: str, *, given: Sequence[str] = (), beyond: float = 0.0) -> Measure:
    """How ``said`` grows with ``on``: the coefficient beside a constant and the columns ``given``.

    With ``beyond``, fitted on the rows alone where ``on`` is further from zero than that.
    """

    def measure(table: Table) -> float:
        rows = np.abs(table[on]) > beyond if beyond else np.ones(len(table[on]), bool)
        if np.count_nonzero(rows) < LEAST_ROWS + len(given):
            return np.nan
        x = np.column_stack([np.ones(len(rows)), table[on], *(table[name] for name in given)])
        return float(np.linalg.lstsq(x[rows], table[said][rows], rcond=None)[0][1])

    return measure


def correlation_of(first: str, second: str, *, given: Sequence[str] = ()) -> Measure:
    """The correlation of what a constant and the columns ``given`` leave of two columns."""

    def measure(table: Table) -> float:
        if len(table[first]) < LEAST_ROWS + len(given):
            return np.nan
        x = np.column_stack([np.ones(len(table[first])), *(table[name] for name in given)])
        y = np.column_stack([table[first], table[second]]).astype(np.float64)
        left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        lengths = np.linalg.norm(left, axis=0)
        if np.any(lengths <= 1e-9 * np.linalg.norm(y, axis=0)):  # one is constant, but for rounding
            return np.nan
        return float(left[:, 0] @ left[:, 1] / np.prod(lengths))

    return measure


def section(
    title: str,
    rows: Sequence[Sequence[Mapping[str, Any]]],
    measures: Mapping[str, Measure],
    *,
    by: str | None = None,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Print the figures of one network or two, over the faces that all of them find.

    Args:
        title: of what is printed.
        rows: of each network, row for row the same faces; each has ``person``, ``missed`` (0 or 1)
            and what the measures read.
        measures: by name.
        by: a column whose values are groups that are measured too, each alone.
        draws: of the bootstrap.

    Returns:
        What was printed, ready for JSON: by group, ``all`` first, and ``missed_share`` over all;
        nothing where there is no face that all of them find.
    """
    found = np.array([not any(row["missed"] for row in same) for same in zip(*rows, strict=True)])
    if not found.any():
        print(f"{title}\n  no face, or none that was found: {len(found)} rows")
        return {}
    tables = [table_of(of) for of in rows]
    told = {"missed_share": _of(tables, {"missed_share": mean_of("missed")}, draws)}
    tables = [chosen(table, found) for table in tables]
    groups = {"all": np.ones(len(tables[0]["person"]), bool)}
    if by is not None:
        groups |= {str(name): tables[0][by] == name for name in np.unique(tables[0][by])}
    for name, mask in groups.items():
        told[name] = _of([chosen(table, mask) for table in tables], measures, draws)
    print(f"{title}\n" + "\n".join(_lines(name, part) for name, part in told.items()))
    return told


def _of(tables: Sequence[Table], measures: Mapping[str, Measure], draws: int) -> dict[str, Any]:
    figures = measured(tables[0], measures, against=tables[1] if tables[1:] else None, draws=draws)
    person = tables[0]["person"]
    counts = {"rows": len(person), "people": len(np.unique(person))}
    return counts | {"figures": {name: of.plain() for name, of in figures.items()}}


def _lines(name: str, part: Mapping[str, Any]) -> str:
    lines = [f"  {name}: {part['rows']} of {part['people']} people"]
    for measure, of in part["figures"].items():
        pair = [f"{word} {_cell(of[word])}" for word in PAIR if word in of]
        lines.append(f"    {measure:34} " + "  ".join([_cell(of), *pair]))
    return "\n".join(lines)


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def write_report(
    path: Path | None, figures: Mapping[str, Any], models: Sequence[Path | None]
) -> None:
    """Write figures into a JSON file, if one is asked for: with the networks, machine and day."""
    if path is None:
        return
    names = [str(model or "bundled") for model in models]
    about = {
        "networks": dict(zip(("model", "against"), names, strict=False)),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "intervals": f"95 %, bootstrap over people, {DRAWS} draws",
    }
    path.write_text(json.dumps(about | dict(figures), indent=1) + "\n", encoding="utf-8")
