"""JSON from a disk: what is no JSON of use is a ValueError in words, whatever is in it."""

from __future__ import annotations

import pytest

from train import json_files
from train.json_files import parse_json, read_json


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "too deep"),
        ("1" + "0" * 400, "401 digits"),
        ('{"count": 1e999}', "1e999, which is not finite"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "not finite"),
        ('{"a": ', "Expecting value"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "Expecting value"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        parse_json(text.encode())


def test_what_is_good_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, -2.5, "\\u00fc", null, true], "large": 123456789012345678}')
    assert read_json(path) == {"a": [1, -2.5, "ü", None, True], "large": 123456789012345678}


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "MOST_BYTES", 1 << 20)
    path = tmp_path / "a.json"
    path.write_bytes(b" " * (1 << 20) + b"1")
    with pytest.raises(ValueError, match="more than 1 MiB"):
        read_json(path)
