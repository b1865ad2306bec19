"""Files that are written beside and renamed: a link that lies in wait there is not followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="training tests need the extra [train]")
pytest.importorskip("open_clip", reason="training tests need the extra [train]")
pytest.importorskip("moderngl", reason="training tests need the extra [train]")

from train.ablation.runs import write_done
from train.data import tables
from train.synth.outputs import write
from train.synth.outputs.plan import WriteOptions


def save_manifest(folder: Path) -> None:
    options = WriteOptions(facekit=folder, out=folder, product="crops", count=1)
    write._save(options, {"shards": {}})


@pytest.mark.parametrize(
    ("partial", "written", "save"),
    [
        ("manifest.partial", "manifest.json", save_manifest),
        ("done.partial", "done.json", lambda folder: write_done(folder, {}, {})),
        ("x.partial", "x.json", lambda folder: tables._note(folder / "x.json", 1, 2)),
    ],
)
def test_a_link_in_the_place_of_a_partial_file_is_not_followed(
    tmp_path: Path, partial: str, written: str, save: Callable[[Path], None]
):
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / partial).symlink_to(victim)
    save(folder)
    assert victim.read_text() == "precious"
    assert (folder / written).read_text().startswith("{")
    assert not (folder / written).is_symlink()


def test_a_manifest_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(write.WriteError, match=r"manifest\.json.*the same command goes on"):
        save_manifest(tmp_path)
