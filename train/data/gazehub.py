"""What the data sets that GazeHub prepared have in common: label files and pictures beside them.

A label file has a header line, then one line per picture: columns are separated by spaces, the
numbers of a column by commas.  ``2DGaze`` and ``2DHead`` are (yaw, pitch), the reverse of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import angle_between, angles_from_vector, vector_from_angles
from train.data.layouts import chosen_people, told, usable
from train.data.samples import (
    BrokenSample,
    DataError,
    Floats,
    GazeDataset,
    Pixels,
    Problem,
    Table,
)

Doubles = NDArray[np.float64]

MOST_APART = np.radians(1.0)
"""The angles and the 3D column of one row are farther apart only if one of them is wrong."""
_REFUSED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Format:
    """How one data set's label files are laid out."""

    name: str
    header: str
    """Names of its columns; a file may have others too, in any order."""
    camera_from_stored: tuple[float, float, float]
    """Factors that turn the stored x, y, z of 3DGaze into our frame."""

    @property
    def columns(self) -> list[str]:
        """The header's names."""
        return self.header.split()


@dataclass(slots=True)
class Rows:
    """Rows of one label file that could be read."""

    path: Path
    lines: NDArray[np.int64]
    """(N,) line in the file, the header being 1."""
    columns: dict[str, list[str]]
    gaze: Floats
    """(N, 2) pitch, yaw."""
    head: Floats
    """(N, 2) pitch, yaw; NaN where there is no such column."""
    vectors: Doubles
    """(N, 3) 3DGaze in our frame, of unit length."""
    problems: list[Problem] = field(default_factory=list)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Leave out the rows that are False."""
        self.columns = {
            name: [value for value, kept in zip(values, rows, strict=True) if kept]
            for name, values in self.columns.items()
        }
        self.lines, self.gaze = self.lines[rows], self.gaze[rows]
        self.head, self.vectors = self.head[rows], self.vectors[rows]


def numbers(text: str, *counts: int) -> list[float] | None:
    """The comma-separated numbers of a field; None where they are not numbers or not so many."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return values if len(values) in counts else None


def read_rows(path: Path, form: Format) -> Rows:
    """The rows of a label file in our convention; rows that cannot be are among its problems.

    Raises :class:`DataError` for a header without the columns, and where angles and 3D gaze
    disagree (:func:`check_signs`).
    """
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    header = [name.partition("(")[0] for name in text[0].split()] if text else []
    missing = [name for name in form.columns if name not in header]
    if missing:
        raise DataError(
            f"{path}: the first line has no column {', '.join(missing)}; expected "
            f"`{form.header}` as {form.name} has, found `{(text or [''])[0][:120]}`"
        )
    problems: list[Problem] = []
    kept: list[tuple[int, list[str], list[float]]] = []
    at = {name: header.index(name) for name in header}
    for line, row in enumerate(text[1:], 2):
        if not row.strip():
            continue
        fields = row.split()
        values = _parsed(fields, header, at, form)
        if isinstance(values, str):
            problems.append(Problem(str(path), line, values))
        else:
            kept.append((line, fields, values))
    table = np.array([values for *_, values in kept], np.float64).reshape(-1, 7)
    rows = Rows(
        path,
        np.array([line for line, *_ in kept], np.int64),
        {name: [fields[at[name]] for _, fields, _ in kept] for name in form.columns},
        table[:, 1::-1].astype(np.float32),
        table[:, 3:1:-1].astype(np.float32),
        table[:, 4:] * form.camera_from_stored,
        problems,
    )
    true, strange = usable(form.name, str(path), rows.gaze, rows.lines)
    rows.problems += strange
    rows.keep(true)
    rows.keep(check_signs(rows))
    return rows


def _parsed(
    fields: list[str], header: list[str], at: dict[str, int], form: Format
) -> list[float] | str:
    """2DGaze, 2DHead (or NaN) and 3DGaze of a row, 7 numbers, or what is wrong with it."""
    if len(fields) != len(header):
        return f"{len(fields)} columns; expected {len(header)}, as in the header"
    found: list[float] = []
    for name, count in (("2DGaze", 2), ("2DHead", 2), ("3DGaze", 3)):
        if name == "2DHead" and name not in form.columns:
            found += [np.nan, np.nan]
            continue
        values = numbers(fields[at[name]], count)
        if values is None:
            return f"{name} is {fields[at[name]]!r}; expected {count} numbers with commas"
        found += values
    length = np.linalg.norm(found[4:])
    if not 0.5 < length < 2.0:
        return f"3DGaze {fields[at['3DGaze']]} has length {length:.3g}; expected a unit vector"
    return found


