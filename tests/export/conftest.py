"""Fixtures of the export tests; each says why it skips."""

from __future__ import annotations

from pathlib import Path

import pytest

for module in ("onnx", "onnxruntime", "torch", "moderngl", "scipy", "timm", "safetensors"):
    pytest.importorskip(module, reason="tests of export need the extra [train]")

from tests.export.small_networks import write_gaze_network, write_shard  # noqa: E402


@pytest.fixture(scope="session")
def gaze_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small gaze network with its card; not to be changed."""
    return write_gaze_network(tmp_path_factory.mktemp("small") / "gaze.onnx")


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of normalised crops of drawn dots."""
    return write_shard(tmp_path_factory.mktemp("crops"))
