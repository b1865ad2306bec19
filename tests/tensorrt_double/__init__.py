"""A double of the few calls of TensorRT and pycuda that the SDK makes, for a CPU.

ONNX Runtime computes, and host memory stands for the GPU's.  Whatever it offers is held against the
real bindings by ``tests/tensorrt/test_contract.py``, per version of TensorRT.
"""

from __future__ import annotations

import sys
import types

import pytest

from .cuda import make_cuda
from .trt import VERSIONS, make_tensorrt
from .world import World

__all__ = ["VERSIONS", "World", "install", "make_cuda", "make_tensorrt"]


def install(monkeypatch: pytest.MonkeyPatch, version: str = "10.13.3.9") -> World:
    """Put the double in the place of ``tensorrt`` and ``pycuda`` for one test."""
    world = World()
    driver = make_cuda(world)
    pycuda = types.ModuleType("pycuda")
    pycuda.driver = driver
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt(world, version))
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    return world
