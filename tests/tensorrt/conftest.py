"""Fixtures of the tests of building and running engines on the double."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_networks import write_networks
from tests.tensorrt.graphs import write_graphs
from tests.tensorrt_double import VERSIONS, World, install


@pytest.fixture(params=VERSIONS)
def every_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """The double, once per version of TensorRT."""
    return install(monkeypatch, request.param)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The double of one version."""
    return install(monkeypatch)


@pytest.fixture(scope="session")
def gaze_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An FP32 gaze network with its FP16 and INT8 graphs beside it; not to be changed."""
    return write_graphs(tmp_path_factory.mktemp("graphs"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of one test, where engines go."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="session")
def fake_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three fake networks, which have no convolution; not to be changed."""
    return write_networks(tmp_path_factory.mktemp("fake_models"))
