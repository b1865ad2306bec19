"""How fast rendering is, and where the time goes: ``python -m train.synth bench``.

Prints JSON.  ``crops_per_s`` is what several processes make together after warming up;
``profile_ms`` is the time of one process per crop by stage, with the pipeline drained after each,
so that a stage is charged for its own drawing (the sum is a little more than without).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2

from train.synth.figure.facekit import load_facekit
from train.synth.outputs.plan import resolve_domains
from train.synth.outputs.studio import Studio

WARM_UP = 48
SEED = 501

STAGES = {
    "person": ("studio", "person"),
    "pose and labels": ("renderer.poser", "pose"),
    "worn things": ("renderer", "_worn"),
    "hair": ("renderer", "_draw_hair"),
    "skin": ("renderer", "_draw_skin"),
    "eyes": ("renderer.eyes", "draw"),
    "worn things drawn": ("renderer", "_draw_solids"),
    "lenses": ("renderer", "_draw_lenses"),
    "lashes": ("renderer.eyes", "draw_lashes"),
    "shadow maps": ("renderer", "_draw_shadows"),
    "read back": ("renderer", "_read"),
    "background and sensor": ("studio", "develop"),
}


def make(facekit: Path, name: str, start: int, count: int) -> tuple[float, float, int, int, str]:
    """Make crops; returns (start and end time, memory after a quarter and at the end, OpenGL)."""
    cv2.setNumThreads(1)
    studio = Studio(load_facekit(facekit))
    (where,) = resolve_domains(name)
    for index in range(WARM_UP):
        studio.crop(SEED, 10_000_000 + start + index, where)
    begin, early = time.time(), 0
    for index in range(count):
        studio.crop(SEED, start + index, where)
        if index == count // 4:
            early = _memory()
    return begin, time.time(), early, _memory(), studio.renderer.context.name


def _memory() -> int:
    """Resident memory now, MB (where /proc is missing: the most so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def profile(facekit: Path, name: str, count: int) -> dict[str, float]:
    """Milliseconds per crop by stage."""
    cv2.setNumThreads(1)
    studio = Studio(load_facekit(facekit))
    (where,) = resolve_domains(name)
    for index in range(WARM_UP):
        studio.crop(SEED, 10_000_000 + index, where)
    spent: dict[str, float] = defaultdict(float)
    gl = studio.renderer.context.gl
    owners = {
        "studio": studio,
        "renderer": studio.renderer,
        "renderer.poser": studio.renderer.poser,
        "renderer.eyes": studio.renderer.eyes,
    }
    for stage, (owner, method) in STAGES.items():
        _time(owners[owner], method, stage, spent, gl)
    begin = time.perf_counter()
    for index in range(count):
        studio.crop(SEED, index, where)
    total = time.perf_counter() - begin
    spent["scene, normalisation, labels and the rest"] = total - sum(spent.values())
    return {k: round(v / count * 1e3, 1) for k, v in sorted(spent.items(), key=lambda x: -x[1])}


def _time(owner: Any, method: str, stage: str, spent: dict[str, float], gl: Any) -> None:
    original = getattr(owner, method)

    def timed(*args: Any, **kwargs: Any) -> Any:
        gl.finish()
        begin = time.perf_counter()
        result = original(*args, **kwargs)
        gl.finish()
        spent[stage] += time.perf_counter() - begin
        return result

    setattr(owner, method, timed)


def bench(facekit: Path, name: str, *, count: int, workers: int) -> None:
    """Time ``count`` crops of a domain in ``workers`` processes, and print what was measured."""
    share = count // workers
    if not share:
        raise SystemExit(f"{count} crops for {workers} processes; give at least one to each")
    load_facekit(facekit)  # packed once, before the processes begin
    jobs = [(facekit, name, k * share // 8 * 8, share) for k in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        results = pool.starmap(make, jobs)
    # Only the time in which all of them were at work counts.
    begin, end = max(r[0] for r in results), min(r[1] for r in results)
    done = sum(share * (end - begin) / (r[1] - r[0]) for r in results)
    report = {
        "crops_per_s": round(done / (end - begin), 1),
        "crops": count,
        "processes": workers,
        "memory_mb_at_quarter": max(r[2] for r in results),
        "memory_mb_at_end": max(r[3] for r in results),
        "domain": name,
        "opengl": results[0][4],
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "profile_ms": profile(facekit, name, max(64, count // 6)),
    }
    print(json.dumps(report, indent=1))
