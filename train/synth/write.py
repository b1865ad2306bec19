"""Shards of rendered people: ``python -m train.synth write``.

Each shard is a tar file in WebDataset's form: ``KEY.jpg`` (the person on black, premultiplied),
``KEY.png`` (8-bit coverage) and ``KEY.json`` (labels).  A picture depends on the seed and its index
alone, so any shard can be made again anywhere, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.facekit import load_facekit
from train.synth.people import sample_person
from train.synth.scene import sample_scene

PICTURES_PER_PERSON = 4
SHARD_SIZE = 300


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What to write and where."""

    facekit: Path
    out: Path
    count: int
    seed: int = 0
    size_px: int = 400
    workers: int = 2


@dataclass(slots=True)
class Picture:
    """One rendered person as read back from a shard."""

    key: str
    rgb: NDArray[np.uint8]
    """(size, size, 3), premultiplied by the coverage."""
    alpha: NDArray[np.uint8]
    labels: dict[str, Any]


def write_shards(options: WriteOptions) -> None:
    """Render ``count`` pictures into ``out/shard-NNNNN.tar``; shards that exist are kept."""
    options.out.mkdir(parents=True, exist_ok=True)
    starts = list(range(0, options.count, SHARD_SIZE))
    todo = [s for s in starts if not _shard_path(options.out, s).is_file()]
    print(
        f"{len(starts) - len(todo)} of {len(starts)} shards exist; rendering {len(todo)}",
        flush=True,
    )
    jobs = [(options, start) for start in todo]
    if options.workers <= 1:
        for job in jobs:
            _write_shard(job)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, maxtasksperchild=4) as pool:
        for done, name in enumerate(pool.imap_unordered(_write_shard, jobs), 1):
            print(f"{done}/{len(todo)} {name}", flush=True)


def _shard_path(out: Path, start: int) -> Path:
    return out / f"shard-{start // SHARD_SIZE:05d}.tar"


def _write_shard(job: tuple[WriteOptions, int]) -> str:
    # The software rasteriser would start a thread per core in every worker.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    from train.synth.renderer import Renderer

    options, start = job
    cv2.setNumThreads(1)
    kit = load_facekit(options.facekit)
    renderer = Renderer(kit, size_px=options.size_px)
    path = _shard_path(options.out, start)
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for index in range(start, min(start + SHARD_SIZE, options.count)):
            number = index // PICTURES_PER_PERSON
            if index == start or index % PICTURES_PER_PERSON == 0:
                person = sample_person(np.random.default_rng([options.seed, 1, number]), kit)
            rng = np.random.default_rng([options.seed, 2, index])
            image, labels = renderer.render(
                person, sample_scene(rng, person, size_px=options.size_px)
            )
            record = {k: _plain(v) for k, v in asdict(labels).items()}
            record |= {
                "person": f"{options.seed}-{number}",
                "identity": [round(float(x), 4) for x in person.identity],
                "index": index,
                "seed": options.seed,
            }
            key = f"{options.seed:03d}-{index:07d}"
            bgr = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2BGR)
            _add(
                tar,
                f"{key}.jpg",
                cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes(),
            )
            _add(
                tar,
                f"{key}.png",
                cv2.imencode(".png", np.ascontiguousarray(image[..., 3]))[1].tobytes(),
            )
            _add(tar, f"{key}.json", json.dumps(record).encode())
    partial.replace(path)
    return path.name


def _plain(value: Any) -> Any:
    return np.round(value, 6).tolist() if isinstance(value, np.ndarray) else value


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def read_shard(path: Path) -> Iterator[Picture]:
    """Pictures of a shard in their order; raises :class:`ValueError` for a file that is not one."""
    parts: dict[str, bytes] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None:
                raise ValueError(
                    f"{path}: {member.name} is not a file; expected KEY.jpg, .png, .json"
                )
            parts[Path(member.name).suffix] = stream.read()
            if len(parts) == 3:
                bgr = cv2.imdecode(np.frombuffer(parts[".jpg"], np.uint8), cv2.IMREAD_COLOR)
                alpha = cv2.imdecode(np.frombuffer(parts[".png"], np.uint8), cv2.IMREAD_GRAYSCALE)
                if bgr is None or alpha is None:
                    raise ValueError(f"{path}: {member.name}: the picture does not decode")
                yield Picture(
                    Path(member.name).stem,
                    np.ascontiguousarray(bgr[..., ::-1]),
                    alpha,
                    json.loads(parts[".json"]),
                )
                parts = {}
