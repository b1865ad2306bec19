"""The double of ``tensorrt``, in the shape of three real versions."""

from __future__ import annotations

import enum
import functools
import itertools
import json
import types
from typing import Any

import numpy as np
import onnx
import onnxruntime

from .graph_types import LAYER_TYPES, half_tensors, node_precision
from .world import World

VERSIONS = ("10.3.0", "10.13.3.9", "11.4.0.106")
_MAGIC = b"double of a TensorRT engine\n"
_NEWEST_OPSETS = {"10.3.0": 20}
_WORDS = {"fp32": "Float", "tf32": "TF32", "fp16": "Half", "int8": "Int8"}
_FORMATS = {
    "fp32": "Row major linear FP32",
    "tf32": "Row major linear TF32",
    "fp16": "Channel major FP16 format",
    "int8": "Int8",
}


def make_tensorrt(world: World, version: str) -> types.ModuleType:
    """Make the module of one version for one machine."""
    major, minor = (int(n) for n in version.split(".")[:2])
    module = types.ModuleType("tensorrt")
    module.__version__ = version
    for name, value in {**_enums(major, minor), **_classes(world, version, module)}.items():
        setattr(module, name, value)
    return module


def _enums(major: int, minor: int) -> dict[str, Any]:
    flags = ["GPU_FALLBACK", "TF32"] + (["FP16", "INT8"] if major < 11 else [])
    dtypes = ["FLOAT", "HALF", "INT8"] + (["E8M0"] if (major, minor) >= (10, 12) else [])
    names = {
        "BuilderFlag": flags,
        "DataType": dtypes,
        "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
        "LayerType": ["CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "CONSTANT", "SHUFFLE"],
        "MemoryPoolType": ["WORKSPACE"],
        "ProfilingVerbosity": ["LAYER_NAMES_ONLY", "DETAILED"],
        "DeviceType": ["GPU", "DLA"],
        "TensorIOMode": ["INPUT", "OUTPUT"],
        "LayerInformationFormat": ["ONELINE", "JSON"],
    }
    return {
        name: enum.IntEnum(name, {member: index for index, member in enumerate(members)})
        for name, members in names.items()
    }


def _classes(world: World, version: str, module: types.ModuleType) -> dict[str, Any]:
    is_eleven = version.startswith("11")
    strong = _enums(10, 0)["NetworkDefinitionCreationFlag"].STRONGLY_TYPED

    class Counted:
        """Something of which none may be left."""

        def __init__(self) -> None:
            world.live[type(self).__name__] += 1

        def __del__(self) -> None:
            world.live[type(self).__name__] -= 1

    class ILogger:
        class Severity(enum.IntEnum):
            INTERNAL_ERROR = 0
            ERROR = 1
            WARNING = 2

        def __init__(self) -> None:
            pass

        def log(self, severity: Severity, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def __init__(self) -> None:
            pass

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            raise NotImplementedError

        def phase_finish(self, phase_name: str) -> None:
            raise NotImplementedError

        def step_complete(self, phase_name: str, step: int) -> bool:
            raise NotImplementedError

    class IHostMemory(bytes):
        @property
        def nbytes(self) -> int:
            return len(self)

    class ITimingCache:
        def __init__(self, data: bytes) -> None:
            self._data = bytes(data)

        def serialize(self) -> IHostMemory:
            return IHostMemory(self._data or f"timings {version}".encode())

    class IOptimizationProfile:
        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self._shapes = (input, tuple(min), tuple(opt), tuple(max))

    class IBuilderConfig:
        def __init__(self) -> None:
            self.profiling_verbosity = module.ProfilingVerbosity.LAYER_NAMES_ONLY
            self.progress_monitor: IProgressMonitor | None = None
            self.default_device_type = module.DeviceType.GPU
            self.DLA_core = -1
            self._flags: set[Any] = {module.BuilderFlag.TF32}
            self._profile: IOptimizationProfile | None = None

        def set_flag(self, flag: Any) -> None:
            if not isinstance(flag, module.BuilderFlag):
                raise TypeError("set_flag(): incompatible function arguments")
            self._flags.add(flag)

        def clear_flag(self, flag: Any) -> None:
            self._flags.remove(flag)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._workspace = pool_size

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            self._profile = profile
            return 0

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            return cache._data in (b"", f"timings {version}".encode())

    class ITensor:
        def __init__(self, name: str, dtype: Any = None) -> None:
            self.name = name
            self.dtype = dtype

    class ILayer:
        def __init__(self, node: onnx.NodeProto, kind: str, halves: set[str]) -> None:
            self.name = node.name
            self.metadata = f"[ONNX Layer: {node.name}]"
            self.type = module.LayerType[kind]
            self.num_outputs = len(node.output)
            self._outputs = [
                ITensor(n, module.DataType.HALF if n in halves else module.DataType.FLOAT)
                for n in node.output
            ]

        def get_output(self, index: int) -> ITensor:
            return self._outputs[index]

    class INetworkDefinition:
        def __init__(self, flags: int) -> None:
            self._strong = is_eleven or bool(flags & (1 << strong))
            self._model: onnx.ModelProto | None = None
            self._layers: list[ILayer] = []

        @property
        def num_layers(self) -> int:
            return len(self._layers)

        def get_layer(self, index: int) -> ILayer:
            return self._layers[index]

        def get_input(self, index: int) -> ITensor:
            return ITensor(self._model.graph.input[index].name)

    class ParserError:
        def __init__(self, node: str, operator: str, text: str) -> None:
            self._texts = (node, operator, text)

        def desc(self) -> str:
            return self._texts[2]

        def node_name(self) -> str:
            return self._texts[0]

        def node_operator(self) -> str:
            return self._texts[1]

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
            self._network = network
            self._errors: list[ParserError] = []

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

        def parse(self, model: bytes, path: str | None = None) -> bool:
            proto = onnx.load_model_from_string(bytes(model))
            opset = proto.opset_import[0].version
            if opset > _NEWEST_OPSETS.get(version, 22):
                self._errors.append(ParserError("", "", f"opset {opset} is not supported"))
            for node in proto.graph.node:
                if node.op_type == "NonZero":
                    self._errors.append(ParserError(node.name, node.op_type, "no importer"))
            self._network._model = proto
            halves = half_tensors(proto)
            self._network._layers = [
                ILayer(node, LAYER_TYPES.get(node.op_type, "SHUFFLE"), halves)
                for node in proto.graph.node
            ]
            return not self._errors

    class Builder(Counted):
        def __init__(self, logger: ILogger) -> None:
            super().__init__()
            self._log = logger

        @property
        def num_DLA_cores(self) -> int:
            return world.dla_cores

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> IHostMemory | None:
            world.building += 1
            if world.faults.build:
                self._log.log(ILogger.Severity.ERROR, world.faults.build)
                return None
            if not _report_steps(config.progress_monitor):
                return None
            header = {
                "version": version,
                "gpu": list(world.compute_capability),
                "profile": config._profile._shapes,
                "detailed": config.profiling_verbosity == module.ProfilingVerbosity.DETAILED,
                "precisions": _precisions(network, config),
            }
            text = json.dumps(header).encode() + b"\n"
            return IHostMemory(_MAGIC + text + network._model.SerializeToString())

    def _report_steps(monitor: IProgressMonitor | None) -> bool:
        if monitor is None:
            return True
        monitor.phase_start("Building Engine", None, 3)
        going_on = all(monitor.step_complete("Building Engine", step) for step in range(3))
        monitor.phase_finish("Building Engine")
        return going_on

    def _precisions(network: INetworkDefinition, config: IBuilderConfig) -> dict[str, str]:
        allowed = {flag.name for flag in config._flags}
        found = {}
        for node in network._model.graph.node:
            if node.op_type in LAYER_TYPES:
                precision = node_precision(network._model, node)
                if not network._strong:  # flags allow, the graph only hints
                    if precision == "int8" and "INT8" not in allowed:
                        precision = "fp16"
                    if precision == "fp16" and "FP16" not in allowed:
                        precision = "fp32"
                precision = "fp32" if world.faults.ignore_precision else precision
                if precision == "fp32" and "TF32" in allowed:
                    precision = "tf32"
                found[node.name] = precision
        return found

    class Runtime(Counted):
        def __init__(self, logger: ILogger) -> None:
            super().__init__()
            self._log = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            if not serialized_engine.startswith(_MAGIC):
                self._log.log(ILogger.Severity.ERROR, "Magic tag does not match")
                return None
            header, _, model = serialized_engine[len(_MAGIC) :].partition(b"\n")
            info = json.loads(header)
            if info["version"] != version or info["gpu"] != list(world.compute_capability):
                self._log.log(ILogger.Severity.ERROR, "The engine plan file is not compatible")
                return None
            return ICudaEngine(info, model, self._log)

    class ICudaEngine(Counted):
        def __init__(self, info: dict[str, Any], model: bytes, log: ILogger) -> None:
            super().__init__()
            self._info, self._log = info, log
            self._session = _session(model)
            self._inputs = self._session.get_inputs()
            self._tensors = {t.name: t for t in (*self._inputs, *self._session.get_outputs())}
            self._shapes: dict[tuple[int, ...], dict[str, tuple[int, ...]]] = {}

        @property
        def num_io_tensors(self) -> int:
            return len(self._tensors)

        def get_tensor_name(self, index: int) -> str:
            return list(self._tensors)[index]

        def get_tensor_mode(self, name: str) -> Any:
            is_input = name in {t.name for t in self._inputs}
            return module.TensorIOMode.INPUT if is_input else module.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return module.DataType.HALF if "16" in self._tensors[name].type else _float()

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return tuple(n if isinstance(n, int) else -1 for n in self._tensors[name].shape)

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            return [tuple(shape) for shape in self._info["profile"][1:]]

        def create_execution_context(self) -> IExecutionContext | None:
            return None if world.faults.no_context else IExecutionContext(self)

        def create_engine_inspector(self) -> EngineInspector:
            return EngineInspector(self)

        def _output_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
            if shape not in self._shapes:
                images = np.zeros(shape, np.float32)
                values = self._session.run(None, {self._inputs[0].name: images})
                names = [t.name for t in self._session.get_outputs()]
                self._shapes[shape] = {n: v.shape for n, v in zip(names, values, strict=True)}
            return self._shapes[shape]

    def _float() -> Any:
        return module.DataType.FLOAT

    class IExecutionContext(Counted):
        def __init__(self, engine: ICudaEngine) -> None:
            super().__init__()
            self._engine = engine
            self._shape: tuple[int, ...] | None = None
            self._addresses: dict[str, int] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            _, least, _, most = self._engine._info["profile"]
            if not all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True)):
                self._engine._log.log(ILogger.Severity.ERROR, "Supplied shape is out of range")
                return False
            self._shape = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            if self._shape is None or name == self._engine._inputs[0].name:
                return self._shape or self._engine.get_tensor_shape(name)
            return self._engine._output_shapes(self._shape)[name]

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return memory in world.memory

        def execute_async_v3(self, stream_handle: int) -> bool:
            if world.faults.execute:
                self._engine._log.log(ILogger.Severity.ERROR, "Cask convolution execution")
                return False
            shape, addresses = self._shape, dict(self._addresses)
            world.streams[stream_handle].append(lambda: self._run(shape, addresses))
            return True

        def _run(self, shape: tuple[int, ...], addresses: dict[str, int]) -> None:
            session, name = self._engine._session, self._engine._inputs[0].name
            count = int(np.prod(shape))
            images = world.memory[addresses[name]].view(np.float32)[:count].reshape(shape)
            values = session.run(None, {name: images})
            for tensor, value in zip(session.get_outputs(), values, strict=True):
                data = np.ascontiguousarray(value + world.faults.add_to_outputs, value.dtype)
                bytes_ = data.reshape(-1).view(np.uint8)
                world.memory[addresses[tensor.name]][: bytes_.size] = bytes_

    class EngineInspector:
        def __init__(self, engine: ICudaEngine) -> None:
            self.execution_context: IExecutionContext | None = None
            self._engine = engine

        def get_engine_information(self, format: Any) -> str:
            info = self._engine._info
            if world.faults.names_only or not info["detailed"]:
                return json.dumps({"Layers": list(info["precisions"])})
            shapes_known = self.execution_context is not None and self.execution_context._shape
            layers = _described(info["precisions"], bool(shapes_known), is_eleven)
            names = list(self._engine._tensors)
            io = {"I/O Tensors": [{"Name": n} for n in names]} if is_eleven else {"Bindings": names}
            # TensorRT leaves the control characters between names as they are.
            return json.dumps({"Layers": layers, **io}).replace("\\u001e", "\x1e")

    def nptype(trt_type: Any) -> type:
        return {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8}[trt_type.name]

    besides = ("world", "version", "module", "is_eleven", "strong", "Counted", "besides")
    return {k: v for k, v in locals().items() if k not in besides and not k.startswith("_")}


