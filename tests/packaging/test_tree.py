"""How large the repository may be, and how many lines its parts have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

MAX_MIB = 45
MAX_SDK_LINES = 7400
"""7,200 until networks could look at sheets of the eyes, with irises in their answers."""
MAX_FILE_LINES = 450
MAX_FLAT_FILES = {"sdk/clipgaze_sdk": 16, "train": 8}


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """The files that git knows, relative to the root."""
    if not (repository / ".git").exists():
        pytest.skip("needs a checkout by git")
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    paths = [Path(name) for name in done.stdout.split("\0") if name]
    return [path for path in paths if (repository / path).is_file()]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_a_checkout_is_small(tracked: list[Path], repository: Path):
    assert sum((repository / path).stat().st_size for path in tracked) <= MAX_MIB * 2**20


def test_the_sdk_is_small(tracked: list[Path], repository: Path):
    own = [path for path in tracked if path.parts[0] == "sdk" and path.suffix == ".py"]
    assert sum(lines(repository / path) for path in own) <= MAX_SDK_LINES


def test_no_file_is_long(tracked: list[Path], repository: Path):
    sources = [
        path
        for path in tracked
        if path.parts[0] != "tests" and path.suffix in {".py", ".cpp", ".hpp"}
    ]
    long = {str(path): n for path in sources if (n := lines(repository / path)) > MAX_FILE_LINES}
    assert not long


@pytest.mark.parametrize("folder", MAX_FLAT_FILES)
def test_few_files_lie_flat(folder: str, tracked: list[Path]):
    flat = [path for path in tracked if path.parent == Path(folder) and path.suffix == ".py"]
    assert len(flat) <= MAX_FLAT_FILES[folder], sorted(map(str, flat))
