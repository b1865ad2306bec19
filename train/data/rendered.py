"""Rendered people: shards of the products "crops" and "bands" of ``python -m train.synth write``.

Bands are crops of which rows 32 to 127 alone are drawn: for models with ``band=true``.
Pictures are read from the tar files where they lie, by an index of offsets.  A factor is
:data:`~train.data.samples.UNKNOWN` where its phrase cannot be said of the picture.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.layouts import chosen_people, listing, told
from train.data.samples import (
    EYE_POINTS,
    IDENTITY,
    MOST_PITCH,
    MOST_YAW,
    UNKNOWN,
    BrokenSample,
    DataError,
    GazeDataset,
    Pixels,
    Problem,
    Table,
)
from train.factors import FACTORS
from train.json_files import read_json
from train.synth.outputs.shards import decode_labels, decode_picture

MANIFEST = "manifest.json"
_NAMES = tuple(f.name for f in FACTORS)


class Rendered(GazeDataset):
    """Crops of one folder; a person is ``SEED-NUMBER``, and its identity is known.

    ``people`` and ``domains`` take those of these names alone.
    """

    layout = f"{MANIFEST} and shard-NNNNN.tar, written with `--product crops`"

    def __init__(
        self,
        root: Path,
        *,
        people: Sequence[str] | None = None,
        domains: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        promised, product = _shards(root)
        self._paths = list(promised)
        self._manifest = root / MANIFEST
        problems: list[Problem] = []
        rows: list[_Row] = []
        for number, path in enumerate(self._paths):
            rows += _read(number, path, promised[path], problems)
        told("rendered", problems, strict)
        if not rows:
            why = f": {problems[0]}" if problems else ""
            raise DataError(f"rendered: {root} has no readable sample{why}")
        if domains is not None:
            there = sorted({row.domain for row in rows})
            unknown = sorted({*domains} - {*there})
            if unknown or not domains:
                raise DataError(
                    f"rendered: {root} has no domain {', '.join(unknown) or '(none named)'}; it "
                    f"has {', '.join(there)}"
                )
            rows = [row for row in rows if row.domain in domains]
        every = sorted({row.person for row in rows}, key=_natural)
        names = chosen_people("rendered", every, people)
        if people is not None:
            rows = [row for row in rows if row.person in names]
        number_of = {person: k for k, person in enumerate(names)}
        identities = np.full((len(names), IDENTITY), np.nan, np.float32)
        for row in rows:
            identities[number_of[row.person]] = row.identity
        table = Table(
            np.array([row.gaze for row in rows], np.float32),
            np.array([number_of[row.person] for row in rows], np.int64),
            np.array([row.head for row in rows], np.float32),
            factors=np.array([row.factors for row in rows], np.uint8),
            points=np.array([row.points for row in rows], np.float32),
            openness=np.array([row.openness for row in rows], np.float32),
            sight_gaze=np.array([row.sight_gaze for row in rows], np.float32),
            seen_head=np.array([row.seen_head for row in rows], np.float32),
            seen_eyes=np.array([row.seen_eyes for row in rows], np.float32),
            rims=np.array([row.rims for row in rows], np.float32),
            whole=np.full(len(rows), product == "crops"),
        )
        super().__init__(
            "rendered", names, table, strict=strict, problems=problems, identities=identities
        )
        self._keys = [row.key for row in rows]
        self._place = np.array([row.place for row in rows], np.int64)
        """(N, 3): shard, and where the picture starts and how long it is."""

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        if (root / "image.npy").is_file():  # a pool
            return False
        return (root / MANIFEST).is_file() or any(root.glob("shard-*.tar"))

    def _picture(self, row: int) -> Pixels:
        shard, start, size = (int(v) for v in self._place[row])
        path = self._paths[shard]
        try:
            with path.open("rb") as file:
                file.seek(start)
                return decode_picture(file.read(size), f"{path}: {self._keys[row]}.jpg")
        except (OSError, ValueError) as error:
            raise BrokenSample(Problem(*self.where(row), str(error))) from None

    def where(self, index: int) -> tuple[str, int | str]:
        """Shard and key."""
        return str(self._paths[self._place[index, 0]]), self._keys[index]

    def files(self) -> list[Path]:
        """Manifest and shards."""
        return [self._manifest, *self._paths]


class _Row:
    """Labels of a sample and where its picture lies."""

    __slots__ = (
        "domain",
        "factors",
        "gaze",
        "head",
        "identity",
        "key",
        "openness",
        "person",
        "place",
        "points",
        "rims",
        "seen_eyes",
        "seen_head",
        "sight_gaze",
    )

    def __init__(self, key: str, place: tuple[int, int, int], record: dict[str, Any]) -> None:
        """Raises :class:`ValueError` or :class:`KeyError` for a record that is not a crop's."""
        self.key, self.place = key, place
        self.person, self.domain = str(record["person"]), str(record.get("domain", ""))
        self.gaze = _angles(record, "crop_gaze_pitch_yaw_rad")
        self.head = _angles(record, "crop_head_pitch_yaw_rad")
        self.identity = _float32(record["identity"])
        if self.identity.shape != (IDENTITY,) or not np.isfinite(self.identity).all():
            raise ValueError(f"identity has shape {self.identity.shape}; expected ({IDENTITY},)")
        self.points = np.full((len(EYE_POINTS), 2), np.nan, np.float32)
        self.openness = np.full(2, np.nan, np.float32)
        if "landmarks_px" in record:
            marks = _float32([*record["landmarks_px"], *record["irises_px"]])
            self.openness = _float32(record["openness"])
            if marks.shape != (70, 2) or self.openness.shape != (2,):
                raise ValueError(
                    f"landmarks have shape {marks.shape} and openness {self.openness.shape}; "
                    "expected (70, 2) and (2,)"
                )
            self.points = marks[list(EYE_POINTS)]
        # Of renderers from version 2 on.
        self.sight_gaze = _known(record, "crop_sight_gaze_pitch_yaw_rad", (2,))
        self.seen_head = _known(record, "crop_seen_head_pitch_yaw_rad", (2,))
        self.seen_eyes = _known(record, "seen_eyes_px", (2, 2))
        self.rims = _known(record, "iris_rims_px", (2, 8, 2))
        self.factors: NDArray[np.uint8] = np.full(len(_NAMES), UNKNOWN, np.uint8)
        shown = set(record["shown"])
        for number, name in enumerate(_NAMES):
            if name in shown:
                self.factors[number] = bool(record["factors"][name])


