"""Face crops as PyTorch data sets: rendered when asked for, or read from written shards.

Both give the same items: dictionaries of tensors, see :func:`item`.  Angles are those of the
normalised camera, (pitch, yaw) in radians.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from train.factors import FACTORS
from train.synth.domains import DOMAINS, Domain
from train.synth.products import PICTURES_PER_PERSON, Studio
from train.synth.shards import decode_labels, decode_picture
from train.synth.write import MANIFEST, domain_of, resolve_domains

Item = dict[str, Any]

FACTOR_NAMES = tuple(f.name for f in FACTORS)
DOMAIN_NAMES = tuple(d.name for d in DOMAINS)


def item(rgb: NDArray[np.uint8], record: dict[str, Any]) -> Item:
    """One crop as tensors.

    image (3, 224, 224) uint8 RGB; gaze and head (2,) in the normalised camera; crop_from_camera
    (3, 3); identity (100,); factors (F,) bool in the order of :data:`FACTOR_NAMES` and shown (F,)
    bool, where a factor's phrase can be said; landmarks (70, 2) in crop pixels with the irises
    last, visible (70,) bool; openness (2,); closed, person (one number per person), domain (row of
    :data:`DOMAIN_NAMES`, −1 for none of them) and index; caption, a string.
    """
    shown = set(record["shown"])
    seed, number = (int(n) for n in record["person"].split("-"))
    name = record["domain"]
    return {
        "image": torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))),
        "gaze": torch.tensor(record["crop_gaze_pitch_yaw_rad"]),
        "head": torch.tensor(record["crop_head_pitch_yaw_rad"]),
        "crop_from_camera": torch.tensor(record["crop_from_camera"]),
        "identity": torch.tensor(record["identity"]),
        "factors": torch.tensor([bool(record["factors"][f]) for f in FACTOR_NAMES]),
        "shown": torch.tensor([f in shown for f in FACTOR_NAMES]),
        "landmarks": torch.tensor(record["landmarks_px"] + record["irises_px"]),
        "visible": torch.tensor(record["visible"], dtype=torch.bool),
        "openness": torch.tensor(record["openness"]),
        "closed": torch.tensor(bool(record["eyes_closed"])),
        "person": torch.tensor(seed * 10_000_000 + number),
        "domain": torch.tensor(DOMAIN_NAMES.index(name) if name in DOMAIN_NAMES else -1),
        "index": torch.tensor(int(record["index"])),
        "caption": record["caption"],
    }


class RenderedCrops(Dataset[Item]):
    """Crops that are rendered when asked for; an item depends on the seed and its index alone.

    Every process makes its own OpenGL context when it first draws, so the data set can be given to
    a :class:`~torch.utils.data.DataLoader` with workers of any start method.  Pictures of one
    person are cheaper in a row: use :class:`PersonSampler` to shuffle.
    """

    def __init__(
        self, facekit: Path, count: int, *, domains: str = "mix", seed: int = 0, clean: bool = False
    ) -> None:
        """``domains`` as for ``write``; ``clean`` leaves out the errors of landmarks and camera."""
        if count < 1:
            raise ValueError(f"count is {count}; expected at least 1")
        self.facekit, self.count, self.seed, self.clean = Path(facekit), count, seed, clean
        self.domains: tuple[Domain, ...] = resolve_domains(domains)
        self._studio: Studio | None = None
        self._process = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < self.count:
            raise IndexError(f"index {index} of {self.count} crops")
        chosen = domain_of(self.domains, "crops", index)
        crop = self._own_studio().crop(self.seed, index, chosen, clean=self.clean)
        return item(crop.rgb, crop.record)

    def _own_studio(self) -> Studio:
        # A context does not survive a fork, so each process has its own.
        if self._studio is None or self._process != os.getpid():
            from train.synth.facekit import load_facekit

            os.environ.setdefault("LP_NUM_THREADS", "0")
            self._studio = Studio(load_facekit(self.facekit))
            self._process = os.getpid()
        return self._studio

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_studio": None, "_process": 0}


class PersonSampler(Sampler[int]):
    """Shuffles people, and the pictures of each, but keeps a person's pictures together."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        for number in rng.permutation(-(-self.count // PICTURES_PER_PERSON)):
            first = int(number) * PICTURES_PER_PERSON
            for k in rng.permutation(min(PICTURES_PER_PERSON, self.count - first)):
                yield first + int(k)


class ShardedCrops(Dataset[Item]):
    """Crops of folders that ``python -m train.synth write --product crops`` made.

    Any index at any time, so the usual samplers shuffle over all shards and workers share the items
    without doubling any.  Raises :class:`FileNotFoundError` for a folder without crops, and
    :class:`ValueError` for shards that are damaged or of another product.
    """

    def __init__(self, folders: Path | Sequence[Path]) -> None:
        self.paths: list[Path] = []
        for folder in [folders] if isinstance(folders, Path) else folders:
            self.paths += _shards(folder)
        rows = [_indexed(number, path) for number, path in enumerate(self.paths)]
        self._rows = np.concatenate(rows)
        """(N, 5): shard, and where picture and labels start and how long they are."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self._rows):
            raise IndexError(f"index {index} of {len(self._rows)} crops")
        shard, jpg, jpg_size, labels, labels_size = (int(v) for v in self._rows[index])
        path = self.paths[shard]
        with path.open("rb") as file:
            file.seek(jpg)
            rgb = decode_picture(file.read(jpg_size), f"{path}, crop {index}: the picture")
            file.seek(labels)
            record = decode_labels(file.read(labels_size), f"{path}, crop {index}: the labels")
        return item(rgb, record)


def _shards(folder: Path) -> list[Path]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {MANIFEST}; write crops with "
            "`python -m train.synth write --product crops`"
        )
    try:
        there = json.loads(manifest.read_text())
        product, names = there["product"], [str(s["name"]) for s in there["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{manifest} is damaged ({error!r}); write the shards again") from None
    if product != "crops":
        raise ValueError(f"{folder} holds {product}; expected crops")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        what = f"misses {missing[0]}" if missing else "has no finished shard"
        raise FileNotFoundError(f"{folder} {what}; run its `write` command again")
    return [folder / name for name in names]


def _indexed(number: int, path: Path) -> NDArray[np.int64]:
    """Where the members of a shard lie, without reading them."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                found.setdefault(key, {})[suffix] = member.offset_data, member.size
    except tarfile.TarError as error:
        raise ValueError(f"{path} is damaged ({error}); run its `write` command again") from None
    for key, parts in found.items():
        if set(parts) != {"jpg", "json"}:
            raise ValueError(f"{path}: {key} has .{', .'.join(parts)}; expected .jpg and .json")
    rows = [(number, *parts["jpg"], *parts["json"]) for parts in found.values()]
    return np.array(rows, np.int64).reshape(-1, 5)