def check_signs(rows: Rows) -> NDArray[np.bool_]:
    """Whether the angles of each row agree with its 3DGaze; those that do not are problems.

    Raises :class:`DataError`, with both values of a row, where more than a tenth disagree: then it
    is the signs or the order of the columns, and not a row.
    """
    if not len(rows.lines):
        return np.zeros(0, bool)
    apart = angle_between(vector_from_angles(rows.gaze), rows.vectors)
    agree = np.asarray(apart <= MOST_APART)
    wrong = np.flatnonzero(~agree)
    said = rows.gaze.astype(np.float64)
    true = angles_from_vector(rows.vectors)

    def both(row: int) -> str:
        stored = rows.columns["3DGaze"][row]
        return (
            f"2DGaze says yaw {said[row, 1]:.4f}, pitch {said[row, 0]:.4f}, but 3DGaze ({stored}) "
            f"is yaw {true[row, 1]:.4f}, pitch {true[row, 0]:.4f}"
        )

    if len(wrong) > _REFUSED_SHARE * len(agree):
        worst = int(np.argmax(apart))
        raise DataError(
            f"{rows.path}, row {rows.lines[worst]}: {both(worst)}; {len(wrong)} of {len(agree)} "
            f"rows disagree. {_guess(said[wrong], rows.vectors[wrong])}"
        )
    for row in wrong:
        rows.problems.append(Problem(str(rows.path), int(rows.lines[row]), both(int(row))))
    return agree


def _guess(said: Doubles, vectors: Doubles) -> str:
    """What would make the angles agree."""
    for what, angles in (
        ("both signs are negated", -said),
        ("the sign of yaw is negated", said * (1, -1)),
        ("the sign of pitch is negated", said * (-1, 1)),
        ("2DGaze is (pitch, yaw) and not (yaw, pitch)", said[:, ::-1]),
    ):
        if np.median(angle_between(vector_from_angles(angles), vectors)) <= MOST_APART:
            return f"It seems that {what}: take the labels as GazeHub's script wrote them"
    return "Take the labels as GazeHub's script wrote them"


class GazeHubDataset(GazeDataset):
    """Pictures in ``Image/`` and label files in ``Label/``, as GazeHub's scripts write them."""

    form: Format

    def __init__(
        self,
        root: Path,
        labels: Sequence[Path],
        *,
        people: Sequence[str] | None,
        strict: bool,
        person_of: Callable[[Rows, int], str | None],
        convert: Callable[[Rows], None] | None = None,
    ) -> None:
        """``person_of`` (a row's person or None), ``convert`` (changes labels) by data set."""
        name = self.form.name
        problems: list[Problem] = []
        files: list[Rows] = []
        persons: list[list[str]] = []
        self._images = root / "Image"
        there: dict[str, set[str]] = {}
        for path in labels:
            rows = read_rows(path, self.form)
            if convert is not None:
                convert(rows)
            person = [person_of(rows, row) for row in range(len(rows.lines))]
            kept = [self._found(rows, row, person[row], there) for row in range(len(rows.lines))]
            problems += rows.problems
            rows.keep(np.array(kept, bool))
            files.append(rows)
            persons.append([p for p, k in zip(person, kept, strict=True) if k and p])
        every = sorted({person for those in persons for person in those}, key=_natural)
        if not every:
            first = f"; the first of {len(problems)}: {problems[0]}" if problems else ""
            raise DataError(f"{name}: no usable row in {', '.join(map(str, labels))}{first}")
        names = chosen_people(name, every, people)
        number = {person: k for k, person in enumerate(names)}
        for rows, those in zip(files, persons, strict=True):
            rows.keep(np.array([person in number for person in those], bool))
        flat = [number[p] for those in persons for p in those if p in number]
        told(name, problems, strict)
        table = Table(
            np.concatenate([rows.gaze for rows in files]),
            np.array(flat, np.int64),
            np.concatenate([rows.head for rows in files]),
            np.array([e == "right" for rows in files for e in _eyes(rows)], bool),
        )
        super().__init__(name, names, table, strict=strict, problems=problems)
        self._faces = [_relative(face) for rows in files for face in rows.columns["Face"]]
        self._labels = [rows.path for rows in files]
        self._file = np.repeat(np.arange(len(files)), [len(rows.lines) for rows in files])
        self._line = np.concatenate([rows.lines for rows in files])

    def _found(self, rows: Rows, row: int, person: str | None, there: dict[str, set[str]]) -> bool:
        """Whether a row has a person and a picture that exists; else it is a problem."""
        folder, _, file = _relative(rows.columns["Face"][row]).rpartition("/")
        if folder not in there:
            at = self._images / folder
            try:
                there[folder] = {entry.name for entry in os.scandir(at)}
            except (OSError, ValueError):  # none, or a name that no folder can have
                there[folder] = set()
        why = ""
        if file not in there[folder]:
            why = f"no picture {self._images / folder / file}"
        elif person is None:
            why = f"Origin {rows.columns['Origin'][row]!r}; expected RECORDING/head/PERSON/FRAME"
        if why:
            rows.problems.append(Problem(str(rows.path), int(rows.lines[row]), why))
        return not why

    def _picture(self, row: int) -> Pixels:
        path = self._images / self._faces[row]
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            why = f"{path}: {error.strerror or error}"
            raise BrokenSample(Problem(*self.where(row), why)) from None
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            why = f"{path} does not decode as a picture"
            raise BrokenSample(Problem(*self.where(row), why))
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def where(self, index: int) -> tuple[str, int | str]:
        """Label file and line."""
        return str(self._labels[self._file[index]]), int(self._line[index])

    def files(self) -> list[Path]:
        """Label files and pictures."""
        return [*self._labels, *(self._images / face for face in self._faces)]


def _eyes(rows: Rows) -> list[str]:
    return rows.columns.get("WhichEye", ["left"] * len(rows.lines))


def _relative(face: str) -> str:
    return face.replace("\\", "/")


def _natural(person: str) -> tuple[int, str]:
    """Puts p2 before p10."""
    return len(person), person
