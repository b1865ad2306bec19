"""How fast rendering is, and where the time goes: ``python -m train.synth bench``.

Prints JSON.  ``crops_per_s`` is what several processes make together after warming up, ``cpu_ms``
the processor's time for a crop, which other work on the machine changes less.
``profile_cpu_ms`` is that time of one process by stage, without the stages within, and with the
pipeline drained before and after each, so that a stage is charged for its own drawing (the sum is a
little more than without).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from train.synth.figure.facekit import load_facekit
from train.synth.outputs import studio as studio_module
from train.synth.outputs.plan import resolve_domains
from train.synth.outputs.studio import Studio

SEED = 501

STAGES = {
    "people": ("studio", "person"),
    "person to the GPU": ("renderer", "_load_person"),
    "scene": ("studio", "_scene"),
    "pose and labels": ("renderer", "pose"),
    "worn things made": ("renderer", "_worn"),
    "hair": ("renderer", "_draw_hair"),
    "skin": ("renderer", "_draw_skin"),
    "eyes": ("eyes", "draw"),
    "worn things drawn": ("renderer", "_draw_solids"),
    "lenses": ("renderer", "_draw_lenses"),
    "lashes": ("eyes", "draw_lashes"),
    "shadow maps": ("renderer", "_draw_shadows"),
    "resolve and read back": ("renderer", "_read"),
    "rest of drawing": ("renderer", "render"),
    "background and sensor": ("studio", "develop"),
    "normalisation": ("module", "normalized"),
    "records and the rest": ("studio", "crop"),
}


@dataclass(frozen=True, slots=True)
class Made:
    """What a process did and took."""

    begin: float
    end: float
    cpu_s: float
    memory_mb: tuple[int, int]
    """After a quarter and at the end."""
    opengl: str


def make(facekit: Path, name: str, start: int, count: int, each: int) -> Made:
    """Make ``count`` crops, ``each`` of a person, after those of a person or two."""
    cv2.setNumThreads(1)
    studio = Studio(load_facekit(facekit), pictures_per_person=each)
    (where,) = resolve_domains(name)
    for index in range(2 * each):
        studio.crop(SEED, 10_000_000 + start + index, where)
    begin, cpu, early = time.time(), time.process_time(), 0
    for index in range(count):
        studio.crop(SEED, start + index, where)
        if index == count // 4:
            early = _memory()
    spent = time.process_time() - cpu
    return Made(begin, time.time(), spent, (early, _memory()), studio.renderer.context.name)


def _memory() -> int:
    """Resident memory now, MB (where /proc is missing: the most so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def profile(facekit: Path, name: str, count: int, each: int) -> dict[str, float]:
    """Processor's milliseconds per crop by stage, ``each`` crops of a person."""
    cv2.setNumThreads(1)
    studio = Studio(load_facekit(facekit), pictures_per_person=each)
    (where,) = resolve_domains(name)
    for index in range(2 * each):
        studio.crop(SEED, 10_000_000 + index, where)
    renderer = studio.renderer
    owners = {"studio": studio, "renderer": renderer, "eyes": renderer.eyes}
    clock = _Clock(renderer.context.gl)
    for stage, (owner, method) in STAGES.items():
        clock.watch(owners.get(owner, studio_module), method, stage)
    for index in range(count):
        studio.crop(SEED, index, where)
    clock.stop()
    spent = sorted(clock.spent.items(), key=lambda stage: -stage[1])
    return {stage: round(seconds / count * 1e3, 1) for stage, seconds in spent}


class _Clock:
    """Processor's time of functions, each without those within it that are watched too."""

    def __init__(self, gl: Any) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._gl = gl
        self._within: list[float] = []
        self._before: list[tuple[Any, str, Any]] = []

    def watch(self, owner: Any, name: str, stage: str) -> None:
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._gl.finish()
            begin = time.process_time()
            self._within.append(0.0)
            result = original(*args, **kwargs)
            self._gl.finish()
            took = time.process_time() - begin
            self.spent[stage] += took - self._within.pop()
            if self._within:
                self._within[-1] += took
            return result

        self._before.append((owner, name, original))
        setattr(owner, name, timed)

    def stop(self) -> None:
        """Watch no longer."""
        for owner, name, original in self._before:
            setattr(owner, name, original)


def bench(facekit: Path, name: str, *, count: int, workers: int, each: int) -> None:
    """Time ``count`` crops of a domain in ``workers`` processes, and print what was measured.

    ``each`` in a row are of one person.  Raises :class:`SystemExit` for fewer crops than processes.
    """
    share = count // workers
    if not share:
        raise SystemExit(f"{count} crops for {workers} processes; give at least one to each")
    load_facekit(facekit)  # packed once, before the processes begin
    jobs = [(facekit, name, k * -(-share // each) * each, share, each) for k in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        results = pool.starmap(make, jobs)
    # Only the time in which all of them were at work counts.
    begin, end = max(r.begin for r in results), min(r.end for r in results)
    done = sum(share * (end - begin) / (r.end - r.begin) for r in results)
    report = {
        "crops_per_s": round(done / (end - begin), 1),
        "cpu_ms": round(sum(r.cpu_s for r in results) / (share * workers) * 1e3, 1),
        "crops": count,
        "processes": workers,
        "pictures_per_person": each,
        "memory_mb_at_quarter": max(r.memory_mb[0] for r in results),
        "memory_mb_at_end": max(r.memory_mb[1] for r in results),
        "domain": name,
        "opengl": results[0].opengl,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "profile_cpu_ms": profile(facekit, name, max(64, count // 6), each),
    }
    print(json.dumps(report, indent=1))
