"""Shards: the same bytes whoever writes them, resumed, grown, and refused with a reason."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.synth.__main__ import main
from train.synth.domains import DOMAINS
from train.synth.outputs import write
from train.synth.outputs.plan import WriteOptions, domain_of, resolve_domains
from train.synth.outputs.preview import contact_sheet
from train.synth.outputs.shards import add_member, jpeg, png, read_shard
from train.synth.outputs.write import write_shards


@pytest.fixture
def options(facekit_folder, tmp_path):
    """Three shards of two, two and one small crop."""
    return WriteOptions(
        facekit_folder, tmp_path / "crops", "crops", 5, ("meeting",), 9, workers=1, shard_size=2
    )


@pytest.fixture
def shared(studio, monkeypatch):
    """Writes with the session's studio."""
    monkeypatch.setattr(write, "_studio", lambda *_, **__: studio)
    return studio


def manifest(folder: Path):
    return json.loads((folder / "manifest.json").read_text())


def shards(folder: Path):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def test_shards_do_not_depend_on_the_workers(options, shared):
    write_shards(options)
    apart = replace(options, out=options.out.parent / "apart", workers=2)
    write_shards(apart)  # in processes of their own
    assert shards(options.out) == shards(apart.out)
    first, second = manifest(options.out), manifest(apart.out)
    assert first == second
    assert (first["complete"], first["count"], first["seed"]) == (True, 5, 9)
    assert first["domains"] == ["meeting"]
    assert [s["count"] for s in first["shards"]] == [2, 2, 1]
    assert "tmp" not in json.dumps(first)
    samples = [s for path in sorted(options.out.glob("*.tar")) for s in read_shard(path)]
    assert [s.labels["index"] for s in samples] == [0, 1, 2, 3, 4]
    assert [s.key for s in samples][:2] == ["009-00000000", "009-00000001"]
    made = shared.crop(9, 3, resolve_domains("meeting")[0])
    assert samples[3].labels == json.loads(json.dumps(made.record))
    assert np.abs(samples[3].rgb.astype(int) - made.rgb).mean() < 6  # JPEG


def test_an_interrupted_run_goes_on(options, shared, monkeypatch, capsys):
    write_shards(options)
    whole, digest = shards(options.out), manifest(options.out)["labels_sha256"]
    made = shared.crop
    calls = []

    def counted(seed, index, chosen):
        calls.append(index)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return made(seed, index, chosen)

    monkeypatch.setattr(shared, "crop", counted)
    again = replace(options, out=options.out.parent / "again")
    with pytest.raises(SystemExit, match="the same command goes on"):
        write_shards(again)
    assert calls == [0, 1, 2, 3]
    assert manifest(again.out)["complete"] is False
    assert sorted(p.name for p in again.out.iterdir()) == ["manifest.json", "shard-00000.tar"]
    (again.out / "shard-00001.partial").write_bytes(b"left by a kill")
    write_shards(again)
    assert calls[4:] == [2, 3, 4]
    assert shards(again.out) == whole
    assert manifest(again.out)["labels_sha256"] == digest
    assert not list(again.out.glob("*.partial"))
    assert "1 of 3 shards exist; rendering 2" in capsys.readouterr().out
    # A shard that changed since, or that no manifest knows, is made anew.
    (again.out / "shard-00001.tar").write_bytes(whole["shard-00001.tar"][:3000])
    write_shards(again)
    assert calls[7:] == [2, 3]
    assert shards(again.out) == whole


def test_a_larger_count_adds_to_what_is_there(options, shared):
    write_shards(replace(options, count=3))
    few = shards(options.out)
    write_shards(options)
    grown = shards(options.out)
    assert grown["shard-00000.tar"] == few["shard-00000.tar"]
    fresh = replace(options, out=options.out.parent / "fresh")
    write_shards(fresh)
    assert grown == shards(fresh.out)
    assert manifest(options.out) == manifest(fresh.out)
    for change, complaint in (
        ({"count": 4}, "more than 4"),
        ({"seed": 8}, "holds seed 9 and not 8"),
        ({"domains": ("lab",)}, r"holds domains \['meeting'\]"),
        ({"product": "pictures"}, "holds product 'crops'"),
    ):
        with pytest.raises(SystemExit, match=complaint):
            write_shards(replace(options, **change))
    (options.out / "manifest.json").write_text("{")
    with pytest.raises(SystemExit, match="damaged"):
        write_shards(options)
    (options.out / "manifest.json").unlink()
    with pytest.raises(SystemExit, match=r"shards but no manifest\.json"):
        write_shards(options)


def test_a_full_disk_keeps_what_is_finished(options, shared, monkeypatch):
    del shared
    before = write.add_member
    written = []

    def full(tar, name, data):
        written.append(name)
        if len(written) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        before(tar, name, data)

    monkeypatch.setattr(write, "add_member", full)
    with pytest.raises(SystemExit) as caught:
        write_shards(options)
    text = str(caught.value)
    assert str(options.out) in text
    assert "the disk is full" in text
    assert "The 1 finished shards are kept" in text
    assert " MB more" in text
    assert not list(options.out.glob("*.partial"))
    monkeypatch.setattr(write, "add_member", before)
    write_shards(options)
    assert manifest(options.out)["complete"] is True


