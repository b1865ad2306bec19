"""Pools of crops: filled by several processes, after kills, and refused with a reason."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train.synth.pool_workers import fill_and_tell
from tests.train.synth.test_panoramas import write_panorama
from train.data.samples import EYE_POINTS
from train.factors import FACTORS
from train.synth.__main__ import main
from train.synth.outputs import pool_filling
from train.synth.outputs.plan import PoolOptions, resolve_domains
from train.synth.outputs.pool import (
    ARRAYS,
    EYE_STATES,
    CropPool,
    PoolError,
    PoolSettings,
    make_pool,
    row_bytes,
)
from train.synth.outputs.pool_filling import fill, fill_pool
from train.synth.outputs.studio import VERSION

SETTINGS = PoolSettings(7, ("meeting", "street"), 31, 24, VERSION)
COUNT = 29
"""Two people: 24 rows of one and 5 of the other; two rows stay empty."""


@pytest.fixture
def drawing(studio, monkeypatch):
    """The session's studio with as many pictures of a person as pools have."""
    monkeypatch.setattr(studio, "pictures_per_person", SETTINGS.pictures_per_person)
    return studio


@pytest.fixture(scope="module")
def whole(studio, tmp_path_factory):
    """A pool that one process filled without a stop."""
    pool = make_pool(tmp_path_factory.mktemp("pools") / "whole", SETTINGS)
    before = studio.pictures_per_person
    studio.pictures_per_person = SETTINGS.pictures_per_person
    assert list(fill(pool, studio, COUNT)) == list(range(COUNT))
    studio.pictures_per_person = before
    return pool


def assert_equal(pool: CropPool, other: CropPool) -> None:
    assert pool.rows().tolist() == other.rows().tolist()
    for name, array in pool.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name


