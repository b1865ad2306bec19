"""The real bindings of three versions of TensorRT, importable without its libraries.

The wheels hold the compiled Python bindings alone.  These need three libraries and a few of their
functions to be loaded; empty ones, compiled here, will do for looking at names and arguments.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

REQUIREMENTS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu13-bindings==10.13.3.9.post1",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
PYCUDA = "pycuda==2026.1"
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
_SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


def describe_version(version: str, cache: Path, scratch: Path) -> dict[str, Any]:
    """Return what the real bindings of a version offer; skips where they cannot be had."""
    wheel = _from_index(REQUIREMENTS[version], cache / version, "install", "--target")
    major = version.partition(".")[0]
    stubs = _compile_stubs(scratch, major)
    script = Path(__file__).with_name("describe_bindings.py")
    sdk = Path(__file__).parents[2] / "sdk"
    done = subprocess.run(
        [sys.executable, str(script)],
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(stubs),
            "PYTHONPATH": os.pathsep.join((str(wheel), str(sdk))),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pycuda_sources(cache: Path) -> dict[str, str]:
    """Return pycuda's files by name: the C++ of its driver and what Python adds."""
    folder = _from_index(
        PYCUDA,
        cache / PYCUDA,
        "download",
        *("--no-binary", ":all:", "--no-build-isolation", "--dest"),
    )
    (archive,) = folder.glob("*.tar.gz")
    found = {}
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            name = Path(member.name).name
            if name in ("wrap_cudadrv.cpp", "driver.py"):
                found[name] = files.extractfile(member).read().decode()
    return found


def _from_index(requirement: str, folder: Path, *command: str) -> Path:
    """Fetch a distribution once, and keep it."""
    if folder.is_dir() and any(folder.iterdir()):
        return folder
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", *command, str(partial)]
    words += ["--no-deps", "--quiet", "--retries", "1", "--timeout", "15", requirement]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=180)
        problem = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    except subprocess.TimeoutExpired:
        problem = "it took too long"
    if problem:
        pytest.skip(f"{requirement} cannot be had from the package index: {problem}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)
    return folder


def _compile_stubs(scratch: Path, major: str) -> Path:
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        pytest.skip("there is no C compiler for the stand-ins of TensorRT's libraries")
    scratch.mkdir(parents=True, exist_ok=True)
    source = scratch / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _SYMBOLS))
    for library in _LIBRARIES:
        output = scratch / f"lib{library}.so.{major}"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", output, source], check=True)
    return scratch


def signatures(docstring: str, name: str) -> list[tuple[list[str], int, str]]:
    """Read pybind's docstring: of each overload the arguments, how many are needed, the result."""
    found = []
    for match in re.finditer(rf"(?:^|\d\. ){re.escape(name)}\((.*)\) -> (.+)$", docstring, re.M):
        arguments = [part for part in _split(match[1]) if part not in ("*args", "**kwargs")]
        names = [part.partition(":")[0].strip() for part in arguments]
        needed = sum("=" not in part for part in arguments)
        if names and names[0] in ("self", "arg0"):
            names, needed = names[1:], needed - 1
        found.append((names, needed, match[2].strip()))
    return found


def _split(text: str) -> list[str]:
    """Split at commas that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{<") - (character in ")]}>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
