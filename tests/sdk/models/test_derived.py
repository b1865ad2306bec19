"""Graphs that are made from bundled ones: byte for byte those that their cards describe."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from clipgaze_sdk import ModelCard, ModelError
from clipgaze_sdk.models.derived import derived_bytes, halved
from clipgaze_sdk.models.files import BUNDLED_FOLDER, load_model_file

DERIVED = sorted(path.name for path in BUNDLED_FOLDER.glob("*.delta"))


def test_there_are_two_of_each_network() -> None:
    assert len(DERIVED) == 6
    assert sum((BUNDLED_FOLDER / name).stat().st_size for name in DERIVED) < 100_000


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_file_is_the_one_of_its_card(name: str) -> None:
    path = (BUNDLED_FOLDER / name).with_suffix(".onnx")
    assert not path.exists()
    found = load_model_file(path)
    assert hashlib.sha256(found.data).hexdigest() == found.card.sha256
    base = ModelCard.load(BUNDLED_FOLDER / f"{found.card.task}.json")
    assert found.card.base_sha256 == base.sha256


def test_halves_are_to_nearest_even_and_nothing_becomes_zero() -> None:
    values = [1.0, 1 + 2**-11, 1 + 3 * 2**-11, -65504.0, 2.0**-24, 1e-12, -1e-30, 0.0, -0.0]
    half = np.frombuffer(halved(np.array(values, "<f4").tobytes()), "<f2")
    least = 2.0**-24
    expected = [1.0, 1.0, 1 + 2**-9, -65504.0, least, least, -least, 0.0, -0.0]
    assert half.tolist() == expected
    assert np.signbit(half).tolist() == np.signbit(expected).tolist()


def copied(folder: Path) -> Path:
    for path in BUNDLED_FOLDER.glob("face_detector*"):
        shutil.copy(path, folder / path.name)
    return folder / "face_detector.fp16.onnx"


def test_it_is_made_in_any_folder_and_a_file_goes_first(tmp_path: Path) -> None:
    path = copied(tmp_path)
    made = load_model_file(path).data
    path.write_bytes(made)
    path.with_suffix(".delta").write_bytes(b"of no use")
    assert load_model_file(path).data == made


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", zlib.compress(b""), zlib.compress(b"x 2\n"), zlib.compress(b"9" * 5000 + b"\n")],
)
def test_a_damaged_delta_is_named(content: bytes, tmp_path: Path) -> None:
    path = copied(tmp_path)
    path.with_suffix(".delta").write_bytes(content)
    with pytest.raises(ModelError, match=r"face_detector\.fp16\.delta', from which .* is damaged"):
        load_model_file(path)


def test_pieces_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    pieces = np.array([[3, 0, 4]], "<i8").tobytes()
    path.with_suffix(".delta").write_bytes(zlib.compress(b"a.onnx 1\n" + pieces))
    with pytest.raises(ModelError, match="a piece is of kind 3"):
        derived_bytes(path, lambda _: b"source")


def test_a_source_of_another_version_is_found_out(tmp_path: Path) -> None:
    path = copied(tmp_path)
    base = tmp_path / "face_detector.onnx"
    data = bytearray(base.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = b"another!"
    base.write_bytes(data)
    with pytest.raises(ModelError, match=r"face_detector\.onnx' has SHA-256"):
        load_model_file(path)
    card = base.with_suffix(".json")
    other = hashlib.sha256(base.read_bytes()).hexdigest()
    card.write_text(card.read_text().replace(ModelCard.load(card).sha256, other))
    with pytest.raises(ModelError, match=r"face_detector\.fp16\.onnx' has SHA-256"):
        load_model_file(path)


def test_a_source_is_a_file_and_not_made_itself(tmp_path: Path) -> None:
    path = copied(tmp_path)
    pieces = np.array([[1, 0, 4]], "<i8").tobytes()
    name = path.name.encode()
    path.with_suffix(".delta").write_bytes(zlib.compress(name + b" 1\n" + pieces))
    with pytest.raises(ModelError, match=r"face_detector\.fp16\.onnx' is missing"):
        load_model_file(path)


@pytest.mark.parametrize("count", ["9" * 30, "1"])
def test_a_delta_cannot_take_all_memory(count: str, tmp_path: Path) -> None:
    path = copied(tmp_path)
    pieces = np.array([[1, 0, 1 << 40]], "<i8").tobytes()
    head = f"face_detector.onnx {count}\n".encode()
    path.with_suffix(".delta").write_bytes(zlib.compress(head + pieces))
    with pytest.raises(ModelError, match="is damaged"):
        load_model_file(path)


def test_a_delta_makes_no_engine(tmp_path: Path) -> None:
    copied(tmp_path)
    with pytest.raises(ModelError, match="does not exist"):
        load_model_file(tmp_path / "face_detector.fp16.engine")
