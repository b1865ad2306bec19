"""Arrays with one row per picture of a data set, made once and kept on disk.

CLIP features and small crops are the same at every epoch and in every run, so each is computed once
per data set.  A table that was not finished goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from clipgaze_sdk.writing import write_files
from train.commands import announce
from train.json_files import read_json

Item = Mapping[str, Any]

_NOTED_EVERY_S = 60.0
"""A run that is killed loses this much work at most."""


class GazeDataset(Protocol):
    """What is needed of a data set; ``train.data.open_dataset`` gives such."""

    name: str
    people: tuple[str, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def labels(self) -> Any: ...

    def identities(self) -> NDArray[np.float32]: ...

    def subset(self, indices: Any) -> GazeDataset: ...

    def signature(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Column:
    """An array with a row per picture: what a row of it is, and how it is made of a batch."""

    shape: tuple[int, ...]
    dtype: str
    fill: Callable[[Item], Tensor]


def column(
    dataset: GazeDataset, path: Path, kind: Column, *, batch: int = 64, workers: int = 0
) -> NDArray[Any]:
    """(N, *shape) array of a data set's pictures, memory-mapped and read-only.

    Made at the first call and kept at ``path`` (``.npy``); how far it is, is in ``.json`` beside
    it.  Row i belongs to ``dataset[i]``.  Raises :class:`ValueError` for items that do not carry
    their own position as ``index``.
    """
    count = len(dataset)
    about = path.with_suffix(".json")
    done = _done(about, count) if path.is_file() else 0
    if done < count:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(
            path,
            mode="r+" if done else "w+",
            dtype=np.dtype(kind.dtype),
            shape=(count, *kind.shape),
        )
        rest: Dataset[Item] = Subset(dataset, range(done, count))  # type: ignore[arg-type]
        loader = DataLoader(rest, batch_size=batch, num_workers=workers)
        bar = tqdm(total=count, initial=done, disable=None, unit="crop", desc=path.stem)
        announce(f"{path.stem}: computing {count - done} of {count} rows")
        noted = time.monotonic()
        for items in loader:
            end = done + len(items["index"])
            # A picture that cannot be read has another in its place, whose index says so.
            if not np.any(items["index"].numpy() == np.arange(done, end)):
                raise ValueError(
                    f"items {done} to {end - 1} of {dataset.name} have index "
                    f"{int(items['index'][0])} to {int(items['index'][-1])}; expected positions"
                )
            array[done:end] = kind.fill(items).detach().cpu().numpy()
            bar.update(end - done)
            done = end
            if time.monotonic() - noted >= _NOTED_EVERY_S or done == count:
                array.flush()
                _note(about, done, count)
                noted = time.monotonic()
                if bar.disable:  # no terminal
                    announce(f"{path.stem}: {done} of {count} rows")
        bar.close()
    made: NDArray[Any] = np.load(path, mmap_mode="r")
    return made


def _done(about: Path, count: int) -> int:
    if not about.is_file():
        return 0
    try:
        rows = read_json(about)
        return int(rows["done"]) if rows["of"] == count else 0
    except (ValueError, KeyError, TypeError):
        return 0  # cut short: made anew


def _note(about: Path, done: int, count: int) -> None:
    write_files({about: json.dumps({"done": done, "of": count}).encode()})


def held_out_people(person: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Some of the people that occur, drawn at random: at least 1, and at least 1 is left.

    Raises :class:`ValueError` where there are fewer than 2 people.
    """
    people = np.unique(person)
    if len(people) < 2:
        raise ValueError(f"the data set has {len(people)} person; expected at least 2 to hold out")
    count = min(max(1, round(share * len(people))), len(people) - 1)
    rng = np.random.default_rng([seed, 7])
    return np.sort(rng.permutation(people)[:count])


def small_crops(
    dataset: GazeDataset, folder: Path, size_px: int, *, workers: int = 0
) -> NDArray[np.uint8]:
    """(N, 3, size, size) uint8 crops of a data set, kept on disk."""
    shape = (3, size_px, size_px)
    kind = Column(shape, "uint8", lambda items: resized(items["image"], size_px))
    path = folder / f"crops-{dataset.signature()[:16]}-{size_px}px.npy"
    return column(dataset, path, kind, workers=workers)


def resized(image: Tensor, size_px: int) -> Tensor:
    """uint8 (B, 3, size, size) of uint8 (B, 3, H, W), bicubic with antialias."""
    if image.shape[-2:] == (size_px, size_px):
        return image
    small = torch.nn.functional.interpolate(
        image.float(), size=(size_px, size_px), mode="bicubic", antialias=True
    )
    return small.round().clamp(0, 255).to(torch.uint8)


def jittered(
    rng: np.random.Generator, image: Tensor, *, shift_px: int = 4, mirror: bool = True
) -> Tensor:
    """uint8 (B, 3, S, S) moved a little and mirrored at times, each picture on its own.

    No factor depends on the side or on a few pixels.  Light, blur and noise are factors, so they
    are left alone.
    """
    count, _, size, _ = image.shape
    flip = torch.from_numpy(rng.random(count) < (0.5 if mirror else 0.0))
    image = torch.where(flip[:, None, None, None], image.flip(-1), image)
    padded = torch.nn.functional.pad(image.float(), [shift_px] * 4, mode="replicate").to(image)
    left, top = rng.integers(0, 2 * shift_px + 1, (2, count)).tolist()
    moved = [p[:, t : t + size, x : x + size] for p, t, x in zip(padded, top, left, strict=True)]
    return torch.stack(moved)


def batch_rows(seed: int, step: int, count: int, batch: int) -> NDArray[np.int64]:
    """Which of ``count`` rows a step sees: every row once an epoch, from seed and step alone."""
    per_epoch = max(count // batch, 1)
    epoch, position = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch, 11]).permutation(count)
    return order[position * batch : (position + 1) * batch]
