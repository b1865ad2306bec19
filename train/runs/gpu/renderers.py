"""Processes that render beside a training run; one that dies ends nothing.

Nothing in here imports PyTorch: a process that draws needs a second and 200 MB less without it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from train.synth.outputs.plan import PoolOptions
from train.synth.outputs.pool import CropPool
from train.synth.outputs.pool_filling import fill
from train.synth.outputs.studio import Studio
from train.synth.outputs.write import end_with_parent, make_studio

SPARE_CORES = 2
"""Left to the process that trains."""
RESTARTS = 2
"""How often a process may be begun anew, on the average."""
_ENDS_S = 5.0
_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Work = Callable[..., None]
"""``work(name, number, *given)``: ``name(text)`` tells which OpenGL draws; a process's main."""


def cores_here() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processes_here() -> int:
    """How many processes suit this machine's cores."""
    return max(cores_here() - SPARE_CORES, 1)


@dataclass(slots=True)
class _Seat:
    """A process and what it said first."""

    process: BaseProcess
    ear: Connection


class Renderers:
    """Processes that do some :data:`Work`; a context, at whose end they are gone.

    Call :meth:`watch` every second or so: whoever died is replaced, up to :data:`RESTARTS` times
    a process, so that what always fails is not begun for ever.
    """

    def __init__(self, work: Work, given: Sequence[Any], processes: int) -> None:
        self.processes, self.died, self.opengl = processes, 0, ""
        self._work, self._given = work, tuple(given)
        self._context = multiprocessing.get_context("spawn")
        self._seats: dict[int, _Seat] = {}

    def __enter__(self) -> Renderers:
        for number in range(self.processes):
            self._begin(number)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def watch(self) -> None:
        """Begin anew what died, and hear what draws."""
        for number, seat in list(self._seats.items()):
            with contextlib.suppress(EOFError, OSError):
                if not self.opengl and seat.ear.poll():
                    self.opengl = str(seat.ear.recv())
            if seat.process.exitcode is None:
                continue
            seat.ear.close()
            del self._seats[number]
            if seat.process.exitcode != 0:
                self.died += 1
                if self.died <= RESTARTS * self.processes:
                    self._begin(number)

    def at_work(self) -> int:
        """How many there are now."""
        return sum(seat.process.exitcode is None for seat in self._seats.values())

    def end(self) -> None:
        """End all of them; what they have not finished is lost."""
        processes = [seat.process for seat in self._seats.values()]
        for process in processes:
            process.terminate()
        end = time.monotonic() + _ENDS_S
        for process in processes:
            process.join(max(end - time.monotonic(), 0.1))
            if process.exitcode is None:
                process.kill()
                process.join()
        for seat in self._seats.values():
            seat.ear.close()
        self._seats = {}

    def _begin(self, number: int) -> None:
        ear, mouth = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_main, args=(self._work, mouth, number, *self._given), daemon=True
        )
        with _one_thread():
            process.start()
        mouth.close()
        self._seats[number] = _Seat(process, ear)


def _main(work: Work, mouth: Connection, number: int, *given: Any) -> None:
    """Of a process: ends with its parent, and leaves interrupts to it."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(mouth.send, number, *given)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes begun inside have libraries of one thread each."""
    before = {name: os.environ.get(name) for name in _LIBRARIES}
    os.environ.update(dict.fromkeys(_LIBRARIES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def studio_of(name: Callable[[str], None], facekit: Path, pictures_per_person: int) -> Studio:
    """A process's studio; tells which OpenGL it draws by."""
    studio = make_studio(facekit, pictures_per_person=pictures_per_person)
    name(studio.renderer.context.name)
    return studio


def fill_pools(name: Callable[[str], None], number: int, *pools: PoolOptions) -> None:
    """Work: fill pools one after the other, together with whoever else does."""
    first = pools[0]
    studio = studio_of(name, first.facekit, first.pictures_per_person)
    for options in pools:
        pool = CropPool(options.out, writable=True)
        for _ in fill(pool, studio, options.count):
            pass
