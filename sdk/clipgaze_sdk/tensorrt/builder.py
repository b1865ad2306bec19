"""From a model's graph to a TensorRT engine and its side-car, checked before they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._errors import BackendError, ConfigurationError, InputError, ModelError
from ..backends.cuda import gpu_context, import_cuda, import_tensorrt, this_machine
from ..backends.engine_runner import EngineRunner
from ..backends.onnx_runtime import OnnxRuntimeBackend
from ..models.cards import TASK_OUTPUTS, ModelCard
from ..models.files import BUNDLED_FOLDER, ModelFile, find_model_file, load_model_file
from ..models.json_files import read_json
from ..writing import check_writable, write_files
from .info import ENGINE_SUFFIX, EngineInfo, Machine, Profile, sidecar_path
from .network import BuildOptions, CompiledGraph, Say, compile_graph
from .precision import check_compute_layers, read_layers

_SAMPLES, _SQUARES = 4, 16
_TOLERANCES = {"fp32": 0.01, "fp16": 0.05, "int8": 0.25}
"""Largest difference to ONNX Runtime on the same graph, in units of an output's largest magnitude.
They are wide: they find an engine that computes something else.  What a precision costs in degrees
is measured by ``export/verify.py``, on real crops."""
_OPT_ASPECT = 16 / 9
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CheckedGraph:
    """A graph that ONNX Runtime runs, and what it answers there."""

    source: str
    model: ModelFile
    base_sha256: str
    """Of the FP32 file."""
    images: NDArray[np.float32]
    expected: Outputs


def find_graph(source: str, precision: str) -> tuple[ModelFile, str]:
    """Return the graph that has a precision, and the SHA-256 of its FP32 file.

    Args:
        source: a bundled network's name, or the path of an FP32 ``NAME.onnx`` with
            ``NAME.fp16.onnx`` and ``NAME.int8.onnx`` beside it, or of one of these.
        precision: "fp32", "fp16" or "int8".

    Raises:
        ModelError: a file is missing, damaged, or made from another model or for another runtime.
        ConfigurationError: the file given has another precision, or is for another runtime.
    """
    if Path(source).suffix == ENGINE_SUFFIX:
        raise ConfigurationError(f"{source!r} is an engine already; give the .onnx file.")
    name = f"{source}.onnx" if source in TASK_OUTPUTS else source
    given = find_model_file(Path(name))
    card = given.card
    if card.precision == "fp32" and precision != "fp32":
        return _graph_beside(given, precision), card.sha256
    if card.precision != precision:
        raise ConfigurationError(
            f"{source!r} is a graph of {card.precision}, and {precision} was asked for; give the "
            "FP32 file, or the other precision."
        )
    if not _is_for_tensorrt(card):
        stem = given.path.stem
        right = given.path.with_name(f"{stem.rpartition('.')[0] or stem}.{precision}.onnx")
        raise ConfigurationError(
            f"{source!r} is a graph of {precision} for {', '.join(card.runs_on)}, which TensorRT "
            f"cannot build; give {str(right)!r}, or the FP32 file."
        )
    return given, card.base_sha256 or card.sha256


def _graph_beside(base: ModelFile, precision: str) -> ModelFile:
    path = base.path.with_name(f"{base.path.stem}.{precision}.onnx")
    make = f"python export/precisions.py {base.path} --calibration DIR"
    make = f"Make it, in the project's repository: {make}"
    try:
        graph = load_model_file(path)
    except ModelError as error:
        has_none = f"{str(base.path)!r} has no graph of {precision}"
        raise ModelError(f"{has_none}: {error} {make}") from error
    card = graph.card
    if card.precision != precision or not _is_for_tensorrt(card):
        is_of = f"is of {card.precision} for {', '.join(card.runs_on) or 'any runtime'}"
        raise ModelError(f"graph {str(path)!r} {is_of}; expected {precision} for TensorRT. {make}")
    if card.base_sha256 != base.card.sha256:
        raise ModelError(
            f"graph {str(path)!r} was made from a model with SHA-256 "
            f"{card.base_sha256 or 'unknown'}; {str(base.path)!r} has {base.card.sha256}. {make}"
        )
    return graph


def _is_for_tensorrt(card: ModelCard) -> bool:
    return not card.runs_on or "tensorrt" in card.runs_on


def check_graph(source: str, options: BuildOptions, *, threads: int) -> CheckedGraph:
    """Find a graph and run it on sample images in ONNX Runtime.

    Raises:
        ModelError, ConfigurationError: as :func:`find_graph`, or the graph is not what its card
            says.
        BackendError: it does not run, or gives numbers that are not finite.
    """
    model, base_sha256 = find_graph(source, options.precision)
    if model.path.parent == BUNDLED_FOLDER:  # by whatever name it was asked for
        source = model.card.task
    shape = profile_of(model.card, options).opt
    images = sample_images(model.card, (_SAMPLES, *shape[1:]))
    with closing(OnnxRuntimeBackend(model, threads=threads)) as backend:
        expected = backend.run(images)
    for name, values in expected.items():
        if not np.all(np.isfinite(values)):
            raise BackendError(
                f"{str(model.path)!r} gives {name} that is not finite on sample images in ONNX "
                "Runtime; such a graph cannot be used. Take another precision."
            )
    return CheckedGraph(source, model, base_sha256, images, expected)


def check_engine_output(output: Path, *, base_sha256: str, precision: str, force: bool) -> None:
    """Refuse an output that cannot be written, or that would take the place of another engine.

    The same model in the same precision may be built again.

    Raises:
        ConfigurationError: the name or the folder is wrong, or another engine is there.
        InputError: nothing can be written there.
    """
    if output.suffix != ENGINE_SUFFIX:
        raise ConfigurationError(f"output {str(output)!r} is no engine; expected *.engine.")
    if output.is_dir() or not output.parent.is_dir():
        reason = "it is a folder" if output.is_dir() else "make its folder first"
        raise ConfigurationError(f"cannot write {str(output)!r}: {reason}.")
    if output.exists() and not force:
        there = None
        with suppress(ModelError, KeyError, TypeError):
            data = read_json(sidecar_path(output), what="side-car")
            there = (str(data["engine"]["base_sha256"]), str(data.get("precision", "fp32")))
        if there != (base_sha256, precision):
            what = "another model or precision" if there else "an engine without a side-car"
            raise ConfigurationError(
                f"{str(output)!r} is there already, of {what}. Give another --output, or --force."
            )
    check_writable(output)  # before minutes of work, not after


def build_engine(
    graph: CheckedGraph, output: Path, *, options: BuildOptions, say: Say, progress: Say
) -> EngineInfo:
    """Compile a graph, check the engine, and write it with its side-car.

    The engine is written only if every convolution and matrix product has the precision asked for,
    except those that the graph's card keeps out, and if it agrees with ONNX Runtime.

    Args:
        graph: of :func:`check_graph`.
        output: the engine; its side-car lies beside it.
        options: what to build.
        say: called with lines for a person.
        progress: called with a line for each step of TensorRT.

    Raises:
        MissingRuntimeError: TensorRT, pycuda or a GPU is missing.
        ModelError, ConfigurationError, BackendError: as their messages say; nothing is written.
        InputError: the output cannot be written.
    """
    trt, cuda = import_tensorrt(), import_cuda()
    card, machine = graph.model.card, this_machine(trt, cuda)
    say(
        f"building {output} from {graph.model.path.name} for {machine.gpu_name}, TensorRT "
        f"{machine.tensorrt_version}; the first build takes minutes"
    )
    with gpu_context(cuda):
        shapes = profile_of(card, options)
        compiled = compile_graph(
            trt, graph.model, options=options, shapes=shapes, progress=progress
        )
    info = _checked_info(graph, compiled, machine, options, str(output))
    sha256 = hashlib.sha256(compiled.engine).hexdigest()
    entries = {**card.entries, "file": output.name, "sha256": sha256, "engine": asdict(info)}
    sidecar = f"{json.dumps(entries, indent=2)}\n".encode()
    write_files({output: compiled.engine, sidecar_path(output): sidecar})
    if options.timing_cache is not None and compiled.timing_cache is not None:
        try:
            write_files({options.timing_cache: compiled.timing_cache})
        except InputError as error:  # the engine is there all the same
            say(f"note: {error}")
    return info


def _checked_info(
    graph: CheckedGraph, compiled: CompiledGraph, machine: Machine, options: BuildOptions, name: str
) -> EngineInfo:
    """Run the engine, compare it with ONNX Runtime, and look up its layers."""
    card = graph.model.card
    told = card.entries.get("calibration")
    calibrated = told if isinstance(told, dict) else {}
    with closing(EngineRunner(compiled.engine, name=name)) as runner:
        card.check_tensors(inputs=runner.inputs, outputs=runner.outputs)
        compute_layers = check_compute_layers(
            read_layers(runner.layers()),
            compiled.compute_layers,
            precision=options.precision,
            excluded=card.excluded_layers,
        )
        parity = _compare(graph.expected, runner.run(graph.images), options.precision)
    return EngineInfo(
        machine=machine,
        source=graph.source,
        base_sha256=graph.base_sha256,
        onnx_sha256=card.sha256,
        calibration_sha256=str(calibrated.get("sha256", "")),
        arguments=_arguments(graph.source, options),
        profile=runner.profile,
        strongly_typed=compiled.strongly_typed,
        compute_layers=compute_layers,
        parity=parity,
    )


def profile_of(card: ModelCard, options: BuildOptions) -> Profile:
    """Return the shapes that an engine is built for.

    A free height and width are the face detector's: from one step of its strides to the card's
    longest side, and usually that of a 16:9 image.

    Raises:
        ConfigurationError: the graph has a fixed batch, or a DLA would see many sizes.
    """
    one_by_one = card.task == "face_detector" or options.dla_core is not None
    batch = options.batch or ((1, 1, 1) if one_by_one else (1, 1, 8))
    fixed, channels, height, width = card.inputs[0].shape
    if isinstance(fixed, int):
        raise ConfigurationError(
            f"{card.file!r} takes batches of {fixed} alone; expected a free batch. Export it "
            "without --batch: an engine's sizes are given here."
        )
    if isinstance(height, int) and isinstance(width, int):
        sizes = [(height, width)] * 3
    elif options.dla_core is not None:
        raise ConfigurationError(
            f"a DLA was asked for the {card.task}, whose images have many sizes; a DLA takes one. "
            "Leave out --dla."
        )
    else:
        step = int(card.number("multiple_px"))
        longest = -(-int(max(card.numbers("long_side_px"))) // step) * step
        usual = -(-round(longest / _OPT_ASPECT) // step) * step
        sizes = [(step, step), (usual, longest), (longest, longest)]
    low, best, high = ((n, int(channels), *size) for n, size in zip(batch, sizes, strict=True))
    return Profile(low, best, high)


def sample_images(card: ModelCard, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return normalised images (N, 3, H, W) of coloured squares, the same on every machine."""
    count, channels, height, width = shape
    coarse = np.random.default_rng(0).uniform(0.0, 1.0, (count, channels, _SQUARES, _SQUARES))
    rows, columns = (np.arange(n) * _SQUARES // n for n in (height, width))
    pixels = coarse[:, :, rows[:, None], columns]
    mean, std = (np.array(v)[:, None, None] for v in card.mean_std())
    return np.ascontiguousarray((pixels - mean) / std, dtype=np.float32)


def _compare(expected: Outputs, found: Outputs, precision: str) -> dict[str, float]:
    parity = {}
    for name, values in expected.items():
        scale = max(float(np.abs(values).max()), 1e-6)
        off = float(np.abs(found[name].astype(np.float64) - values).max()) / scale
        parity[name] = off if np.isfinite(off) else np.inf
    apart, worst = max((apart, name) for name, apart in parity.items())
    if apart > (limit := _TOLERANCES[precision]):
        raise BackendError(
            f"the engine's {worst} differs from ONNX Runtime's by {apart:.3g} of its largest "
            f"magnitude on sample images; expected at most {limit:g}. It was not written. Try "
            "another precision, and report this with the TensorRT version."
        )
    return parity


def _arguments(source: str, options: BuildOptions) -> tuple[str, ...]:
    batch = () if options.batch is None else ("--batch", ",".join(map(str, options.batch)))
    dla = () if options.dla_core is None else ("--dla", str(options.dla_core))
    workspace = ("--workspace", str(options.workspace_mib))
    return (source, f"--{options.precision}", *batch, *workspace, *dla)
