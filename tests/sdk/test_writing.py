"""Files that belong together: all or none, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipgaze_sdk import InputError
from clipgaze_sdk.writing import check_writable, put_back, write_files


def pair(folder: Path) -> tuple[Path, Path]:
    return folder / "g.engine", folder / "g.engine.json"


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_both_are_written_and_nothing_else(tmp_path: Path) -> None:
    engine, card = pair(tmp_path)
    for number in (b"1", b"2"):
        write_files({engine: number, card: number * 2})
        assert written(tmp_path) == {engine.name: number, card.name: number * 2}
    os.umask(mask := os.umask(0))
    assert engine.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_folder_in_the_place_of_one_keeps_the_other(tmp_path: Path) -> None:
    engine, card = pair(tmp_path)
    engine.write_bytes(b"an engine that works")
    (card / "x").mkdir(parents=True)
    with pytest.raises(InputError, match=r"g\.engine\.json': it is a folder"):
        write_files({engine: b"new", card: b"{}"})
    assert written(tmp_path) == {engine.name: b"an engine that works"}
    assert (card / "x").is_dir()


@pytest.mark.parametrize("fails_at", [0, 1])
@pytest.mark.parametrize("before", [{"g.engine", "g.engine.json"}, {"g.engine"}, set()])
def test_a_rename_that_fails_leaves_what_was_there(
    fails_at: int, before: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in before:
        (tmp_path / name).write_bytes(b"old " + name.encode())
    there = written(tmp_path)
    engine, card = pair(tmp_path)
    replace, target = Path.replace, (engine, card)[fails_at]

    def failing(self: Path, to: Path) -> Path:
        if to == target and self.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(InputError, match="No space left on device"):
        write_files({engine: b"new", card: b"{}"})
    assert written(tmp_path) == there


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    engine, card = pair(tmp_path)
    for name in ("g.engine", "g.engine.partial", ".g.engine.bak"):
        (tmp_path / name).symlink_to(victim)
        check_writable(engine)
        write_files({engine: b"new", card: b"{}"})
        assert victim.read_text() == "precious"
        assert not engine.is_symlink()
        assert engine.read_bytes() == b"new"


def test_what_cannot_be_written_is_found_out_before(tmp_path: Path) -> None:
    check_writable(tmp_path / "x")
    assert written(tmp_path) == {}
    with pytest.raises(InputError, match="No such file"):
        check_writable(tmp_path / "none" / "x")
    with pytest.raises(InputError, match="it is a folder"):
        check_writable(tmp_path)


CHILD = """
import hashlib, itertools, json, pathlib, sys
from clipgaze_sdk.writing import write_files
engine, card = map(pathlib.Path, sys.argv[1:])
for number in itertools.count():
    data = bytes([number % 256]) * 100_000
    write_files({engine: data, card: json.dumps(hashlib.sha256(data).hexdigest()).encode()})
    print(number, flush=True)
"""


def test_a_kill_leaves_a_pair_and_the_next_call_removes_the_rest(tmp_path: Path) -> None:
    """A child writes pairs without end; after each kill the pair on disk belongs together."""
    engine, card = pair(tmp_path)
    rng = random.Random(0)
    for _ in range(8):
        command = [sys.executable, "-c", CHILD, str(engine), str(card)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"0\n"
            time.sleep(rng.uniform(0.0, 0.05))
            child.kill()
        put_back((engine, card))
        assert json.loads(card.read_text()) == hashlib.sha256(engine.read_bytes()).hexdigest()
    (tmp_path / ".clipgaze-00.partial").write_bytes(b"left by a kill")
    write_files({engine: b"1", card: b"2"})
    assert written(tmp_path) == {engine.name: b"1", card.name: b"2"}


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_what_a_kill_interrupted_is_put_back(moved: int, tmp_path: Path) -> None:
    files = dict(zip(pair(tmp_path), (b"new engine", b"new card"), strict=True))
    for number, (path, data) in enumerate(files.items()):
        path.write_bytes(data if number < moved else b"old " + path.name.encode())
        (tmp_path / f".{path.name}.bak").write_bytes(b"old " + path.name.encode())
    assert put_back(list(files))
    assert written(tmp_path) == {path.name: b"old " + path.name.encode() for path in files}
    assert not put_back(list(files))


def test_somebody_elses_left_over_does_not_lose_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".clipgaze-0123.partial"
    left.write_bytes(b"theirs")
    unlink = Path.unlink

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        if self == left:
            raise PermissionError(1, "Operation not permitted")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    engine, card = pair(tmp_path)
    write_files({engine: b"1", card: b"2"})
    assert written(tmp_path) == {engine.name: b"1", card.name: b"2", left.name: b"theirs"}


def test_a_folder_that_cannot_be_written_has_nothing_to_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = pair(tmp_path)
    for path in files:
        (tmp_path / f".{path.name}.bak").write_bytes(b"")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    assert put_back(files) is False
