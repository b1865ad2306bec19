"""Processes that render for one GPU: those that die, those that fail, and what they hand over."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.render_workers import fail, tell_and_wait
from train.loop.training_loop import FitError, RunOptions
from train.runs.gpu.budget import Budget
from train.runs.gpu.chunks import Chunks, ChunkWork, one_chunk
from train.runs.gpu.front import Pictures
from train.runs.gpu.renderers import Renderers
from train.runs.gpu.setup import wait_for

ROOT = Path(__file__).parents[3]
META = torch.device("meta")
QUIET = RunOptions(accelerator="cpu", tensorboard=False, progress=False)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*lr_scheduler.*"
)


def files(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


def until(there, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_renderer_that_is_killed_is_replaced(tmp_path):
    with Renderers(tell_and_wait, (tmp_path,), 1) as renderers:
        until(lambda: files(tmp_path) == ["0"])
        (seat,) = renderers._seats.values()
        os.kill(seat.process.pid, signal.SIGKILL)
        seat.process.join()
        renderers.watch()
        assert renderers.died == 1
        assert renderers.at_work() == 1
        until(lambda: len(files(tmp_path)) == 2)
        until(lambda: renderers.watch() or renderers.opengl)
        assert renderers.opengl == "painter 0"
        (seat,) = renderers._seats.values()
        pid = seat.process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_always_fails_is_not_begun_for_ever(tmp_path):
    with Renderers(fail, (tmp_path,), 1) as renderers:
        with pytest.raises(FitError, match="no rows: every process that renders has died"):
            wait_for(lambda: False, renderers, Budget(600), "rows")
        assert renderers.died == 3
    assert len(files(tmp_path)) == 3


# Chunks of the front end


def work_of(folder: Path, kind: str) -> ChunkWork:
    return ChunkWork(kind, Path(), folder, "meeting", 5, 6, 1, 2, 1)


def test_chunks_are_read_once_and_know_whether_they_are_held_out(tmp_path):
    work = work_of(tmp_path, "landmarks")
    for number in range(3):
        np.savez(work.path(number), points=np.full(2, number))
    (tmp_path / "chunk-000003.partial.npz").touch()
    chunks = Chunks(work)
    found = [(held_out, arrays["points"][0]) for held_out, arrays in chunks.new(2)]
    assert found == [(True, 0), (False, 1)]
    assert [arrays["points"][0] for _, arrays in chunks.new(9)] == [2]
    assert list(chunks.new(9)) == []
    assert work.path(2).with_suffix(".read").is_file()


def test_a_chunk_holds_what_a_recipe_draws_and_nobody_who_is_held_out(studio, tmp_path):
    kept = []
    landmarks = one_chunk(studio, work_of(tmp_path, "landmarks"), 0, kept)
    assert landmarks["crops"].shape == (2, 192, 192, 3)
    assert len(kept) == 2
    pictures = Pictures("landmarks", 9, torch.device("cpu"))
    pictures.append(landmarks)
    assert pictures.store.count == 2
    detector = one_chunk(studio, work_of(tmp_path, "detector"), 1, kept)
    assert len(kept) == 2  # those that were held out are gone
    assert detector["frames"].shape == (4, 320, 320, 3)
    assert [s.key for s in kept] == ["2", "3"]
