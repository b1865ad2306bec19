"""What to write: kinds of output, how many samples, of which domains, and which sample is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from train.synth.domains import DOMAINS, domain
from train.synth.variety import Domain
from train.synth.without import PARTS, without

PRODUCTS = ("crops", "bands", "cutouts", "pictures", "frames", "clips")
SHARD_SIZES = {
    "crops": 1000,
    "bands": 1000,
    "cutouts": 400,
    "pictures": 800,
    "frames": 200,
    "clips": 16,
}
"""Samples in a shard; multiples of the pictures of one person, who is made once."""
POOL_PICTURES_PER_PERSON = 24
"""Of a pool, where making people would take a third of the time."""
DOMAIN_RUN = 8
"""So many samples in a row (one person) come from one domain, then the next domain's."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What to write and where."""

    facekit: Path
    out: Path
    product: str
    count: int
    domains: tuple[str, ...] = ("mix",)
    seed: int = 0
    workers: int = 2
    clip_frames: int = 60
    clip_fps: float = 30.0
    shard_size: int = 0
    """Samples in a full shard; 0 for what suits the product (:data:`SHARD_SIZES`)."""
    environments: Path | None = None
    """Folder of panoramas that light most pictures; None for painted places alone."""

    def __post_init__(self) -> None:
        if self.product not in PRODUCTS:
            raise ValueError(f"no product {self.product!r}; expected one of {', '.join(PRODUCTS)}")
        for name, value, least in (
            ("count", self.count, 1),
            ("seed", self.seed, 0),
            ("workers", self.workers, 1),
            ("clip_frames", self.clip_frames, 1),
            ("shard_size", self.shard_size, 0),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; expected at least {least}")
        resolve_domains(",".join(self.domains))
        if not self.shard_size:
            object.__setattr__(self, "shard_size", SHARD_SIZES[self.product])


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Which pool to fill (see :mod:`train.synth.outputs.pool`), how far, and for how long."""

    facekit: Path
    out: Path
    count: int
    """Rows that are to be whole: the first ones."""
    domains: tuple[str, ...] = ("mix",)
    seed: int = 0
    workers: int = 2
    minutes: float | None = None
    """Stop at the next row after so long; None for as long as it takes."""
    size: int = 0
    """Rows that there is room for; 0 for those of the folder's pool, or ``count`` for a new one."""
    pictures_per_person: int = POOL_PICTURES_PER_PERSON
    environments: Path | None = None
    """Folder of panoramas that light most pictures; None for painted places alone."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("count", self.count, 1),
            ("seed", self.seed, 0),
            ("workers", self.workers, 1),
            ("pictures_per_person", self.pictures_per_person, 1),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; expected at least {least}")
        if self.size and self.size < self.count:
            raise ValueError(f"size is {self.size}; expected at least count, {self.count}")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes}; expected more than 0")
        resolve_domains(",".join(self.domains))


def resolve_domains(names: str) -> tuple[Domain, ...]:
    """Domains of a comma-separated list of names, ``all`` for every preset.

    ``NAME-appearance``, ``NAME-world`` and ``NAME-sensor`` are presets without that part of their
    variety, and several parts may be left out (``NAME-world-sensor``).  Raises :class:`ValueError`
    that lists the names.
    """
    if names == "all":
        return DOMAINS
    found = []
    for name in names.split(","):
        base, *parts = name.strip().split("-")
        try:
            chosen = domain(base)
        except KeyError as error:
            raise ValueError(str(error.args[0])) from None
        for part in parts:
            if part not in PARTS:
                raise ValueError(f"{name!r}: no part {part!r}; expected some of {', '.join(PARTS)}")
            chosen = without(chosen, part)
        found.append(chosen)
    return tuple(found)


def domain_of(domains: Sequence[Domain], product: str, index: int) -> Domain:
    """Which domain sample ``index`` has: they take turns, person by person."""
    turn = index if product == "clips" else index // DOMAIN_RUN
    return domains[turn % len(domains)]
