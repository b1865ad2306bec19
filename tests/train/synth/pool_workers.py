"""What processes of tests do with a pool; imported by them, so without pytest."""

from __future__ import annotations

from multiprocessing.queues import Queue
from pathlib import Path

from train.synth.outputs.pool import CropPool
from train.synth.outputs.pool_filling import fill
from train.synth.outputs.write import make_studio


def fill_and_tell(queue: Queue[list[int]], facekit: Path, folder: Path, count: int) -> None:
    """Fill a pool with others and say which rows it was."""
    pool = CropPool(folder, writable=True)
    studio = make_studio(facekit, pictures_per_person=pool.settings.pictures_per_person)
    queue.put(list(fill(pool, studio, count)))
