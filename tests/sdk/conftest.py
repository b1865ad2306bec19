"""Fixtures of the SDK's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_networks import write_networks


@pytest.fixture(scope="session")
def fake_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all three fake networks and their cards; not to be changed."""
    return write_networks(tmp_path_factory.mktemp("fake_models"))
