"""Shards of rendered people: ``python -m train.synth write``.

A sample depends on the seed, its index and its domain alone, so a shard is the same byte for byte
whatever the number of workers (on one OpenGL implementation).  ``manifest.json`` says what the
folder holds; it is written before the first shard and after each, so that a run that was killed
goes on where it stopped and a larger ``--count`` adds to what is there.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2

from clipgaze_sdk import InputError
from clipgaze_sdk.writing import write_files
from train.factors import FACTORS
from train.json_files import read_json
from train.synth.figure.facekit import load_facekit
from train.synth.outputs.clips import make_clip
from train.synth.outputs.frames import make_frame
from train.synth.outputs.plan import WriteOptions, domain_of, resolve_domains
from train.synth.outputs.shards import add_member, file_sha256, jpeg, png
from train.synth.outputs.studio import PICTURES_PER_PERSON, VERSION, Studio
from train.synth.places.photographed import EnvironmentsError, load_panoramas
from train.synth.variety import Domain

_GUESSED_BYTES = {
    "crops": 30_000,
    "bands": 12_000,
    "cutouts": 90_000,
    "pictures": 40_000,
    "frames": 250_000,
    "clips": 1_500_000,
}
MANIFEST = "manifest.json"


class WriteError(Exception):
    """Something the user can mend; the text says what and how."""


def write_shards(options: WriteOptions) -> None:
    """Write ``count`` samples into ``out/shard-NNNNN.tar``; whole shards that exist are kept.

    Raises :class:`SystemExit` with one line that says what is wrong: a folder that holds something
    else, a full disk, no FaceKit, no OpenGL.  Finished shards are kept in any case.
    """
    try:
        _write(options)
    except WriteError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(
            f"stopped; the finished shards in {options.out} are kept, the same command goes on"
        ) from None
    except OSError as error:
        raise SystemExit(f"{options.out}: {error.strerror or error}") from None


def _write(options: WriteOptions) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    manifest = _opened(options)
    starts = range(0, options.count, options.shard_size)
    kept = _verified(options, manifest)
    todo = [s for s in starts if _name(s, options) not in kept]
    manifest["shards"] = kept
    _save(options, manifest)
    print(f"{len(kept)} of {len(starts)} shards exist; rendering {len(todo)}", flush=True)
    began, pictures = time.monotonic(), 0
    for done, entry in enumerate(_made(options, todo), 1):
        manifest["shards"][entry.pop("name")] = entry
        _save(options, manifest)
        pictures += entry["count"]
        speed = pictures / max(time.monotonic() - began, 1e-6)
        what = options.product
        print(f"{done}/{len(todo)} shards, {pictures} {what}, {speed:.1f} {what}/s", flush=True)
    print(f"{options.count} {options.product} in {len(starts)} shards", flush=True)


def _made(options: WriteOptions, todo: list[int]) -> Iterator[dict[str, Any]]:
    """Make shards, here or in worker processes; yields their entries as they are finished."""
    if options.workers == 1 or len(todo) <= 1:
        studio = _studio(options.facekit, environments=options.environments) if todo else None
        for start in todo:
            assert studio is not None
            yield _guarded(options, start, studio)
        return
    pool = ProcessPoolExecutor(
        min(options.workers, len(todo)),
        multiprocessing.get_context("spawn"),
        initializer=end_with_parent,
    )
    failure: BaseException | None = None
    try:
        jobs = [pool.submit(_worker, options, start) for start in todo]
        for job in as_completed(jobs):
            if job.cancelled():
                continue
            failure = job.exception() or failure
            if job.exception() is None:
                yield job.result()
            else:  # what is being made is finished and kept, nothing new is begun
                for other in jobs:
                    other.cancel()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if isinstance(failure, BrokenProcessPool):
        raise WriteError(
            "a worker process died (out of memory?); the finished shards in "
            f"{options.out} are kept, the same command with fewer --workers goes on"
        )
    if failure is not None:
        raise failure


def end_with_parent() -> None:
    """Let a worker end when the process that began it is killed, which tells workers nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


