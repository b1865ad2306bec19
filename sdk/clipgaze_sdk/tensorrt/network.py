"""An ONNX graph compiled by TensorRT, with the same code on TensorRT 10 and 11.

The graph says the precision.  TensorRT 11 always obeys it; 10.x does when a network is made
strongly typed.  What a version can do is found out by its features, never by its number.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import BackendError, ConfigurationError, ModelError
from ..backends.cuda import tensorrt_log
from ..models.files import ModelFile
from .info import Profile

_ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_MEMORY = re.compile(r"out of memory|cudaErrorMemoryAllocation|OutOfMemory", re.IGNORECASE)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What engine to build.

    Raises:
        ConfigurationError: a value is outside its range, or two do not go together.
    """

    precision: str
    """"fp32", "fp16" or "int8"."""
    batch: tuple[int, int, int] | None = None
    """Min, opt and max of TensorRT's profile; None: 1, 1, 8 for crops, 1 for the face detector."""
    workspace_mib: int = 1024
    """GPU memory that a layer may use while it works."""
    dla_core: int | None = None
    """Deep learning accelerator of an Orin to use; FP16 and one batch size only."""
    timing_cache: Path | None = None
    """Kept from build to build, so that later ones are quicker."""

    def __post_init__(self) -> None:
        if self.batch is not None and not 1 <= self.batch[0] <= self.batch[1] <= self.batch[2]:
            raise ConfigurationError(
                f"batch is {self.batch}; expected three rising numbers of at least 1: min, "
                "opt, max, for instance 1,1,8."
            )
        if self.workspace_mib < 1:
            raise ConfigurationError(f"workspace is {self.workspace_mib} MiB; expected at least 1.")
        if self.timing_cache is not None and not self.timing_cache.parent.is_dir():
            raise ConfigurationError(
                f"cannot write {str(self.timing_cache)!r}: make its folder first."
            )
        one_size = self.batch is None or len(set(self.batch)) == 1
        if self.dla_core is not None and not (self.precision == "fp16" and one_size):
            raise ConfigurationError(
                f"a DLA was asked for with {self.precision} and batch {self.batch}; it takes FP16 "
                "and one batch size, for instance --fp16 --batch 1,1,1."
            )


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """What TensorRT made of a graph."""

    engine: bytes
    compute_layers: tuple[str, ...]
    """ONNX names of the convolutions and matrix products."""
    strongly_typed: bool
    timing_cache: bytes | None


def onnx_names(text: str) -> list[str]:
    """Return the ONNX nodes that a layer's metadata names."""
    return _ONNX_NODE.findall(text)


def is_strongly_typed(trt: Any, options: BuildOptions) -> bool:
    """Say whether this TensorRT is to be bound to the graph's types.

    TensorRT 11 knows nothing else.  Up to 10.11 strong typing of a quantised graph is not
    complete: it is from 10.12, which also brought the type E8M0.  There INT8 graphs, and
    everything on a DLA before TensorRT 11, take builder flags instead; that the flags led to the
    precision asked for is then known by the engine inspector alone.
    """
    if not hasattr(trt.BuilderFlag, "FP16"):
        return True
    can_be = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    is_complete = options.precision != "int8" or hasattr(trt.DataType, "E8M0")
    return can_be and is_complete and options.dla_core is None


