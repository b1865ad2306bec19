"""Rendering and training in turn, stage by stage, in child processes that can be killed.

The work of ``python -m train.runs.long_run``.  A stage is a command of this project that goes on
where it was: ``train.synth pool`` for rows, ``train.gaze.fit`` for a generation.  What is done
follows from what lies in the folder, so nothing is lost with the process that did it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from train.gaze.fitting import HELD_OUT
from train.json_files import read_json
from train.loop.states import LOG
from train.runs.plan import EYES, Plan, PlanError, read_plan
from train.runs.stages import (
    RENDER,
    TRAIN,
    Places,
    Stage,
    finished,
    most_rows,
    next_stage,
    whole_rows,
)
from train.synth.outputs.pool import row_bytes
from train.synth.outputs.studio import VERSION

DIARY = "long_run.jsonl"
LOCK = "lock"
OUTPUT = "output.txt"
_ENDS_S = 90.0
"""How long a start and a stop wait for the worker: for its libraries, and for its state."""
_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ASKED_S = 1.0
"""How long the lock is tried for: whoever asks who works takes it for an instant."""
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_STATE_BYTES = 400e6
"""Of a generation: its state, its weights, its log."""


class LongRunError(ValueError):
    """What keeps a long run from starting; says what to do."""


# Bounds


def check_room(plan: Plan, places: Places, most_gb: float) -> None:
    """Raise :class:`LongRunError` where the plan needs more than it may use, or than is free."""
    rows = most_rows(plan) + plan.held_out_rows
    wanted = rows * row_bytes() + len(plan.generations) * _STATE_BYTES
    if wanted > most_gb * 1e9:
        raise LongRunError(
            f"the plan needs {wanted / 1e9:.1f} GB, and --most-gb is {most_gb:g}; take fewer rows "
            "in the plan, or allow more"
        )
    places.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(places.folder).free
    missing = wanted - used_bytes(places.folder)
    if missing > free:
        raise LongRunError(
            f"{places.folder} needs {missing / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free; "
            "free some, or give another --folder"
        )


def used_bytes(folder: Path) -> int:
    """What the folder takes on the disk."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # replaced by another at this moment
            total += 512 * path.lstat().st_blocks
    return total


def remove_old_pools(places: Places) -> list[str]:
    """Delete pools of other versions of the renderer, which can be made again; returns names."""
    old = [
        path
        for kind in ("pool", "held-out")
        for path in places.folder.glob(f"{kind}-v*")
        if path not in (places.pool, places.held_out)
    ]
    for path in old:
        shutil.rmtree(path)
    return [path.name for path in old]


# One at a time


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def locked(folder: Path) -> Iterator[IO[str]]:
    """Hold the folder's lock, with this process's number in it.

    Raises :class:`LongRunError` where another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        end = time.monotonic() + _ASKED_S
        while not _taken(file):
            if time.monotonic() > end:
                raise LongRunError(
                    f"a long run is at work in {folder}; `scripts/long-run status` says more"
                )
            time.sleep(0.02)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield file
        finally:
            file.truncate(0)


def worker_of(folder: Path) -> int | None:
    """The process that works in a folder, or None."""
    path = folder / LOCK
    if not path.is_file():
        return None
    with path.open("r+") as file:
        if _taken(file):
            return None
        text = file.read().strip()
        return int(text) if text.isdigit() else None


# Work


def work(args: argparse.Namespace) -> int:
    """Do stage after stage until all are done or a stop is asked for."""
    plan, path, places = _plan(args)
    check_room(plan, places, args.most_gb)
    with locked(places.folder) as lock:
        _be_modest()
        note(places.folder, {"event": "begin", "plan": path.name, "renderer": VERSION})
        gone = remove_old_pools(places)
        if gone:
            note(places.folder, {"event": "removed", "pools": gone})
        with _Child(lock) as child:
            while (stage := next_stage(plan, places)) is not None:
                note(
                    places.folder,
                    {"event": stage.kind, "of": stage.generation, "about": stage.about},
                )
                began = time.monotonic()
                code = child.run(stage.command)
                if child.stopped:
                    note(places.folder, {"event": "stop"})
                    return 0
                if code:
                    note(places.folder, {"event": "failed", "code": code, "stage": stage.kind})
                    return 1
                if stage.kind != RENDER and finished(stage.run):
                    _finish(places, stage, time.monotonic() - began)
        note(places.folder, {"event": "end"})
    return 0


def _finish(places: Places, stage: Stage, seconds: float) -> None:
    """Note what a run reached on people that it was not trained on."""
    figures = read_json(stage.run / HELD_OUT)
    rounded = {name: round(value, 4) for name, value in figures.items()}
    hours = round(seconds / 3600, 3)
    event = "generation" if stage.kind == TRAIN else "compared"
    about = {"event": event, "of": stage.generation, "run": stage.run.name}
    note(places.folder, {**about, "hours": hours, **rounded})


def _be_modest() -> None:
    """The lowest priority, and one thread, of this process and its children."""
    os.nice(19)
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for name in _LIBRARIES:
        os.environ[name] = "1"


def _end_with_parent() -> None:
    """In a child: SIGTERM when the process that started it dies (where Linux can)."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _Child:
    """Runs a stage, hands SIGTERM on to it, and takes it along in its own death."""

    def __init__(self, lock: IO[str]) -> None:
        self.stopped = False
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None
        self._before: Any = None

    def __enter__(self) -> _Child:
        self._before = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def run(self, command: list[str]) -> int:
        """The exit code of ``python`` with these arguments."""
        if self.stopped:
            return 0
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            pass_fds=[self._lock.fileno()],  # held as long as anybody works
            preexec_fn=_end_with_parent,
        )
        if self.stopped:  # asked for between the two lines above
            self._process.terminate()
        return self._process.wait()

    def _stop(self, *_: object) -> None:
        self.stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