_studios: dict[tuple[Path, Path | None], Studio] = {}


def _worker(options: WriteOptions, start: int) -> dict[str, Any]:
    key = options.facekit, options.environments
    if key not in _studios:
        _studios[key] = _studio(options.facekit, environments=options.environments)
    return _guarded(options, start, _studios[key])


def _studio(
    facekit: Path,
    pictures_per_person: int = PICTURES_PER_PERSON,
    environments: Path | None = None,
) -> Studio:
    """A studio of this process; raises :class:`WriteError` where nothing can be drawn."""
    # The software rasteriser would start a thread per core in every worker.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    cv2.setNumThreads(1)
    try:
        panoramas = load_panoramas(environments) if environments else ()
        return Studio(
            load_facekit(facekit), pictures_per_person=pictures_per_person, panoramas=panoramas
        )
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise WriteError(str(error)) from None


def make_studio(
    facekit: Path,
    *,
    pictures_per_person: int = PICTURES_PER_PERSON,
    environments: Path | None = None,
) -> Studio:
    """A studio; raises :class:`SystemExit` with one line where nothing can be drawn."""
    try:
        return _studio(facekit, pictures_per_person, environments)
    except WriteError as error:
        raise SystemExit(str(error)) from None


def _guarded(options: WriteOptions, start: int, studio: Studio) -> dict[str, Any]:
    """One shard's entry; a full disk becomes a :class:`WriteError` and leaves no partial file."""
    # A name that nobody has: a worker of a run that was killed may still be at it.
    partial = (options.out / _name(start, options)).with_suffix(f".{secrets.token_hex(8)}.partial")
    try:
        return _write_shard(options, start, studio, partial)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        done = sorted(options.out.glob("shard-*.tar"))
        each = _GUESSED_BYTES[options.product]
        if done:
            each = max(path.stat().st_size for path in done) // options.shard_size
        left = options.count - len(done) * options.shard_size
        raise WriteError(
            f"{options.out}: the disk is full; about {max(left, 1) * each / 1e6:,.1f} MB more are "
            f"needed. The {len(done)} finished shards are kept: free some space and the same "
            "command goes on"
        ) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_shard(
    options: WriteOptions, start: int, studio: Studio, partial: Path
) -> dict[str, Any]:
    domains = resolve_domains(",".join(options.domains))
    path = options.out / _name(start, options)
    labels = hashlib.sha256()
    end = min(start + options.shard_size, options.count)
    with partial.open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        for index in range(start, end):
            chosen = domain_of(domains, options.product, index)
            key = f"{options.seed:03d}-{index:08d}"
            for suffix, data in _encoded(options, studio, index, chosen):
                add_member(tar, f"{key}.{suffix}", data)
                if suffix == "json":
                    labels.update(data)
    entry = {
        "name": path.name,
        "count": end - start,
        "sha256": file_sha256(partial),
        "labels_sha256": labels.hexdigest(),
        "opengl": studio.renderer.context.name,
    }
    partial.replace(path)
    return entry


def _encoded(
    options: WriteOptions, studio: Studio, index: int, chosen: Domain
) -> Iterator[tuple[str, bytes]]:
    """Members of one sample, labels last."""
    seed = options.seed
    if options.product == "clips":
        clip = make_clip(
            studio, seed, index, chosen, frames=options.clip_frames, fps=options.clip_fps
        )
        frames = []
        for number, shot in enumerate(clip.frames()):
            yield f"{number:04d}.jpg", jpeg(shot.rgb)
            frames.append(shot.record)
        yield "json", _json(clip.record | {"frames": frames})
        return
    if options.product == "cutouts":
        cutout = studio.cutout(seed, index, chosen)
        yield "jpg", jpeg(cutout.rgb, full_color=True)
        yield "png", png(cutout.alpha)
        yield "json", _json(cutout.record)
        return
    make: dict[str, Callable[..., Any]] = {
        "crops": studio.crop,
        "bands": functools.partial(studio.crop, band=True),
        "pictures": studio.picture,
        "frames": functools.partial(make_frame, studio),
    }
    made = make[options.product](seed, index, chosen)
    yield "jpg", jpeg(made.rgb)
    yield "json", _json(made.record)


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()


