"""Fixtures of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_assets() -> Path:
    """The folder with photographs, clips and the face model, which is not part of the project."""
    folder = ROOT.parent / "shared" / "assets"
    if not folder.is_dir():
        pytest.skip(f"needs the development assets in {folder}")
    return folder