def note(folder: Path, values: dict[str, Any]) -> None:
    """Append to the diary."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **values}
    with (folder / DIARY).open("a") as diary:
        diary.write(json.dumps(line) + "\n")


# Commands


def _plan(args: argparse.Namespace) -> tuple[Plan, Path, Places]:
    path = args.plan or EYES
    return read_plan(path), path, Places(args.folder.resolve())


def start(args: argparse.Namespace) -> int:
    """Begin, or go on, in the background."""
    plan, _, places = _plan(args)
    check_room(plan, places, args.most_gb)
    if worker_of(places.folder) is not None:
        raise LongRunError(f"a long run is at work in {places.folder} already")
    if not os.environ.get("CLIPGAZE_FACEKIT"):
        raise LongRunError(
            "CLIPGAZE_FACEKIT is not set; set it to ICT-FaceKit's folder FaceXModel "
            "(docs/training.md)"
        )
    more = ["--plan", str(args.plan)] if args.plan else []
    with (places.folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "train.runs.long_run", "work"),
                *("--folder", str(places.folder), "--most-gb", str(args.most_gb), *more),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    end = time.monotonic() + _ENDS_S
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
        if worker_of(places.folder) == process.pid:
            process.returncode = 0  # nobody waits for it here: it outlives this process
            print(f"at work in {places.folder} (process {process.pid})")
            return 0
    if process.poll() == 0:
        print("nothing is left to do: all generations of the plan are finished")
        return 0
    raise LongRunError(f"it did not start; {places.folder / OUTPUT} says why")


def stop(args: argparse.Namespace) -> int:
    """End it, its state saved."""
    folder = args.folder.resolve()
    worker = worker_of(folder)
    if worker is None:
        print(f"no long run is at work in {folder}")
        return 0
    with contextlib.suppress(ProcessLookupError):  # killed: what it started ends by itself
        os.kill(worker, signal.SIGTERM)
    end = time.monotonic() + _ENDS_S
    while time.monotonic() < end:
        if worker_of(folder) is None:
            print("stopped; `scripts/long-run start` goes on")
            return 0
        time.sleep(0.2)
    raise LongRunError(f"process {worker} has not ended after {_ENDS_S:g} s; kill it if it must")


def status(args: argparse.Namespace) -> int:
    """Say how far it is, and show the learning curve."""
    plan, _, places = _plan(args)
    worker = worker_of(places.folder)
    print(f"{'at work' if worker else 'not running'} in {places.folder}")
    last = _last_line(places.folder / DIARY)
    if last is not None:
        about = ", ".join(f"{k} {v}" for k, v in last.items() if k not in ("time", "event"))
        print(f"{last['time']}: {last['event']} ({about})")
        if last["event"] == "failed":
            print(f"{places.folder / OUTPUT} says why")
    print(f"{used_bytes(places.folder) / 1e9:.1f} of {args.most_gb:g} GB")
    for name, folder in (("rows", places.pool), ("held-out rows", places.held_out)):
        print(f"{whole_rows(folder)} {name}")
    for number, generation in enumerate(plan.generations):
        run = places.generation(number)
        last = _last_line(run / LOG)
        if last is None:
            break
        state = "finished" if finished(run) else "training"
        images = int(last["step"]) * plan.recipe(number).batch
        figures = _told(last, ("error_deg", "iris_px", "lids_px", "images_per_s"))
        done = f"{images} of {generation.image_steps} images"
        print(f"generation {number}: {state}, {done}; {figures}")
    for line in _noted(places.folder, "generation"):
        names = ("held_out_deg", "sight_deg", "open_deg", "head_leak", "iris_px", "lids_px")
        print(f"generation {line['of']}, people never trained on: {_told(line, names)}")
    compared = _noted(places.folder, "compared")
    if compared:
        print(comparison_table(plan, compared))
    return 0


def _told(line: dict[str, Any], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {line[name]:.3g}" for name in names if name in line)


def _noted(folder: Path, event: str) -> list[dict[str, Any]]:
    """The diary's lines of an event; one that a kill cut short is left out."""
    path = folder / DIARY
    found = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if values["event"] == event:
            found.append(values)
    return found


def comparison_table(plan: Plan, compared: list[dict[str, Any]]) -> str:
    """Markdown: a row a variant, means over its seeds and their range."""
    names = {
        "open_deg": "gaze, open eyes (deg)",
        "sight_deg": "gaze, all (deg)",
        "iris_px": "iris (px)",
        "lids_px": "lids (px)",
        "pitch_slope": "pitch slope",
        "yaw_slope": "yaw slope",
        "head_leak": "head leak",
    }
    lines = [
        f"| network | seeds | {' | '.join(names.values())} |",
        "|---" * (len(names) + 2) + "|",
    ]
    for variant in plan.comparison.variants:
        runs = [line for line in compared if line["run"].rpartition("-")[0] == variant]
        if runs:
            cells = [_range([r[name] for r in runs if name in r]) for name in names]
            lines.append(f"| {variant} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(values: list[float]) -> str:
    if not values:
        return ""
    mean = sum(values) / len(values)
    return f"{mean:.2f}" + (f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else "")


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line of a log."""
    if not path.is_file():
        return None
    for line in reversed(path.read_text().splitlines()):
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        return found
    return None


ACTIONS = {"start": start, "stop": stop, "status": status, "work": work}


def run(args: argparse.Namespace) -> int:
    """What the command says; returns the exit code."""
    try:
        return ACTIONS[args.action](args)
    except (LongRunError, PlanError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
