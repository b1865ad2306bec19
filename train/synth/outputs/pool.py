"""A pool of face crops: arrays in a folder that renderers fill while trainers read them.

Nothing is encoded: a row is written once, straight into memory-mapped ``.npy`` files, and a
trainer takes it from there.  ``manifest.json`` holds the settings and never changes; ``done.npy``
says which rows are whole.  Row i is a pure function of the settings and i, so it does not matter
who makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipgaze_sdk.writing import write_files
from train.factors import FACTORS
from train.json_files import read_json
from train.synth.outputs.normalization import CLASS_ROWS

SIZE_PX = 224
CLASSES_SHAPE = (CLASS_ROWS[1] - CLASS_ROWS[0], SIZE_PX)
"""Height and width of what a crop's pixels show."""
EYE_POINTS = (*range(17, 27), *range(27, 31), *range(36, 48), 68, 69)
"""Which of 68 landmarks and two irises tell where the eyes are and look: brows, the nose's bridge,
lids, irises."""
IDENTITY = 100
"""Coefficients of the 3D morphable model of a person's face."""
UNKNOWN = 255
"""Value of a factor that is unknown, or whose phrase cannot be said of the picture."""
EYE_STATES = ("visible", "half hidden", "hidden", "dark glasses", "closed")
"""What ``eyes`` counts; see :func:`train.synth.outputs.records.eye_state`."""

ARRAYS: dict[str, tuple[tuple[int, ...], str]] = {
    "image": ((3, SIZE_PX, SIZE_PX), "u1"),
    "classes": (CLASSES_SHAPE, "u1"),
    "gaze": ((2,), "f4"),
    "sight_gaze": ((2,), "f4"),
    "head": ((2,), "f4"),
    "seen_head": ((2,), "f4"),
    "points": ((len(EYE_POINTS), 2), "f4"),
    "rims": ((2, 8, 2), "f4"),
    "seen_eyes": ((2, 2), "f4"),
    "openness": ((2,), "f4"),
    "person": ((), "i8"),
    "domain": ((), "u1"),
    "eyes": ((), "u1"),
    "factors": ((len(FACTORS),), "u1"),
    "identity": ((IDENTITY,), "f4"),
}
"""Shape and type of a row of each array; units as in :class:`train.data.samples.Batch`."""
MANIFEST, DONE = "manifest.json", "done.npy"
_CLAIMS = "claims"
"""An empty file: byte 0 is locked by who makes the pool, byte 1 + n by who makes person n."""
_LAYOUT = 1
_RESERVED_BYTES = 64 << 20
"""Of a disk, left free for everything else."""


class PoolError(ValueError):
    """Something about a pool that the user can mend; says what was found and expected."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a pool's rows are: every pool of these settings has the same row i."""

    seed: int
    domains: tuple[str, ...]
    size: int
    """Rows that there is room for."""
    pictures_per_person: int
    renderer_version: int
    environments: tuple[str, ...] = ()
    """Names and hashes of the panoramas that light most pictures."""

    def domain_number(self, row: int) -> int:
        """Index into ``domains``: they take turns, person by person."""
        return row // self.pictures_per_person % len(self.domains)


