"""Run in a process of its own: describes the real bindings, and runs our branches on them."""

from __future__ import annotations

import enum
import importlib
import json
import sys
from typing import Any


def describe(module: Any) -> dict[str, Any]:
    """Return each class with its members' docstrings, and each function of the module."""
    found: dict[str, Any] = {}
    for name in dir(module):
        value = getattr(module, name)
        if not isinstance(value, type):
            found[name] = {"": _text(value)}
            continue
        # Without what every class has: only the binding's own constructor counts.
        plain = set(dir(object)) - {"__init__"}
        members = {key: _text(getattr(value, key)) for key in dir(value) if key not in plain}
        members["__enum__"] = ",".join(getattr(value, "__members__", {}))
        found[name] = members
        for inner, kind in vars(value).items():
            if isinstance(kind, type) and not issubclass(kind, enum.Enum):
                found[f"{name}.{inner}"] = {"__enum__": ",".join(kind.__members__)}
    return found


def _text(value: Any) -> str:
    return str(getattr(value, "__doc__", "") or "")


def branches(module: Any) -> dict[str, Any]:
    """Run what depends on the version, on the real enums and base classes."""
    import threading

    from clipgaze_sdk.backends import cuda as _cuda
    from clipgaze_sdk.tensorrt import network as network

    trt = _cuda.import_tensorrt()
    assert trt is module
    answers: dict[str, Any] = {"version": trt.__version__}
    for precision in ("fp32", "fp16", "int8"):
        for dla_core in (None, 0):
            if dla_core is not None and precision != "fp16":
                continue
            options = network.BuildOptions(precision=precision, dla_core=dla_core)
            answers[f"{precision} {'gpu' if dla_core is None else 'dla'}"] = [
                network.is_strongly_typed(trt, options),
                network.network_flags(trt, options),
                [
                    [flag.name for flag in network.precision_flags(trt, options, has_half=half)]
                    for half in (False, True)
                ],
            ]
    log = _cuda.tensorrt_log(trt)
    log.log(trt.ILogger.Severity.WARNING, "nothing")
    log.log(trt.ILogger.Severity.ERROR, "it  broke")
    answers["log"] = [isinstance(log, trt.ILogger), log.take(), log.take()]
    lines: list[str] = []
    interrupted = threading.Event()
    monitor = network._make_monitor(trt, lines.append, interrupted)
    monitor.phase_start("Building", None, 2)
    going_on = monitor.step_complete("Building", 0)
    interrupted.set()
    answers["monitor"] = [
        isinstance(monitor, trt.IProgressMonitor),
        going_on,
        monitor.step_complete("Building", 1),
        lines,
    ]
    monitor.phase_finish("Building")
    types = [str(trt.nptype(kind).__name__) for kind in (trt.DataType.FLOAT, trt.DataType.HALF)]
    answers["nptype"] = types
    return answers


if __name__ == "__main__":
    bindings = importlib.import_module("tensorrt_bindings")
    sys.modules["tensorrt"] = bindings
    json.dump({"classes": describe(bindings), "branches": branches(bindings)}, sys.stdout)
