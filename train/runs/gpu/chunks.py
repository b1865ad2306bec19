"""Cut-outs rendered and composed into what the front end sees, a file of arrays for every few.

Done by processes that import no PyTorch.  A chunk is a pure function of the plan's seeds and its
number, but for which cut-outs a detector's frames are composed of: those that its process drew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.front.crops import Arrays, detector_frames, hard_negatives, landmark_crops
from train.runs.gpu.renderers import studio_of
from train.synth.outputs.plan import domain_of, resolve_domains
from train.synth.outputs.shards import Sample
from train.synth.outputs.studio import PICTURES_PER_PERSON, Studio

FRAMES_A_CUTOUT = 2
READ = ".read"
_KEPT = 192
"""Cut-outs that a process composes frames of."""
_THINGS = 40


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """What is to be made, and where."""

    kind: str
    """``landmarks`` or ``detector``."""
    facekit: Path
    folder: Path
    domains: str
    seed: int
    held_out_seed: int
    held_out_chunks: int
    """So many of the first chunks are of people never trained on."""
    each: int
    """Cut-outs of a chunk."""
    processes: int

    def path(self, number: int) -> Path:
        """Of a chunk."""
        return self.folder / f"chunk-{number:06d}.npz"


def make_chunks(name: Callable[[str], None], number: int, work: ChunkWork) -> None:
    """Work of :class:`~train.runs.gpu.renderers.Renderers`: chunks, for ever."""
    studio = studio_of(name, work.facekit, PICTURES_PER_PERSON)
    kept: list[Sample] = []
    chunk = number
    while True:
        path = work.path(chunk)
        if not (path.is_file() or path.with_suffix(READ).is_file()):
            arrays = one_chunk(studio, work, chunk, kept)
            partial = path.with_name(f"{path.stem}.partial.npz")
            np.savez(partial, **arrays)  # type: ignore[arg-type]
            partial.replace(path)
        chunk += work.processes


def one_chunk(studio: Studio, work: ChunkWork, chunk: int, kept: list[Sample]) -> Arrays:
    """Arrays of a chunk; ``kept`` holds the process's last cut-outs, and gets the new ones."""
    held_out = chunk < work.held_out_chunks
    seed = work.held_out_seed if held_out else work.seed
    if not held_out and chunk - work.processes < work.held_out_chunks:
        kept.clear()  # of people never trained on
    domains = resolve_domains(work.domains)
    for index in range(chunk * work.each, (chunk + 1) * work.each):
        cutout = studio.cutout(seed, index, domain_of(domains, "cutouts", index))
        kept.append(Sample(f"{index}", [cutout.rgb], cutout.alpha, cutout.record))
    new = kept[-work.each :]
    del kept[:-_KEPT]
    rng = np.random.default_rng([seed, 19, chunk])
    if work.kind == "landmarks":
        return landmark_crops(new, rng, studio.backgrounds)
    things = hard_negatives(rng, _THINGS)
    count = FRAMES_A_CUTOUT * work.each
    return detector_frames(kept, rng, studio.backgrounds, things, count=count)


class Chunks:
    """The files that processes have finished, each read once."""

    def __init__(self, work: ChunkWork) -> None:
        self.work = work

    def new(self, most: int) -> Iterator[tuple[bool, Arrays]]:
        """Up to ``most`` chunks that were not read: whether they are held out, and their arrays.

        What is read is deleted, as it lies in memory, and an empty file tells of it.
        """
        names = sorted(self.work.folder.glob("chunk-*[0-9].npz"))
        for path in names[:most]:
            with np.load(path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in data.files}
            chunk = int(path.stem.rpartition("-")[2])
            path.with_suffix(READ).touch()
            path.unlink()
            yield chunk < self.work.held_out_chunks, arrays