class CropPool:
    """The arrays of a pool; any number of processes may have it open.

    Raises :class:`PoolError` for a folder that holds no pool, or a damaged one.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        mode: Any = "r+" if writable else "r"
        self.arrays: dict[str, NDArray[Any]] = {
            name: self._open(name, shape, kind, mode) for name, (shape, kind) in ARRAYS.items()
        }
        """By the names of :data:`ARRAYS`, (size, ...) each."""
        self.done: NDArray[np.uint8] = self._open("done", (), "u1", mode)
        """(size,) 1 where a row is whole."""

    def _open(self, name: str, shape: tuple[int, ...], kind: str, mode: Any) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode=mode)
        except (OSError, ValueError) as error:
            raise PoolError(f"{path} cannot be read ({error}); make the pool again") from None
        if array.shape != (self.settings.size, *shape) or array.dtype != np.dtype(kind):
            raise PoolError(
                f"{path} has shape {array.shape} of {array.dtype}; expected "
                f"{(self.settings.size, *shape)} of {np.dtype(kind)}: make the pool again"
            )
        return array

    def rows(self) -> NDArray[np.int64]:
        """Which rows are whole now, ascending."""
        return np.flatnonzero(self.done).astype(np.int64)

    def missing(self, count: int) -> NDArray[np.int64]:
        """Which of the first ``count`` rows are not whole, ascending."""
        return np.flatnonzero(self.done[:count] == 0).astype(np.int64)

    def write(self, row: int, values: Mapping[str, ArrayLike]) -> None:
        """Fill a row, every array of it; it counts as whole from then on."""
        if values.keys() != ARRAYS.keys():
            raise KeyError(f"a row of {sorted(values)}; expected {sorted(ARRAYS)}")
        self.done[row] = 0
        for name, value in values.items():
            self.arrays[name][row] = value
        self.done[row] = 1

    @contextlib.contextmanager
    def claimed(self, person: int) -> Iterator[bool]:
        """Whether this process alone may make the person's rows now.

        The claim ends with the block or with the process, however that ends.  A process has one at
        a time: the system takes back all its locks on a file when it closes that once.
        """
        with (
            (self.folder / _CLAIMS).open("r+b") as file,
            _locked(file, 1 + person, wait=False) as mine,
        ):
            yield mine


def read_settings(folder: Path) -> PoolSettings:
    """The settings of the pool in a folder; raises :class:`PoolError` where there is none."""
    path = folder / MANIFEST
    try:
        there = read_json(path)
        if there["pool"] != _LAYOUT or there["factors"] != [f.name for f in FACTORS]:
            raise PoolError(f"{folder} is a pool of another version; make it again")
        return PoolSettings(
            seed=int(there["seed"]),
            domains=tuple(str(name) for name in there["domains"]),
            size=int(there["size"]),
            pictures_per_person=int(there["pictures_per_person"]),
            renderer_version=int(there["renderer_version"]),
            environments=tuple(str(name) for name in there.get("environments", ())),
        )
    except FileNotFoundError:
        raise PoolError(f"{folder} holds no {MANIFEST} of a pool") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, PoolError):
            raise
        raise PoolError(f"{path} is no pool's ({error!r}); give another folder") from None


def make_pool(folder: Path, settings: PoolSettings) -> CropPool:
    """The pool of these settings in a folder, made now if there is none yet.

    Several processes may ask at the same time.  Raises :class:`PoolError` where the folder holds
    anything else, or where its disk would not hold the arrays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        strange = (
            {p.name for p in folder.iterdir()} - {f"{n}.npy" for n in ARRAYS} - {DONE, _CLAIMS}
        )
        if strange:
            raise PoolError(
                f"{folder} holds {', '.join(sorted(strange)[:3])} and no pool; give another folder"
            )
        with (folder / _CLAIMS).open("a+b") as file, _locked(file, 0, wait=True):
            if not (folder / MANIFEST).exists():
                _make(folder, settings)
    there = read_settings(folder)
    for name, value in asdict(settings).items():
        if getattr(there, name) != value:
            raise PoolError(
                f"{folder} is a pool with {name} {getattr(there, name)!r} and not {value!r}; "
                "give another folder, or delete this one"
            )
    return CropPool(folder, writable=True)


def row_bytes() -> int:
    """What a row takes."""
    sizes = (int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in ARRAYS.values())
    return 1 + sum(sizes)


def _make(folder: Path, settings: PoolSettings) -> None:
    """Empty arrays whose room on the disk is kept for them, and the manifest, last."""
    for path in folder.glob("*.npy"):  # of a process that was killed while it made them
        path.unlink()
    need = settings.size * row_bytes() + _RESERVED_BYTES
    free = shutil.disk_usage(folder).free
    if need > free:
        raise PoolError(
            f"{folder}: {settings.size} rows need {need / 1e9:.2f} GB, {free / 1e9:.2f} GB are "
            "free; give another folder or a smaller --size"
        )
    every = {**ARRAYS, "done": ((), "u1")}
    try:
        for name, (shape, kind) in every.items():
            _reserve(folder / f"{name}.npy", (settings.size, *shape), kind)
    except OSError as error:
        for name in every:
            (folder / f"{name}.npy").unlink(missing_ok=True)
        raise PoolError(f"{folder}: {error.strerror or error}; give another folder") from None
    about = {"pool": _LAYOUT, **asdict(settings), "factors": [f.name for f in FACTORS]}
    write_files({folder / MANIFEST: f"{json.dumps(about, indent=1)}\n".encode()})


def _reserve(path: Path, shape: tuple[int, ...], kind: str) -> None:
    """A ``.npy`` file of zeros; raises :class:`OSError` where there is no room for it.

    A page of a sparse file that finds the disk full when it is written ends the process.
    """
    header = BytesIO()
    about = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)
    with path.open("wb") as file:
        file.write(header.getvalue())
        file.flush()
        length = len(header.getvalue()) + int(np.prod(shape)) * np.dtype(kind).itemsize
        os.posix_fallocate(file.fileno(), 0, length)


@contextlib.contextmanager
def _locked(file: IO[bytes], byte: int, *, wait: bool) -> Iterator[bool]:
    """A lock on one byte that the system takes back when the process ends."""
    import fcntl  # POSIX alone, as rendering is

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, byte)
    except (BlockingIOError, PermissionError):
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)
