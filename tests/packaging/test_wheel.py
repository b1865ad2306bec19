"""The built wheel: what is in it, and that it works where nothing else of the project is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

MAX_BYTES = 30_000_000
COPIED_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
COPIED_FOLDERS = ("sdk", "cpp_ext", "train", "export", "samples", "docs", "scripts")
FOREIGN = ("train", "export", "samples", "tests", "cpp_ext", "docs", "scripts")


def pip(*arguments: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Built from a copy, so that nothing of an earlier build in the working tree gets in.
    source = tmp_path_factory.mktemp("source")
    skipped = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__", "weights")
    for name in COPIED_FOLDERS:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, source / name, ignore=skipped)
    for name in COPIED_FILES:
        shutil.copy(repository / name, source / name)
    output = tmp_path_factory.mktemp("wheel")
    pip(
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(output),
        folder=source,
    )
    (built,) = output.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_has_what_a_user_needs(names: list[str], repository: Path):
    package = repository / "sdk" / "clipgaze_sdk"
    expected = [path for path in package.rglob("*.py") if "__pycache__" not in path.parts]
    expected += [package / "py.typed", package / "_core.pyi"]
    expected += [p for kind in ("onnx", "delta", "json") for p in package.glob(f"models/*.{kind}")]
    missing = {path.relative_to(package.parent).as_posix() for path in expected} - set(names)
    assert not missing
    assert any(name.startswith("clipgaze_sdk/_core.") and name.endswith(".so") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_has_nothing_else(names: list[str]):
    tops = {name.split("/")[0] for name in names}
    assert not tops & set(FOREIGN)
    assert tops - {"clipgaze_sdk"} == {top for top in tops if top.endswith(".dist-info")}
    kinds = {Path(name).suffix for name in names if name.startswith("clipgaze_sdk/")}
    assert kinds <= {".py", ".pyi", ".typed", ".so", ".onnx", ".delta", ".json"}
    graphs = {name.rpartition("/")[2] for name in names if name.endswith(".onnx")}
    tasks = ("face_detector", "face_landmarks", "gaze")
    assert graphs == {f"{task}{kind}.onnx" for task in tasks for kind in ("", ".int8_cpu")}


def test_is_small(wheel: Path):
    assert wheel.stat().st_size < MAX_BYTES


def test_works_on_its_own(wheel: Path, tmp_path: Path):
    pip("install", "--no-deps", "--no-index", "--target", "site", str(wheel), folder=tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import clipgaze_sdk, numpy as np\n"
        "from clipgaze_sdk import geometry, kernels\n"
        "assert clipgaze_sdk.__file__.startswith(sys.argv[1]), clipgaze_sdk.__file__\n"
        "image = np.full((4, 4, 3), 255, np.uint8)\n"
        "crop = kernels.warp_normalize(image, np.eye(3)[None], width=2, height=2,"
        " mean=(0, 0, 0), std=(1, 1, 1))\n"
        "assert abs(crop - 1).max() < 1e-6\n"
        "for name in clipgaze_sdk.__all__: getattr(clipgaze_sdk, name)\n"
        "import hashlib, pathlib\n"
        "from clipgaze_sdk.models.files import bundled_names, find_model_file\n"
        "assert len(bundled_names()) == 12\n"
        "for name in bundled_names():\n"
        "    file = find_model_file(pathlib.Path(name))\n"
        "    assert hashlib.sha256(file.data).hexdigest() == file.card.sha256, name\n"
        "assert not {'onnx', 'onnxruntime', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "site")], cwd=tmp_path, check=True)
    console = tmp_path / "site" / "bin" / "clipgaze"
    assert console.is_file()


def test_missing_compiled_module_says_how_to_build_it(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for module in (tmp_path / "site" / "clipgaze_sdk").glob("_core.*.so"):
        module.unlink()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import clipgaze_sdk.kernels"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "ImportError: The compiled module clipgaze_sdk._core" in done.stderr
    assert "python -m pip install -e ." in done.stderr