def test_rows_are_what_the_studio_draws(whole, drawing):
    assert whole.rows().tolist() == list(range(COUNT))
    assert whole.missing(31).tolist() == [29, 30]
    for row, name in ((3, "meeting"), (26, "street")):
        crop = drawing.crop(7, row, resolve_domains(name)[0])
        its = {key: array[row] for key, array in whole.arrays.items()}
        assert np.array_equal(its["image"], crop.rgb.transpose(2, 0, 1))
        assert np.array_equal(its["classes"], crop.classes)
        for key in ("gaze", "sight_gaze", "head", "seen_head"):
            assert its[key] == pytest.approx(getattr(crop, key), abs=1e-6)
        assert its["points"] == pytest.approx(crop.landmarks_px[list(EYE_POINTS)], abs=1e-3)
        assert its["rims"] == pytest.approx(crop.rims_px, abs=1e-3)
        assert its["seen_eyes"] == pytest.approx(crop.seen_eyes_px, abs=1e-3)
        assert its["openness"] == pytest.approx(crop.picture.labels.openness, abs=1e-6)
        assert (its["person"], its["domain"]) == (row // 24, int(name == "street"))
        assert np.array_equal(its["identity"], crop.picture.person.identity)
        assert EYE_STATES[its["eyes"]] == pool_filling.eye_state(crop.record)
        for factor, value in zip(FACTORS, its["factors"].tolist(), strict=True):
            shown = factor.name in crop.record["shown"]
            assert value == (crop.record["factors"][factor.name] if shown else 255)
    assert not whole.arrays["image"][29:].any()
    assert whole.arrays["image"][:COUNT].std((1, 2, 3)).min() > 3


def test_two_processes_share_the_work(whole, facekit_folder, tmp_path, studio):
    pool = make_pool(tmp_path / "shared", replace(SETTINGS, pictures_per_person=4))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=fill_and_tell, args=(queue, facekit_folder, pool.folder, 22))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    made = [queue.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(30)
    assert sorted(made[0] + made[1]) == list(range(22))
    assert min(len(rows) for rows in made) >= 2
    assert pool.rows().tolist() == list(range(22))
    # Which process made a row changes nothing of it: people are made from their number alone.
    first = whole.arrays["image"][:4]
    assert np.array_equal(pool.arrays["image"][:4], first)


def command(facekit: Path, out: Path, *more: str) -> list[str]:
    options = ["--domain", "meeting,street", "--seed", "7", "--count", str(COUNT), "--size", "31"]
    return [
        *(sys.executable, "-m", "train.synth", "pool", "--facekit", str(facekit)),
        *("--out", str(out), *options, *more),
    ]


def rows_of(out: Path, process: subprocess.Popen[str], least: int) -> int:
    """How many rows are whole once there are ``least``."""
    for _ in range(1200):
        if (out / "manifest.json").exists() and len(CropPool(out).rows()) >= least:
            return len(CropPool(out).rows())
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError(f"no {least} rows in a minute")


def test_stopped_and_killed_runs_go_on(whole, drawing, facekit_folder, tmp_path):
    out = tmp_path / "again"
    stopped = subprocess.Popen(
        command(facekit_folder, out, "--workers", "2"), stdout=subprocess.PIPE, text=True
    )
    rows_of(out, stopped, 2)
    stopped.send_signal(signal.SIGTERM)
    said, _ = stopped.communicate(timeout=30)
    assert stopped.returncode == 0
    after_stop = len(CropPool(out).rows())
    assert said.splitlines()[0] == f"0 of {COUNT} rows are whole; making {COUNT}"
    assert said.splitlines()[-1] == f"{after_stop} of {COUNT} rows are whole"
    assert 2 <= after_stop < COUNT
    killed = subprocess.Popen(command(facekit_folder, out, "--workers", "1"), text=True)
    rows_of(out, killed, after_stop + 1)
    killed.kill()
    killed.wait()
    pool = CropPool(out, writable=True)
    half = int(pool.missing(COUNT)[0])
    pool.arrays["image"][half, :, :90] = 200  # as far as the killed process came
    made = list(fill(pool, drawing, COUNT))
    assert made == sorted(made)
    assert half in made
    assert_equal(pool, whole)
    assert list(fill(pool, drawing, COUNT)) == []


def test_time_and_a_signal_end_it_at_the_next_row(facekit_folder, tmp_path, drawing, monkeypatch):
    monkeypatch.setattr(pool_filling, "make_studio", lambda *_, **__: drawing)
    options = PoolOptions(facekit_folder, tmp_path / "p", 20, ("meeting",), workers=1)
    fill_pool(replace(options, minutes=1e-9))
    assert len(CropPool(options.out).rows()) == 0
    made = drawing.crop

    def signalled(seed, index, domain):
        if index == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return made(seed, index, domain)

    monkeypatch.setattr(drawing, "crop", signalled)
    before = signal.getsignal(signal.SIGTERM)
    fill_pool(options)
    assert CropPool(options.out).rows().tolist() == [0, 1, 2]
    assert signal.getsignal(signal.SIGTERM) is before


def test_panoramas_light_a_pool_and_name_it(facekit_folder, tmp_path, drawing, monkeypatch):
    asked = []
    monkeypatch.setattr(pool_filling, "make_studio", lambda _, **how: asked.append(how) or drawing)
    folder = tmp_path / "panoramas"
    folder.mkdir()
    write_panorama(folder / "hall.hdr")
    options = PoolOptions(
        facekit_folder, tmp_path / "p", 1, ("meeting",), workers=1, environments=folder
    )
    fill_pool(options)
    assert asked == [{"pictures_per_person": 24, "environments": folder}]
    (name,) = CropPool(options.out).settings.environments
    assert name.startswith("hall ")
    assert len(name) == len("hall ") + 64
    with pytest.raises(SystemExit, match="is a pool with environments"):
        fill_pool(replace(options, environments=None))
    with pytest.raises(SystemExit, match=r"holds no \*\.hdr"):
        fill_pool(replace(options, out=tmp_path / "q", environments=tmp_path))


def test_a_claim_keeps_others_out_and_ends_with_it(tmp_path):
    pool = make_pool(tmp_path / "p", replace(SETTINGS, size=1))
    script = (
        "import sys; from pathlib import Path; from train.synth.outputs.pool import CropPool\n"
        "with CropPool(Path(sys.argv[1]), writable=True).claimed(int(sys.argv[2])) as mine:\n"
        "    print(mine)"
    )

    def elsewhere(person: int) -> str:
        arguments = [sys.executable, "-c", script, str(pool.folder), str(person)]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout

    with pool.claimed(4) as mine:
        assert mine
        assert elsewhere(4) == "False\n"
        assert elsewhere(5) == "True\n"
    assert elsewhere(4) == "True\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seed": 8}, "seed 7 and not 8"),
        ({"domains": ("lab",)}, r"domains \('meeting', 'street'\) and not \('lab',\)"),
        ({"size": 40}, "size 31 and not 40"),
        ({"pictures_per_person": 8}, "pictures_per_person 24 and not 8"),
        ({"environments": ("hall 1f",)}, r"environments \(\) and not \('hall 1f',\)"),
        ({"renderer_version": VERSION + 1}, f"renderer_version {VERSION} and not {VERSION + 1}"),
    ],
)
def test_a_pool_of_other_settings_is_refused(tmp_path, change, why):
    make_pool(tmp_path / "p", SETTINGS)
    with pytest.raises(PoolError, match=why):
        make_pool(tmp_path / "p", replace(SETTINGS, **change))


