"""Crops decoded once: all pictures as one array on disk that processes share.

Decoding JPEG takes longer than a training step of a small network on few cores; bytes mapped into
memory take none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.commands import announce
from train.data.layouts import told
from train.data.samples import (
    SIZE_PX,
    BrokenSample,
    DataError,
    GazeDataset,
    Pixels,
    Problem,
    Table,
)
from train.json_files import read_json

_VERSION = 4
_META, _IMAGES = "meta.json", "images.npy"


class CachedDataset(GazeDataset):
    """A data set whose crops are in ``folder/images.npy``, (M, 3, 224, 224) uint8 with M ≥ N."""

    def __init__(self, folder: Path, *, strict: bool) -> None:
        meta = read_json(folder / _META)
        columns = {f.name: np.load(folder / f"{f.name}.npy") for f in fields(Table)}
        super().__init__(
            meta["name"],
            meta["people"],
            Table(**columns),
            strict=strict,
            problems=[Problem(**problem) for problem in meta["problems"]],
            identities=np.load(folder / "identities.npy"),
        )
        self.folder, self._key = folder, str(meta["key"])
        self._where = [tuple(place) for place in meta["where"]]
        self._images: Any = None

    def _picture(self, row: int) -> Pixels:
        return self.image(row).permute(1, 2, 0).contiguous().numpy()

    def image(self, index: int) -> Tensor:
        """(3, 224, 224) uint8 RGB, a copy."""
        if self._images is None:
            self._images = np.load(self.folder / _IMAGES, mmap_mode="r")
        return torch.from_numpy(np.array(self._images[index]))

    @property
    def mapped(self) -> bool:
        """True."""
        return True

    def where(self, index: int) -> tuple[str, int | str]:
        """File and row of the original."""
        return self._where[index]

    def files(self) -> list[Path]:
        """The array of pictures."""
        return [self.folder / _IMAGES]

    def signature(self) -> str:
        """Of the data set that was cached."""
        return self._key

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_images": None}  # pickling a mapped array would copy it


def cached(dataset: GazeDataset, folder: Path | str) -> GazeDataset:
    """The same samples from one array below ``folder``, which is made now if it is not there.

    The array is found again by a hash of the labels and of the sizes and times of all files, so a
    data set that has changed is decoded anew.  Pictures that cannot be read are left out, and are
    among the result's ``problems``; a strict data set raises.  Made at once or not at all.  Masks
    of the eyes are not kept, since only what is mapped anyway has any.
    """
    if dataset.mapped:
        return dataset
    key = hashlib.sha256(f"{_VERSION} {len(dataset)} {dataset.signature()}".encode()).hexdigest()
    title = "".join(c if c.isalnum() else "-" for c in dataset.name)[:40]
    place = Path(folder) / f"{title}-{len(dataset)}-{key[:16]}"
    if _whole(place, key):
        return _opened(place, dataset)
    need = len(dataset) * 3 * SIZE_PX**2
    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(place)
    free = shutil.disk_usage(place.parent).free
    if need > 0.98 * free:
        raise DataError(
            f"{place.parent}: the crops of {dataset.name} need {need / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; give another folder, or train without a cache"
        )
    partial = place.with_name(f"{place.name}.{_host()}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        _write(dataset, partial, key)
        if place.exists() and not _whole(place, key):
            shutil.rmtree(place)
        try:
            partial.rename(place)
        except OSError:  # another process was faster
            if not _whole(place, key):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _opened(place, dataset)


def _opened(place: Path, dataset: GazeDataset) -> CachedDataset:
    found = CachedDataset(place, strict=dataset.strict)
    broken = len(dataset) - len(found)
    if broken:
        told(found.name, found.problems[-broken:], dataset.strict)
    return found


def _whole(place: Path, key: str) -> bool:
    """Whether a finished cache with this key is there; what is damaged is made anew."""
    try:
        meta = read_json(place / _META)
        shape = np.load(place / _IMAGES, mmap_mode="r").shape
        gaze = np.load(place / "gaze.npy", mmap_mode="r")
    except (OSError, ValueError):
        return False
    fits = shape[1:] == (3, SIZE_PX, SIZE_PX) and shape[0] >= len(gaze) == len(meta["where"])
    return bool(fits and meta["key"] == key)


def _write(dataset: GazeDataset, folder: Path, key: str) -> None:
    from tqdm import tqdm

    count = len(dataset)
    images = np.lib.format.open_memmap(
        folder / _IMAGES, mode="w+", dtype=np.uint8, shape=(count, 3, SIZE_PX, SIZE_PX)
    )
    kept: list[int] = []
    problems: list[Problem] = []
    announce(f"decoding {count} pictures of {dataset.name}")
    for index in tqdm(range(count), desc=f"decoding {dataset.name}", disable=None):
        try:
            rgb = dataset.picture(index)
        except BrokenSample as error:
            if dataset.strict:
                raise
            problems.append(error.problem)
            continue
        images[len(kept)] = rgb.transpose(2, 0, 1)
        kept.append(index)
    if not kept:
        raise DataError(f"{dataset.name}: no picture can be read; the last: {problems[-1]}")
    images.flush()
    # What an earlier reading met is among the new ones; those come last.
    problems = [problem for problem in dataset.problems if problem not in problems] + problems
    rows = Table(**dataset.labels()).rows(np.array(kept, np.int64))
    for column in fields(Table):
        np.save(folder / f"{column.name}.npy", getattr(rows, column.name))
    np.save(folder / "identities.npy", dataset.identities())
    meta = {
        "key": key,
        "name": dataset.name,
        "people": dataset.people,
        "problems": [asdict(problem) for problem in problems],
        "where": [dataset.where(index) for index in kept],
    }
    (folder / _META).write_text(json.dumps(meta))


def _remove_leftovers(place: Path) -> None:
    """Remove what runs of this machine that were killed left behind."""
    if os.name != "posix":  # elsewhere there is no asking whether a process lives
        return
    for partial in place.parent.glob(f"*.{_host()}.*.partial"):
        try:
            os.kill(int(partial.name.split(".")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(partial, ignore_errors=True)
        except (OSError, ValueError):
            pass


def _host() -> str:
    return socket.gethostname().replace(".", "-")
