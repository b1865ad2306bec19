"""``clipgaze build-engine``: TensorRT engines for the machine that this runs on."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from .._errors import ConfigurationError
from ..backends.cuda import MissingRuntimeError
from ..models.files import TASKS
from ..tensorrt.info import EngineInfo
from ..tensorrt.network import BuildOptions
from .progress import ProgressLine, say
from .run import given, positive_int
from .versions import cpu_count

MISSING_RUNTIME = 3


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``build-engine`` and its arguments."""
    parser = commands.add_parser(
        "build-engine",
        help="build TensorRT engines for this machine",
        description="Build a TensorRT engine and its side-car (.engine.json) on the machine, and "
        "with the TensorRT, that will run it. The precision is in the graph: NAME.fp16.onnx or "
        "NAME.int8.onnx beside NAME.onnx. An engine whose layers do not have the precision asked "
        "for, or that disagrees with ONNX Runtime, is not written.",
        epilog="Exit codes: 0 built, 1 failed, 2 wrong arguments, 3 the graphs are in order but "
        "TensorRT, pycuda or a GPU is missing here, 130 stopped by Ctrl-C.",
    )
    add = parser.add_argument
    text = (
        "a bundled network (gaze, face_landmarks, face_detector) or an FP32 .onnx file with its "
        "card; gaze if not given"
    )
    add("model", metavar="MODEL", nargs="?", help=text)
    group = parser.add_mutually_exclusive_group(required=True)
    for name in ("fp16", "int8", "fp32"):
        group.add_argument(
            f"--{name}", dest="precision", action="store_const", const=name, help=f"build {name}"
        )
    add("--all", action="store_true", help="build all three bundled networks")
    text = "batch sizes (1,1,8; 1,1,1 for the face detector); larger batches run in parts"
    add("--batch", metavar="MIN,OPT,MAX", type=_batch, help=text)
    text = "GPU memory (1024)"
    add("--workspace", dest="workspace_mib", metavar="MIB", type=positive_int, help=text)
    text = "kept between builds, to shorten them"
    add("--timing-cache", metavar="FILE", type=Path, help=text)
    text = "use this deep learning accelerator"
    add("--dla", dest="dla_core", metavar="N", type=int, help=text)
    text = "the engine (NAME.PRECISION.engine); with --all a folder (engines_PRECISION)"
    add("--output", metavar="PATH", type=Path, help=text)
    add("--force", action="store_true", help="overwrite another model's engine")
    parser.set_defaults(command=build_engine_command)


def build_engine_command(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze build-engine``, or raise a ClipGazeError."""
    from ..tensorrt.builder import build_engine, check_engine_output, check_graph

    names = ("precision", "batch", "workspace_mib", "dla_core", "timing_cache")
    options = BuildOptions(**given(args, *names))
    graphs = []
    for source, output in _outputs(args).items():
        graph = check_graph(source, options, threads=cpu_count())
        graphs.append((graph, output))
        say(f"{graph.model.path.name}: SHA-256 matches, ONNX Runtime runs it")
    folder = graphs[0][1].parent
    if args.all:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot make folder {str(folder)!r}: {error}.") from error
    line = ProgressLine(sys.stderr)
    try:
        for graph, output in graphs:
            base, precision = graph.base_sha256, options.precision
            check_engine_output(output, base_sha256=base, precision=precision, force=args.force)
        for graph, output in graphs:
            info = build_engine(graph, output, options=options, say=say, progress=line.draw)
            line.clear()
            print(_summary(output, info))
    except MissingRuntimeError as error:
        say(f"error: {error} The graphs are in order; no engine was built.")
        return MISSING_RUNTIME
    finally:
        line.clear()
        if args.all:
            with contextlib.suppress(OSError):  # an empty folder is of no use
                folder.rmdir()
    return 0


def _outputs(args: argparse.Namespace) -> dict[str, Path]:
    """Return what is built, and where to."""
    if not args.all:
        source = args.model or "gaze"
        name = Path(source).stem.removesuffix(f".{args.precision}")
        return {source: args.output or Path(f"{name}.{args.precision}.engine")}
    if args.model is not None:
        raise ConfigurationError(
            f"{args.model!r} was given with --all, which builds the bundled networks. Leave out "
            "one of the two."
        )
    folder: Path = args.output or Path(f"engines_{args.precision}")
    if folder.suffix == ".engine" or folder.is_file():
        raise ConfigurationError(f"--all writes three engines; expected a folder, not {folder}.")
    return {task: folder / f"{task}.engine" for task in TASKS}


def _summary(output: Path, info: EngineInfo) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(info.compute_layers.items()))
    typed = "strongly typed" if info.strongly_typed else "by builder flags"
    return (
        f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB) and {output.name}.json: "
        f"convolutions and matrix products {counts} ({typed}); largest difference to ONNX Runtime "
        f"{100 * max(info.parity.values()):.2g} % of an output's magnitude"
    )


def _batch(text: str) -> tuple[int, int, int]:
    low, best, high = (int(part) for part in text.split(","))
    return low, best, high