def test_what_is_no_pool_is_refused(tmp_path, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(PoolError, match=r"holds photo\.jpg and no pool"):
        make_pool(tmp_path, SETTINGS)
    with pytest.raises(PoolError, match=r"holds no manifest\.json"):
        CropPool(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(PoolError, match="is no pool's"):
        make_pool(tmp_path, SETTINGS)
    pool = make_pool(tmp_path / "p", replace(SETTINGS, size=2))
    (pool.folder / "gaze.npy").write_bytes(b"cut")
    with pytest.raises(PoolError, match=r"gaze\.npy cannot be read"):
        CropPool(pool.folder)
    np.save(pool.folder / "gaze.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(PoolError, match=r"has shape \(3, 2\) of float32; expected \(2, 2\)"):
        CropPool(pool.folder)


def test_a_pool_takes_its_room_at_once_or_says_so(tmp_path, monkeypatch):
    pool = make_pool(tmp_path / "p", replace(SETTINGS, size=20))
    used = sum(path.stat().st_blocks * 512 for path in pool.folder.glob("*.npy"))
    assert used >= 20 * row_bytes() > 20 * (224 * 224 * 3 + 112 * 224)
    assert json.loads((pool.folder / "manifest.json").read_text())["size"] == 20
    full = namedtuple("usage", "total used free")(10**9, 9 * 10**8, 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(PoolError, match=r"1000 rows need 0\.2\d GB, 0\.10 GB are free"):
        make_pool(tmp_path / "q", replace(SETTINGS, size=1000))
    assert not (tmp_path / "q" / "manifest.json").exists()
    monkeypatch.undo()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(PoolError, match="No space left on device; give another folder"):
        make_pool(tmp_path / "r", SETTINGS)
    monkeypatch.undo()
    assert make_pool(tmp_path / "r", SETTINGS).missing(31).tolist() == list(range(31))


def test_a_row_is_whole_when_all_of_it_is_there(tmp_path):
    pool = make_pool(tmp_path / "p", replace(SETTINGS, size=2))
    row = {name: np.ones(shape, kind) for name, (shape, kind) in ARRAYS.items()}
    with pytest.raises(KeyError, match="rims"):
        pool.write(1, {name: value for name, value in row.items() if name != "rims"})
    assert pool.rows().tolist() == []
    pool.write(1, row)
    assert pool.rows().tolist() == [1]
    with pytest.raises(ValueError, match="could not broadcast"):
        pool.write(1, row | {"gaze": np.zeros(3)})
    assert pool.rows().tolist() == []


def test_the_command_says_what_is_wrong(facekit_folder, tmp_path, whole):
    out = tmp_path / "p"
    base = ["pool", "--facekit", str(facekit_folder), "--out", str(out), "--seed", "7"]
    for more, why in (
        (["--count", "0"], "count is 0"),
        (["--count", "9", "--size", "8"], "size is 8"),
        (["--count", "9", "--minutes", "0"], "minutes is 0"),
        (["--count", "9", "--domain", "nowhere"], "no domain 'nowhere'"),
    ):
        with pytest.raises(SystemExit, match=why):
            main([*base, *more])
    base[base.index(str(out))] = str(whole.folder)
    with pytest.raises(SystemExit, match="has room for 31 rows, fewer than 32"):
        main([*base, "--domain", "meeting,street", "--count", "32"])
    with pytest.raises(SystemExit, match="is a pool with domains"):
        main([*base, "--domain", "meeting", "--count", "31"])
