"""Rendering into a pool: ``python -m train.synth pool``.

Any number of these commands, each with any number of processes, may fill one pool: a process makes
one person's rows after another, whichever no other is at.  What a killed process has not finished
is made again by whoever comes to it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from train.factors import FACTORS
from train.synth.outputs.plan import PoolOptions, resolve_domains
from train.synth.outputs.pool import (
    EYE_POINTS,
    EYE_STATES,
    UNKNOWN,
    CropPool,
    PoolError,
    PoolSettings,
    make_pool,
    read_settings,
)
from train.synth.outputs.records import eye_state
from train.synth.outputs.studio import VERSION, Crop, Studio
from train.synth.outputs.write import end_with_parent, make_studio
from train.synth.places.photographed import EnvironmentsError, load_panoramas

_SAID_EVERY_S = 15.0
_ASKED_EVERY_S = 0.25


def fill_pool(options: PoolOptions) -> None:
    """Make the first ``count`` rows of a pool whole, or as many as there is time for.

    Raises :class:`SystemExit` with one line that says what is wrong: a folder that holds something
    else, a full disk, no FaceKit, no OpenGL.  Rows that are whole are kept in any case.
    """
    try:
        pool = _opened(options)
    except PoolError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(f"{options.out}: {error.strerror or error}") from None
    end = time.time() + 60 * options.minutes if options.minutes else float("inf")
    todo = len(pool.missing(options.count))
    people = -(-todo // options.pictures_per_person)
    print(f"{options.count - todo} of {options.count} rows are whole; making {todo}", flush=True)
    with _Stop() as stop:
        if not todo:
            pass
        elif min(options.workers, people) == 1:
            _fill_here(options, pool, end, stop)
        else:
            _fill_beside(options, pool, end, stop, min(options.workers, people))
    left = len(pool.missing(options.count))
    print(f"{options.count - left} of {options.count} rows are whole", flush=True)


def fill(
    pool: CropPool, studio: Studio, count: int, *, stopped: Callable[[], bool] = lambda: False
) -> Iterator[int]:
    """Make those of the first ``count`` rows that are not whole; yields each that was made.

    Rows that another process is at are waited for, in case it ends before they are whole.
    Returns at the next row once ``stopped`` says so.
    """
    settings = pool.settings
    domains = resolve_domains(",".join(settings.domains))
    each = settings.pictures_per_person
    while (missing := pool.missing(count)).size:
        waiting = True
        for person in np.unique(missing // each).tolist():
            rows = range(person * each, min(person * each + each, count))
            with pool.claimed(person) as mine:
                for row in rows if mine else ():
                    if stopped():
                        return
                    if pool.done[row]:
                        continue
                    number = settings.domain_number(row)
                    crop = studio.crop(settings.seed, row, domains[number])
                    pool.write(row, crop_values(crop, person, number))
                    waiting = False
                    yield row
        if stopped():
            return
        if waiting:
            time.sleep(_ASKED_EVERY_S)


def crop_values(crop: Crop, person: int, domain: int) -> dict[str, Any]:
    """A crop as a row of a pool."""
    record = crop.record
    shown = set(record["shown"])
    factors = [int(record["factors"][f.name]) if f.name in shown else UNKNOWN for f in FACTORS]
    return {
        "image": crop.rgb.transpose(2, 0, 1),
        "classes": crop.classes,
        "gaze": crop.gaze,
        "sight_gaze": crop.sight_gaze,
        "head": crop.head,
        "seen_head": crop.seen_head,
        "points": crop.landmarks_px[list(EYE_POINTS)],
        "rims": crop.rims_px,
        "seen_eyes": crop.seen_eyes_px,
        "openness": crop.picture.labels.openness,
        "person": person,
        "domain": domain,
        "eyes": EYE_STATES.index(eye_state(record)),
        "factors": factors,
        "identity": crop.picture.person.identity,
    }


def _opened(options: PoolOptions) -> CropPool:
    size = options.size
    if not size:
        try:
            size = read_settings(options.out).size
        except PoolError:
            size = options.count
    if options.count > size:
        raise PoolError(
            f"{options.out} has room for {size} rows, fewer than {options.count}; "
            "give a smaller --count or another folder"
        )
    names = tuple(d.name for d in resolve_domains(",".join(options.domains)))
    try:
        panoramas = load_panoramas(options.environments) if options.environments else ()
    except EnvironmentsError as error:
        raise PoolError(str(error)) from None
    settings = PoolSettings(
        seed=options.seed,
        domains=names,
        size=size,
        pictures_per_person=options.pictures_per_person,
        renderer_version=VERSION,
        environments=tuple(f"{one.name} {one.sha256}" for one in panoramas),
    )
    return make_pool(options.out, settings)


def _studio(options: PoolOptions) -> Studio:
    return make_studio(
        options.facekit,
        pictures_per_person=options.pictures_per_person,
        environments=options.environments,
    )


class _Stop:
    """Set by SIGTERM and SIGINT within the block, in the main thread of a process."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class _Progress:
    """A line every few seconds: how many rows are whole, and how many come a second."""

    def __init__(self, pool: CropPool, count: int) -> None:
        self._pool, self._count = pool, count
        self._before = count - len(pool.missing(count))
        self._began = self._said = time.monotonic()

    def say(self) -> None:
        now = time.monotonic()
        if now - self._said < _SAID_EVERY_S:
            return
        self._said = now
        whole = self._count - len(self._pool.missing(self._count))
        speed = (whole - self._before) / (now - self._began)
        print(f"{whole} of {self._count} rows, {speed:.1f} rows/s", flush=True)


def _fill_here(options: PoolOptions, pool: CropPool, end: float, stop: _Stop) -> None:
    studio = _studio(options)
    progress = _Progress(pool, options.count)

    def stopped() -> bool:
        return stop.asked or time.time() >= end

    for _ in fill(pool, studio, options.count, stopped=stopped):
        progress.say()


def _work(options: PoolOptions, end: float) -> None:
    """A process that makes rows; says why where it cannot."""
    end_with_parent()
    with _Stop() as stop:
        pool = CropPool(options.out, writable=True)
        for _ in fill(
            pool, _studio(options), options.count, stopped=lambda: stop.asked or time.time() >= end
        ):
            pass


def _fill_beside(
    options: PoolOptions, pool: CropPool, end: float, stop: _Stop, workers: int
) -> None:
    """Processes that make rows, watched; one that dies leaves its rows to the others."""
    context = multiprocessing.get_context("spawn")
    busy: list[multiprocessing.process.BaseProcess] = [
        context.Process(target=_work, args=(options, end)) for _ in range(workers)
    ]
    for process in busy:
        process.start()
    progress, told, codes = _Progress(pool, options.count), False, []
    while busy:
        multiprocessing.connection.wait([p.sentinel for p in busy], timeout=_ASKED_EVERY_S)
        if stop.asked and not told:
            told = True
            for process in busy:
                process.terminate()
        progress.say()
        codes += [p.exitcode for p in busy if p.exitcode is not None]
        busy = [p for p in busy if p.exitcode is None]
    if any(codes) and not stop.asked and time.time() < end and pool.missing(options.count).size:
        raise SystemExit(
            f"a process that rendered ended with {next(c for c in codes if c)} (out of memory?); "
            f"whole rows in {options.out} are kept, the same command goes on"
        )