def _name(start: int, options: WriteOptions) -> str:
    return f"shard-{start // options.shard_size:05d}.tar"


def _opened(options: WriteOptions) -> dict[str, Any]:
    """The folder's manifest, or a new one; raises :class:`WriteError` where it does not fit."""
    plan: dict[str, Any] = {
        "product": options.product,
        "seed": options.seed,
        "domains": [d.name for d in resolve_domains(",".join(options.domains))],
        "renderer_version": VERSION,
        "shard_size": options.shard_size,
        "factors": [f.name for f in FACTORS],
        "environments": _panoramas(options.environments),
    }
    if options.product == "clips":
        plan |= {"clip_frames": options.clip_frames, "clip_fps": options.clip_fps}
    path = options.out / MANIFEST
    if not path.is_file():
        if any(options.out.glob("shard-*.tar")):
            raise WriteError(
                f"{options.out} holds shards but no {MANIFEST}; give another folder, or delete them"
            )
        return plan | {"count": options.count, "shards": {}}
    try:
        there = read_json(path)
        before, shards = int(there["count"]), {str(s["name"]): s for s in there["shards"]}
    except (ValueError, KeyError, TypeError) as error:
        raise WriteError(
            f"{path} is damaged ({error!r}); give another folder, or delete this one"
        ) from None
    for name, value in plan.items():
        if there.get(name, [] if name == "environments" else None) != value:
            raise WriteError(
                f"{options.out} holds {name} {there.get(name)!r} and not {value!r}; "
                "give another folder"
            )
    if options.count < before:
        raise WriteError(
            f"{options.out} is for {before} {options.product}, more than {options.count}; "
            f"ask for at least {before} or give another folder"
        )
    return plan | {"count": options.count, "shards": shards}


def _panoramas(folder: Path | None) -> list[dict[str, str]]:
    """Names and hashes of the panoramas of a folder, for the manifest."""
    try:
        found = load_panoramas(folder) if folder else ()
    except EnvironmentsError as error:
        raise WriteError(str(error)) from None
    return [{"name": one.name, "sha256": one.sha256} for one in found]


def _verified(options: WriteOptions, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Entries of the shards that are there, whole and as the manifest says."""
    kept = {}
    for start in range(0, options.count, options.shard_size):
        name = _name(start, options)
        entry = manifest["shards"].get(name)
        path = options.out / name
        full = min(options.shard_size, options.count - start)
        if not entry or not path.is_file() or entry["count"] != full:
            continue
        if file_sha256(path) == entry["sha256"]:
            kept[name] = {k: v for k, v in entry.items() if k != "name"}
        else:
            print(f"{path}: not as {MANIFEST} says; made anew", flush=True)
    for partial in options.out.glob("*.partial"):
        partial.unlink()
    return kept


def _save(options: WriteOptions, manifest: dict[str, Any]) -> None:
    """Write the manifest at once or not at all; shards in their order."""
    shards = [{"name": name, **manifest["shards"][name]} for name in sorted(manifest["shards"])]
    together = hashlib.sha256("".join(s["labels_sha256"] for s in shards).encode()).hexdigest()
    whole = sum(s["count"] for s in shards) == options.count
    data = manifest | {
        "complete": whole,
        "labels_sha256": together,
        "opengl": sorted({s["opengl"] for s in shards}),
        "shards": shards,
    }
    path = options.out / MANIFEST
    try:
        write_files({path: f"{json.dumps(data, indent=1)}\n".encode()})
    except InputError as error:
        raise WriteError(
            f"{error} Finished shards are kept: mend it, and the same command goes on"
        ) from None