@functools.lru_cache(maxsize=4)
def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model, sess_options=options, providers=["CPUExecutionProvider"]
    )


def _described(
    precisions: dict[str, str], shapes_known: bool, is_eleven: bool
) -> list[dict[str, Any]]:
    """Describe the layers in the forms that are known, one after another."""
    layers: list[dict[str, Any]] = []
    forms = itertools.cycle(("cask", "myelin", "types"))
    for (name, precision), form in zip(precisions.items(), forms, strict=False):
        metadata = f"[ONNX Layer: {name}]\x1e[ONNX Layer: {name}/Relu]"
        tensor = _tensor(precision, shapes_known, is_eleven)
        before = f"Reformatting CopyNode for Input Tensor 0 to {name}"
        other = _tensor("fp32", shapes_known, is_eleven)
        layers.append({"Name": before, "LayerType": "Reformat", "Inputs": [other]})
        layers.append({"Name": f"{name}_w", "LayerType": "Constant", "Metadata": metadata})
        layer = {"Name": name, "Inputs": [tensor], "Outputs": [tensor], "Metadata": metadata}
        if form == "cask":
            kind = {"LayerType": "CaskConvolution", "ParameterType": "Convolution"}
            layer |= {**kind, "Weights": {"Type": _WORDS[precision], "Count": 8}}
        elif form == "myelin":
            word = {"fp32": "f32", "tf32": "tf32", "fp16": "f16", "int8": "i8"}[precision]
            short = word * 2
            layer |= {"Name": "__myl_Conv_myl0_1", "LayerType": "fusion"}
            layer["TacticName"] = f"sm80_xmma_fprop_implicit_gemm_{short}_f32_f32_nhwc"
        else:  # an older one, which names its nodes in its own name
            layer |= {"Name": f"{name} + {name}/Relu", "LayerType": "Convolution", "Metadata": ""}
        layers.append(layer)
    return layers


def _tensor(precision: str, shapes_known: bool, is_eleven: bool) -> dict[str, Any]:
    if not shapes_known:
        return {"Name": "x", "Format/Datatype": "N/A due to dynamic shapes"}
    if is_eleven:
        return {"Name": "x", "Format": "Row major linear", "DataType": _WORDS[precision]}
    return {"Name": "x", "Format/Datatype": _FORMATS[precision]}