def test_every_product_is_written_and_read(options, shared):
    del shared
    for product, members in (
        ("cutouts", {"jpg", "png", "json"}),
        ("pictures", {"jpg", "json"}),
        ("frames", {"jpg", "json"}),
        ("clips", {"0000.jpg", "0001.jpg", "json"}),
    ):
        out = options.out.parent / product
        write_shards(
            replace(options, out=out, product=product, count=1, clip_frames=2, clip_fps=10.0)
        )
        with tarfile.open(out / "shard-00000.tar") as tar:
            assert {name.partition(".")[2] for name in tar.getnames()} == members
        (sample,) = read_shard(out / "shard-00000.tar")
        assert sample.labels["domain"] == "meeting"
        assert (sample.alpha is not None) == (product == "cutouts")
        assert len(sample.frames) == (2 if product == "clips" else 1)
        if product == "clips":
            assert len(sample.labels["frames"]) == 2
            assert np.shape(sample.labels["frames"][1]["landmarks_px"]) == (68, 2)


def test_domains_take_turns_by_person():
    domains = resolve_domains("lab,mix-world")
    assert [d.name for d in domains] == ["lab", "mix-world"]
    turns = [domain_of(domains, "crops", i).name for i in (0, 7, 8, 15, 16)]
    assert turns == ["lab", "lab", "mix-world", "mix-world", "lab"]
    assert domain_of(domains, "clips", 1).name == "mix-world"
    assert resolve_domains("all") == DOMAINS
    with pytest.raises(ValueError, match="known: mix, lab"):
        resolve_domains("lab,nowhere")


def make_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            add_member(tar, name, data)


def test_damaged_shards_say_where(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    good = [("a.jpg", jpeg(image)), ("a.json", b"{}"), ("b.jpg", jpeg(image)), ("b.json", b"{}")]
    path = tmp_path / "shard-00000.tar"
    make_tar(path, good)
    assert [s.key for s in read_shard(path)] == ["a", "b"]
    whole = path.read_bytes()
    for size in (len(whole) // 3, 512, 5000):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"shard-00000\.tar"):
            list(read_shard(path))
    path.write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match="is damaged"):
        list(read_shard(path))
    for members, complaint in (
        (good[:3], r"b has only \.jpg"),
        ([("a.json", b"{}"), *good[2:]], r"a has only \.json"),
        ([("a.jpg", b"nothing"), ("a.json", b"{}")], r"a\.jpg does not decode"),
        ([("a.jpg", jpeg(image)), ("a.png", b""), ("a.json", b"{}")], r"a\.png does not decode"),
        ([("a.jpg", jpeg(image)), ("a.json", b"{")], r"a\.json is not JSON"),
        ([("a.jpg", jpeg(image)), ("a.json", b"[]")], r"a\.json holds no labels"),
    ):
        make_tar(path, members)
        with pytest.raises(ValueError, match=complaint):
            list(read_shard(path))
    make_tar(path, [("a.jpg", jpeg(image)), ("a.png", png(image[..., 0])), ("a.json", b"{}")])
    (sample,) = read_shard(path)
    assert np.array_equal(sample.alpha, image[..., 0])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["write", "--out", "x", "--count", "0"], "count is 0"),
        (["write", "--out", "x", "--count", "1", "--domain", "moon"], "no domain 'moon'"),
        (["write", "--out", "x", "--count", "1", "--seed", "-1"], "seed is -1"),
        (["preview", "--factor", "glases"], "did you mean glasses"),
    ],
)
def test_wrong_arguments_are_said_in_a_line(arguments, complaint):
    with pytest.raises(SystemExit, match=complaint):
        main([*arguments, "--facekit", "nowhere"])


def test_no_face_model_is_said_in_a_line(tmp_path, monkeypatch):
    monkeypatch.delenv("CLIPGAZE_FACEKIT", raising=False)
    with pytest.raises(SystemExit, match="CLIPGAZE_FACEKIT"):
        main(["preview"])
    monkeypatch.setenv("CLIPGAZE_FACEKIT", str(tmp_path))
    with pytest.raises(SystemExit, match=r"generic_neutral_mesh\.obj"):
        main(["preview"])
    with pytest.raises(SystemExit, match=r"generic_neutral_mesh\.obj"):
        main(["write", "--out", str(tmp_path / "out"), "--count", "1", "--workers", "1"])
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="file"):
        main(["write", "--out", str(tmp_path / "file"), "--count", "1"])


def test_errors_of_worker_processes_are_one_line(tmp_path):
    """No traceback, exit code 1, also when it is a worker that finds no face model."""
    program = (
        "from pathlib import Path; from train.synth.outputs.plan import *\n"
        "from train.synth.outputs.write import *\n"
        "if __name__ == '__main__':\n"
        f"    write_shards(WriteOptions(Path({str(tmp_path)!r}), Path({str(tmp_path / 'o')!r}),"
        " 'crops', 4, workers=2, shard_size=2))"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "generic_neutral_mesh.obj" in done.stderr


def test_contact_sheets(studio):
    domains = resolve_domains("meeting")
    labelled = contact_sheet(studio, "crops", domains, seed=2, rows=1, columns=2)
    assert labelled.shape == (224, 448, 3)
    clean = contact_sheet(studio, "crops", domains, seed=2, rows=1, columns=2, clean=True)
    assert (labelled != clean).any(-1).mean() > 0.005
    pair = contact_sheet(
        studio, "crops", domains, seed=2, rows=1, columns=2, clean=True, switched="sunglasses"
    )
    assert (pair[:, :224] != pair[:, 224:]).any()
    for product in ("cutouts", "frames", "clips"):
        sheet = contact_sheet(studio, product, domains, rows=1, columns=1, captions=True)
        assert sheet.std() > 0
    with pytest.raises(ValueError, match="cannot be switched"):
        contact_sheet(studio, "crops", domains, rows=1, columns=2, switched="old")
