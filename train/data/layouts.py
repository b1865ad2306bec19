"""Finding out what a folder is, and saying so when it is not what was asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.samples import MOST_PITCH, MOST_YAW, DataError, DataWarning, Floats, Problem

_SHOWN = 8


def listing(folder: Path) -> str:
    """The first few names in a folder, for messages."""
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def chosen_people(name: str, there: Iterable[str], wanted: Sequence[str] | None) -> list[str]:
    """Those of ``there`` that are wanted, all if None; raises for one that is not there."""
    people = list(there)
    if wanted is None:
        return people
    missing = [person for person in wanted if person not in people]
    if missing or not wanted:
        known = ", ".join(people[:20]) + (" …" if len(people) > 20 else "")
        raise DataError(
            f"{name} has no person {', '.join(missing) or '(none given)'}; people: {known}"
        )
    return [person for person in people if person in wanted]


def usable(
    name: str, file: str, gaze: Floats, rows: Sequence[int] | NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[Problem]]:
    """Which gaze angles (N, 2) can be true, and a problem for each that cannot.

    Raises :class:`DataError` where most are finite but too large for radians.
    """
    finite = np.isfinite(gaze).all(axis=1)
    large = finite & (np.abs(gaze) > (MOST_PITCH, MOST_YAW)).any(axis=1)
    if finite.any() and large.sum() > 0.3 * finite.sum():
        row = int(np.flatnonzero(large)[0])
        raise DataError(
            f"{file}, row {rows[row]}: pitch {gaze[row, 0]:.4g} and yaw {gaze[row, 1]:.4g} are no "
            f"angles in radians, nor are those of {large.sum()} of {len(gaze)} rows; {name} stores "
            "(pitch, yaw) in radians: are these degrees, or another column?"
        )
    problems = []
    for row in np.flatnonzero(~finite | large).tolist():
        what = f"gaze (pitch, yaw) is ({gaze[row, 0]:.4g}, {gaze[row, 1]:.4g})"
        problems.append(Problem(file, int(rows[row]), f"{what}; expected radians"))
    return np.asarray(finite & ~large), problems


def told(name: str, problems: Sequence[Problem], strict: bool) -> None:
    """Raise the first problem if ``strict``, else warn once of them all."""
    if not problems:
        return
    if strict:
        raise DataError(f"{problems[0]} (problems in all: {len(problems)}; strict is on)")
    warnings.warn(
        f"{name}: left out what is broken, problems: {len(problems)}; the first: {problems[0]}",
        DataWarning,
        stacklevel=3,
    )
