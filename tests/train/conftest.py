"""Fixtures of the training tests; each says why it skips."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

for module in ("torch", "moderngl", "scipy", "h5py", "lightning", "open_clip", "sklearn", "timm"):
    pytest.importorskip(module, reason="training tests need the extra [train]")


@pytest.fixture(scope="session")
def facekit_folder(shared_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ICT-FaceKit, unpacked once per session."""
    archive = shared_assets / "ICT-FaceKit.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not among the shared assets")
    folder = tmp_path_factory.mktemp("facekit")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "FaceXModel"


@pytest.fixture(scope="session")
def kit(facekit_folder: Path):  # type: ignore[no-untyped-def]
    from train.synth.figure.facekit import load_facekit

    return load_facekit(facekit_folder)


@pytest.fixture(scope="session")
def studio(kit):  # type: ignore[no-untyped-def]
    """Draws; tests share it, so that the session has one OpenGL context."""
    from train.synth.outputs.studio import Studio

    try:
        return Studio(kit)
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def renderer(studio):  # type: ignore[no-untyped-def]
    return studio.renderer


@pytest.fixture(scope="module")
def xgaze(tmp_path_factory):  # type: ignore[no-untyped-def]
    """A tiny folder in the format of ETH-XGaze."""
    from tests.train.made_data import make_xgaze

    return make_xgaze(tmp_path_factory.mktemp("xgaze"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):  # type: ignore[no-untyped-def]
    """Two small shards of crops."""
    from tests.train.made_data import make_rendered

    return make_rendered(tmp_path_factory.mktemp("rendered") / "crops")