def network_flags(trt: Any, options: BuildOptions) -> int:
    """Return the flags with which a network is created."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 1 << int(flag) if flag is not None and is_strongly_typed(trt, options) else 0


def precision_flags(trt: Any, options: BuildOptions, *, has_half: bool) -> list[Any]:
    """Return the builder flags that allow the precision; none where the graph's types bind.

    FP16 is allowed only where the graph has it, so that what an INT8 graph keeps in FP32 stays.
    """
    if is_strongly_typed(trt, options):
        return []
    half = [trt.BuilderFlag.FP16] if has_half else []
    return half + ([trt.BuilderFlag.INT8] if options.precision == "int8" else [])


def compile_graph(
    trt: Any, model: ModelFile, *, options: BuildOptions, shapes: Profile, progress: Say
) -> CompiledGraph:
    """Compile a graph; this takes minutes.

    Args:
        trt: the module ``tensorrt``.
        model: the graph.
        options: how.
        shapes: to compile it for.
        progress: called with a line for each step.

    Raises:
        ModelError: TensorRT cannot read the graph.
        ConfigurationError: there is no such DLA.
        BackendError: TensorRT failed.
    """
    log = tensorrt_log(trt)
    log.errors.clear()
    builder = trt.Builder(log)
    network = builder.create_network(network_flags(trt, options))
    _parse(trt, network, model)
    config = builder.create_builder_config()
    _configure(trt, builder, network, config, options=options)
    profile, tensor = builder.create_optimization_profile(), network.get_input(0)
    profile.set_shape(tensor.name, shapes.min, shapes.opt, shapes.max)
    config.add_optimization_profile(profile)
    cache = _attach_timing_cache(config, options.timing_cache, progress)
    with _interrupt_noted() as interrupted:
        if hasattr(trt, "IProgressMonitor"):
            monitor = _make_monitor(trt, progress, interrupted)  # held until the build is over
            config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
    if interrupted.is_set():  # where the handler outside did not raise
        raise KeyboardInterrupt
    if plan is None:
        reason, advice = log.take(), "Try --workspace with more memory, or another precision."
        if _MEMORY.search(reason):
            advice = (
                "The GPU has no memory left: close what else uses it, or give less by --workspace "
                f"(now {options.workspace_mib} MiB) and --batch."
            )
        raise BackendError(
            f"TensorRT {trt.__version__} cannot build {str(model.path)!r}: {reason}. {advice}"
        )
    return CompiledGraph(
        engine=bytes(plan),
        compute_layers=_compute_layers(trt, network),
        strongly_typed=is_strongly_typed(trt, options),
        timing_cache=None if cache is None else bytes(cache.serialize()),
    )


def _parse(trt: Any, network: Any, model: ModelFile) -> None:
    log = tensorrt_log(trt)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.data):
        reasons = [
            f"{error.node_operator()} {error.node_name()}: {error.desc()}".strip()
            for error in (parser.get_error(index) for index in range(parser.num_errors))
        ]
        raise ModelError(
            f"TensorRT {trt.__version__} cannot read {str(model.path)!r}: "
            f"{' '.join('; '.join(reasons).split()) or log.take()}. Its operators or its opset are "
            "newer than this TensorRT, or it is no model of this project."
        )


def _configure(trt: Any, builder: Any, network: Any, config: Any, *, options: BuildOptions) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    # Anything less, and the inspector does not tell the layers' types.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # On unless told, even in a strongly typed network; its mantissa is as short as FP16's.
    config.clear_flag(trt.BuilderFlag.TF32)
    for flag in precision_flags(trt, options, has_half=_has_half(trt, network)):
        config.set_flag(flag)
    if options.dla_core is not None:
        if options.dla_core >= builder.num_DLA_cores:
            raise ConfigurationError(
                f"DLA {options.dla_core} was asked for; TensorRT {trt.__version__} finds "
                f"{builder.num_DLA_cores} here. Leave out --dla."
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _attach_timing_cache(config: Any, path: Path | None, progress: Say) -> Any:
    """Return the cache that the build will fill; None if none is to be kept."""
    if path is None:
        return None
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ConfigurationError(f"timing cache {str(path)!r} cannot be read: {error}.") from error
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        progress("the timing cache is of another machine or TensorRT; a new one is begun")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _compute_layers(trt: Any, network: Any) -> tuple[str, ...]:
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    names: dict[str, None] = {}  # in order, each once
    for layer in _layers(network):
        if layer.type in kinds:
            names.update(dict.fromkeys(onnx_names(layer.metadata) or [layer.name]))
    return tuple(names)


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(index) for index in range(network.num_layers))


@contextmanager
def _interrupt_noted() -> Iterator[threading.Event]:
    """Turn Ctrl-C, and other signals that have a handler, into an event while TensorRT runs.

    It calls the logger and the monitor from C++, where an exception would end the process.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        noted.set()

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    handled = [n for n in numbers if n and callable(signal.getsignal(n))]
    before = {number: signal.signal(number, note) for number in handled}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])  # for whoever handles it outside


def _has_half(trt: Any, network: Any) -> bool:
    outputs = ((layer, index) for layer in _layers(network) for index in range(layer.num_outputs))
    return any(layer.get_output(i).dtype == trt.DataType.HALF for layer, i in outputs)


def _make_monitor(trt: Any, progress: Say, interrupted: threading.Event) -> Any:
    """Return a monitor that reports steps, and stops the build once interrupted."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(f"{phase_name}: {step + 1} of {self._steps.get(phase_name, step + 1)}")
            return not interrupted.is_set()

    return Monitor()