def _float32(value: Any) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return np.asarray(value, np.float32)


def _known(record: dict[str, Any], key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array of a record, NaN where the record has none."""
    if key not in record:
        return np.full(shape, np.nan, np.float32)
    value = _float32(record[key])
    if value.shape != shape or not np.isfinite(value).all():
        raise ValueError(f"{key} has shape {value.shape}; expected {shape} of finite numbers")
    return value


def _angles(record: dict[str, Any], key: str) -> NDArray[np.float32]:
    angles = _float32(record[key])
    # ~(a <= b) and not a > b, which NaN would pass
    if angles.shape != (2,) or not (np.abs(angles) <= (MOST_PITCH, MOST_YAW)).all():
        raise ValueError(f"{key} is {record[key]}; expected pitch and yaw in radians")
    return angles


def _shards(root: Path) -> tuple[dict[Path, int], str]:
    """Shards and how many samples each is to hold; the product."""
    manifest = root / MANIFEST
    try:
        there = read_json(manifest)
        product = there["product"]
        shards = {root / _plain(s["name"]): int(s["count"]) for s in there["shards"]}
    except FileNotFoundError:
        raise DataError(
            f"{root} holds no {MANIFEST} but {listing(root)}; write crops with "
            "`python -m train.synth write --product crops`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{manifest} is damaged ({error!r}); write the shards again") from None
    if product not in ("crops", "bands"):
        raise DataError(
            f"{root} holds {product}; expected crops or bands: "
            "`python -m train.synth write --product crops`"
        )
    if not shards:
        raise DataError(f"{root} has no finished shard; run its `write` command again")
    return shards, product


def _plain(name: Any) -> str:
    """A file's name within the folder; raises :class:`ValueError` for any other text."""
    if not isinstance(name, str) or Path(name).name != name or len(name) > 100:
        raise ValueError(f"a shard is called {str(name)[:100]!r}")
    return name


def _read(number: int, path: Path, promised: int, problems: list[Problem]) -> list[_Row]:
    """Samples of a shard whose labels are whole; the pictures are not looked at."""
    parts: dict[str, dict[str, tuple[int, int]]] = {}
    rows: list[_Row] = []
    if not path.is_file():
        problems.append(Problem(str(path), None, "missing; run its `write` command again"))
        return []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                parts.setdefault(key, {})[suffix] = member.offset_data, member.size
    except (OSError, tarfile.TarError) as error:
        why = f"damaged after {len(parts)} samples ({error}); run its `write` command again"
        problems.append(Problem(str(path), None, why))
    else:
        if len(parts) != promised:
            why = f"{len(parts)} samples; {MANIFEST} says {promised}"
            problems.append(Problem(str(path), None, why))
    if not parts:
        return []
    with path.open("rb") as file:
        for key, found in parts.items():
            try:
                start, size = found["json"]
                file.seek(start)
                record = decode_labels(file.read(size), f"{key}.json")
                rows.append(_Row(key, (number, *found["jpg"]), record))
            except (ValueError, TypeError) as error:
                problems.append(Problem(str(path), key, str(error)))
            except KeyError as error:
                problems.append(Problem(str(path), key, f"there is no {error.args[0]}"))
    return rows


def _natural(person: str) -> tuple[int, ...] | tuple[float, str]:
    """Puts 0-2 before 0-10."""
    try:
        return tuple(int(part) for part in person.split("-"))
    except ValueError:
        return float("inf"), person
