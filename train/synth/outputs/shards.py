"""Tar shards in WebDataset's form: writing samples into them and reading them back.

A sample's members share a key: ``KEY.jpg`` and ``KEY.json`` (labels), for cut-outs also ``KEY.png``
(8-bit coverage), for clips ``KEY.0000.jpg``, ``KEY.0001.jpg`` … instead of one picture.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.json_files import parse_json

Pixels = NDArray[np.uint8]

_BLOCK = 1 << 20


@dataclass(slots=True)
class Sample:
    """One sample of a shard."""

    key: str
    frames: list[Pixels]
    """RGB pictures (height, width, 3): one, but for clips."""
    alpha: Pixels | None
    """(height, width) coverage of a cut-out."""
    labels: dict[str, Any]

    @property
    def rgb(self) -> Pixels:
        """The first picture; a cut-out's bytes are ``encode_light``'s."""
        return self.frames[0]


def jpeg(rgb: Pixels, *, quality: int = 95, full_color: bool = False) -> bytes:
    """An RGB picture as JPEG; ``full_color`` keeps colour at the resolution of light."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if full_color:
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def png(grey: Pixels) -> bytes:
    """A (height, width) picture as PNG."""
    return cv2.imencode(".png", np.ascontiguousarray(grey))[1].tobytes()


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file without owner and time, so that equal content is equal bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_shard(path: Path) -> Iterator[Sample]:
    """Samples of a shard in their order.

    Raises :class:`ValueError`, which names the file and the key, for a file that ends too early or
    is not a shard, for a sample with a member missing and for pictures that do not decode.
    """
    key = ""
    parts: dict[str, bytes] = {}
    for name, data in _members(path):
        this, _, suffix = name.partition(".")
        if parts and this != key:
            yield _sample(path, key, parts)
            parts = {}
        key = this
        parts[suffix] = data
    if parts:
        yield _sample(path, key, parts)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    name = "the first member"
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = member.name
                stream = tar.extractfile(member)
                if stream is None:
                    raise ValueError(f"{path}: {name} is not a file; expected KEY.jpg, KEY.json …")
                data = stream.read()
                yield name, data
        with path.open("rb") as file:
            file.seek(-1024, io.SEEK_END)
            if any(file.read()):
                raise tarfile.ReadError("no end mark")
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is damaged at {name} ({error}); delete it and write it again"
        ) from None


def _sample(path: Path, key: str, parts: dict[str, bytes]) -> Sample:
    pictures = sorted(s for s in parts if s.split(".")[-1] == "jpg")
    if "json" not in parts or not pictures:
        there = ", ".join(sorted(parts))
        raise ValueError(f"{path}: {key} has only .{there}; expected .json and .jpg")
    return Sample(
        key,
        [decode_picture(parts[s], f"{path}: {key}.{s}") for s in pictures],
        decode_alpha(parts["png"], f"{path}: {key}.png") if "png" in parts else None,
        decode_labels(parts["json"], f"{path}: {key}.json"),
    )


def decode_picture(data: bytes, what: str) -> Pixels:
    """(height, width, 3) RGB; raises :class:`ValueError` that names ``what``."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ValueError(f"{what} does not decode as a picture; write the shard again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode_alpha(data: bytes, what: str) -> Pixels:
    """(height, width); raises :class:`ValueError` that names ``what``."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if image is None:
        raise ValueError(f"{what} does not decode as a picture; write the shard again")
    return np.asarray(image, np.uint8)


def decode_labels(data: bytes, what: str) -> dict[str, Any]:
    """Labels of one sample; raises :class:`ValueError` that names ``what``."""
    try:
        labels = parse_json(data)
    except ValueError as error:
        raise ValueError(f"{what} is not JSON of use ({error}); write the shard again") from None
    if not isinstance(labels, dict):
        raise ValueError(f"{what} holds no labels; write the shard again")
    return labels
