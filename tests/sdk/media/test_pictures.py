from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk._errors import InputError
from clipgaze_sdk.media.pictures import kind_of, picture_size, read_image, shown_name
from tests.sdk.media.example_media import gradient, write_jpeg_with_orientation


def test_a_picture_is_read_as_it_is(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), gradient())


def test_grey_16_bit_and_alpha_pictures_become_bgr(tmp_path: Path) -> None:
    grey = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    cv2.imwrite(str(tmp_path / "deep.png"), grey)
    cv2.imwrite(str(tmp_path / "grey.png"), (grey >> 8).astype(np.uint8))
    alpha = np.dstack([gradient(), np.full((48, 64), 128, np.uint8)])
    cv2.imwrite(str(tmp_path / "alpha.png"), alpha)
    flat = read_image(tmp_path / "grey.png")
    assert flat.shape == (48, 64, 3)
    np.testing.assert_array_equal(flat[..., 0], flat[..., 2])
    np.testing.assert_allclose(read_image(tmp_path / "deep.png"), flat.astype(int), atol=1)
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), gradient())


def test_a_photograph_is_turned_upright_by_its_exif_orientation(tmp_path: Path) -> None:
    upright = gradient()
    stored = np.ascontiguousarray(np.rot90(upright))  # what a camera on its side stores
    path = write_jpeg_with_orientation(tmp_path / "a.jpg", stored, 6)
    read = read_image(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 4


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "No such file"), (b"", "is empty"), (b"not a picture", "cannot decode")],
)
def test_an_unreadable_picture_is_named(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_image(path)
    assert "bad.png" in str(caught.value)


def test_a_picture_with_an_unusual_name_is_read(tmp_path: Path) -> None:
    path = tmp_path / "żółw 目.png"
    path.write_bytes(cv2.imencode(".png", gradient())[1].tobytes())
    np.testing.assert_array_equal(read_image(path), gradient())


@pytest.mark.parametrize("size", [(1, 1), (64, 48), (300, 7), (16383, 2)])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", []),
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".bmp", []),
        (".tif", []),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),  # lossless
    ],
)
def test_the_size_is_read_from_the_header(
    suffix: str, options: list[int], size: tuple[int, int]
) -> None:
    ok, data = cv2.imencode(suffix, gradient(*size), options)
    assert ok
    assert picture_size(data.tobytes()) == size
    assert kind_of(data.tobytes()[:32]) is not None


def test_sizes_of_rarer_headers() -> None:
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\x1f\x4e\0\x0f\x27\x01"
    assert picture_size(extended) == (20000, 75536)
    entries = struct.pack(">HHII", 256, 4, 1, 70000) + struct.pack(">HHIHH", 257, 3, 1, 9, 0)
    assert picture_size(b"MM\0*\0\0\0\x08\0\2" + entries) == (70000, 9)
    old = b"BM\0\0\0\0\0\0\0\0\x1a\0\0\0" + struct.pack("<IHHHH", 12, 30, 20, 1, 24)
    assert picture_size(old) == (30, 20)
    photo = cv2.imencode(".jpg", gradient())[1].tobytes()
    thumbnail = cv2.imencode(".jpg", gradient(16, 16))[1].tobytes()
    exif = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert picture_size(photo[:2] + exif + b"\xff\xff" + photo[2:]) == (64, 48)


def test_damaged_headers_have_no_size() -> None:
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
        data = cv2.imencode(suffix, gradient())[1].tobytes()
        for length in (0, 3, 11, 13):
            assert picture_size(data[:length]) is None
        for seed in range(200):
            damaged = bytearray(data)
            random = np.random.default_rng(seed)
            for place in random.integers(0, min(len(data), 400), 5):
                damaged[place] = random.integers(0, 256)
            picture_size(bytes(damaged))  # any answer, no exception
    assert picture_size(b"\xff\xd8\xff" + b"\xff\xe0\0\0" * 100_000) is None


def bomb(path: Path, side: int) -> Path:
    """Write a PNG of 48 kB with `side` times `side` black pixels of one bit."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * (side // 8 + 1) * side, 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
def test_a_small_file_cannot_take_all_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 20000)
    assert path.stat().st_size < 60_000
    program = f"""
from pathlib import Path
from clipgaze_sdk._errors import InputError
from clipgaze_sdk.media.pictures import read_image
try:
    read_image(Path({str(path)!r}))
except InputError as error:
    print(error)
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    message, peak_kb = done.stdout.splitlines()
    assert "it has 20000x20000 px; expected sides of at most 32768 px and at most 134" in message
    assert int(peak_kb) < 400_000  # 2.4 GB when decoded


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_a_fifo_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    message = r"^cannot read image '[^']*a\.jpg': it is no file\. Check the path\.$"
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "a.jpg")


def test_a_picture_of_another_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(InputError, match=r"a\.jpg.*its format \(HEIC\) is none of bmp, jpeg"):
        read_image(tmp_path / "a.jpg")


def test_a_picture_whose_name_is_no_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.png"
    path.write_bytes(cv2.imencode(".png", gradient())[1].tobytes())
    np.testing.assert_array_equal(read_image(path), gradient())
    assert shown_name(path.name) == "caf\\xe9.png"
    assert shown_name("żółw 目.png") == "żółw 目.png"
