"""Building engines, on the double of TensorRT."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import onnx
import pytest

from clipgaze_sdk import GazeEstimator, ModelCard
from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.cli import main
from clipgaze_sdk.models.files import BUNDLED_FOLDER, load_model_file
from clipgaze_sdk.tensorrt.info import EngineInfo
from tests.fake_networks import write_card
from tests.tensorrt.graphs import gaze_graph, write_graphs
from tests.tensorrt_double import World, install


def build(*arguments: object) -> int:
    return main(["build-engine", *map(str, arguments)])


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_builds_what_was_asked_for_on_every_version(
    every_version: World,
    precision: str,
    gaze_onnx: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert build(gaze_onnx, f"--{precision}") == 0
    name = f"gaze.{precision}.engine"
    assert written(folder) == {name, f"{name}.json"}
    card = ModelCard.load(folder / f"{name}.json")
    card.check_file(folder / name)
    info = EngineInfo.from_card(card)
    assert (card.task, card.precision, info.machine.gpu_name) == ("gaze", precision, "Orin")
    assert info.machine.compute_capability == "8.7"
    assert info.compute_layers == (
        {"int8": 2, "fp16": 1} if precision == "int8" else {precision: 3}
    )
    assert info.profile.min == (1, 3, 96, 224)
    assert info.profile.max == (8, 3, 96, 224)
    assert info.calibration_sha256 == ("c" * 64 if precision == "int8" else "")
    assert info.base_sha256 == ModelCard.load(gaze_onnx.with_suffix(".json")).sha256
    assert max(info.parity.values()) < 1e-6
    old = info.machine.tensorrt_version.startswith("10.3")
    assert info.strongly_typed == (not (old and precision == "int8"))
    if precision != "fp32":  # the graph itself may be named, too
        assert build(gaze_onnx.with_name(f"gaze.{precision}.onnx"), f"--{precision}") == 0
        assert written(folder) == {name, f"{name}.json"}
    out, err = capsys.readouterr()
    assert "the first build takes minutes" in err
    assert f"wrote {name}" in out
    assert every_version.nothing_is_left()


def test_an_engine_that_ignores_the_precision_is_not_written(
    every_version: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every_version.faults.ignore_precision = True
    for precision in ("fp16", "int8"):
        assert build(gaze_onnx, f"--{precision}") == 1
        err = capsys.readouterr().err
        assert f"the engine is not {precision}: " in err
        assert "/body/0/Conv (fp32)" in err
    assert written(folder) == set()
    assert every_version.nothing_is_left()


def test_an_inspector_without_details_is_not_believed(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.faults.names_only = True
    assert build(gaze_onnx, "--fp16") == 1
    assert "tells names alone" in capsys.readouterr().err
    assert written(folder) == set()


def test_an_engine_that_computes_something_else_is_not_written(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (9.0, float("nan")):
        world.faults.add_to_outputs = wrong
        assert build(gaze_onnx, "--fp16") == 1
        assert "differs from ONNX Runtime's by" in capsys.readouterr().err
    assert written(folder) == set()
    assert world.nothing_is_left()


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("Error Code 2: OutOfMemory (out of memory)", "or give less by --workspace"),
        ("no tactic", "Try --workspace with more"),
    ],
)
def test_what_tensorrt_says_is_in_the_error(
    world: World,
    reason: str,
    advice: str,
    gaze_onnx: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.faults.build = reason
    assert build(gaze_onnx, "--fp16") == 1
    err = capsys.readouterr().err
    assert reason in err
    assert advice in err
    assert written(folder) == set()


def test_too_little_memory_to_run_it(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.memory_bytes = 1000
    assert build(gaze_onnx, "--fp16") == 1
    assert "the GPU has no memory left" in capsys.readouterr().err
    assert written(folder) == set()
    assert world.nothing_is_left()


def test_batch_workspace_and_timing_cache(world: World, gaze_onnx: Path, folder: Path) -> None:
    arguments = ("--fp16", "--batch", "2,3,4", "--workspace", "64", "--timing-cache", "t.cache")
    assert build(gaze_onnx, *arguments) == 0
    info = EngineInfo.from_card(ModelCard.load(folder / "gaze.fp16.engine.json"))
    assert [shape[0] for shape in (info.profile.min, info.profile.opt, info.profile.max)] == [
        2,
        3,
        4,
    ]
    command = info.build_command(Path("x.engine"))
    assert command == (
        f"clipgaze build-engine {gaze_onnx} --fp16 --batch 2,3,4 --workspace 64 --output x.engine"
    )
    cache = folder / "t.cache"
    assert cache.read_bytes().startswith(b"timings")
    cache.write_bytes(b"of another machine")
    assert build(gaze_onnx, *arguments) == 0
    assert cache.read_bytes().startswith(b"timings")


def test_the_detector_is_built_for_many_sizes(world: World, folder: Path) -> None:
    assert build("face_detector", "--fp32") == 0
    info = EngineInfo.from_card(ModelCard.load(folder / "face_detector.fp32.engine.json"))
    assert info.profile.min == (1, 3, 32, 32)
    assert info.profile.opt == (1, 3, 384, 640)
    assert info.profile.max == (1, 3, 640, 640)


def test_a_dla(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(gaze_onnx, "--fp16", "--dla", 0) == 2
    assert "finds 0 here" in capsys.readouterr().err
    world.dla_cores = 2
    assert build(gaze_onnx, "--int8", "--dla", 0) == 2
    assert build("face_detector", "--fp16", "--dla", 0) != 0
    assert build(gaze_onnx, "--fp16", "--dla", 1) == 0
    info = EngineInfo.from_card(ModelCard.load(folder / "gaze.fp16.engine.json"))
    assert info.profile.max[0] == 1
    assert not info.strongly_typed  # TensorRT 10 takes flags for a DLA


def test_without_tensorrt_the_graphs_are_checked_and_the_exit_code_is_3(
    gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("TensorRT is installed here")
    assert build(gaze_onnx, "--int8") == 3
    err = capsys.readouterr().err
    assert "gaze.int8.onnx: SHA-256 matches, ONNX Runtime runs it" in err
    assert "TensorRT cannot be imported" in err
    assert 'pip install "clipgaze-sdk[tensorrt]"' in err
    assert written(folder) == set()


@pytest.mark.parametrize(
    ("gpus", "message"), [(0, "there is no NVIDIA GPU here"), (-1, "CUDA does not start")]
)
def test_without_a_gpu_the_exit_code_is_3(
    world: World,
    gpus: int,
    message: str,
    gaze_onnx: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.gpus = gpus
    assert build(gaze_onnx, "--fp16") == 3
    assert message in capsys.readouterr().err


def test_arguments_that_cannot_be(
    world: World,
    gaze_onnx: Path,
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fixed = write_graphs(tmp_path / "fixed")
    image = {"name": "image", "dtype": "float32", "shape": [2, 3, 96, 224]}
    write_card(fixed, "gaze", inputs=[image])
    for words, message in (
        ((gaze_onnx, "--fp16", "--batch", "4,2,8"), "three rising numbers"),
        ((gaze_onnx, "--fp16", "--output", "gaze.onnx"), "is no engine"),
        ((gaze_onnx, "--fp16", "--output", "no/gaze.engine"), "make its folder first"),
        ((gaze_onnx, "--fp16", "--all"), "Leave out one of the two"),
        ((gaze_onnx.with_name("gaze.fp16.onnx"), "--int8"), "is a graph of fp16"),
        (("gaze.engine", "--int8"), "is an engine already"),
        ((fixed, "--fp32"), "takes batches of 2 alone; expected a free batch"),
    ):
        assert build(*words) == 2
        assert message in capsys.readouterr().err
    for words in ((gaze_onnx,), (gaze_onnx, "--fp16", "--int8"), ("--fp16", "--batch", "1")):
        with pytest.raises(SystemExit, match="2"):
            build(*words)
    assert written(folder) == set()


def test_a_graph_for_onnx_runtime_is_refused_and_the_right_one_is_named(
    world: World, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write_graphs(tmp_path / "g")
    for_cpu, right = (base.with_name(f"gaze.{kind}.onnx") for kind in ("int8_cpu", "int8"))
    bundled = BUNDLED_FOLDER / "gaze.int8_cpu.onnx"
    for path in (for_cpu, bundled) if bundled.exists() else (for_cpu,):
        assert build(path, "--int8") == 2
        err = capsys.readouterr().err
        assert f"'{path}' is a graph of int8 for onnxruntime, which TensorRT cannot build" in err
        assert f"give '{path.with_name('gaze.int8.onnx')}', or the FP32 file" in err
    assert build(for_cpu, "--fp16") == 2
    # Under the name of the other, it is still known by its card.
    for suffix in (".onnx", ".json"):
        right.with_suffix(suffix).write_bytes(for_cpu.with_suffix(suffix).read_bytes())
    assert build(base, "--int8") == 1
    err = capsys.readouterr().err
    assert "is of int8 for onnxruntime; expected int8 for TensorRT. Make it" in err
    assert written(folder) == set()
    assert world.building == 0


def test_graphs_that_cannot_be(
    world: World, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*words: object, message: str) -> None:
        assert build(*words) == 1
        assert message in capsys.readouterr().err
        assert written(folder) == set()

    fails("no.onnx", "--fp16", message="does not exist")
    base = write_graphs(tmp_path / "g", precisions=("fp16",))
    fails(base, "--int8", message="python export/precisions.py")
    # Made from other weights.
    other = write_graphs(tmp_path / "h", seed=1, precisions=("fp16",))
    for suffix in (".onnx", ".json"):
        name = f"gaze.fp16{suffix}"
        (base.with_name(name)).write_bytes(other.with_name(name).read_bytes())
    fails(base, "--fp16", message="made from a model with SHA-256")
    # Not ours: no card.
    onnx.save(gaze_graph("fp32"), tmp_path / "stranger.onnx")
    fails(tmp_path / "stranger.onnx", "--fp32", message="expected a JSON file beside the model")
    # Ours by its card, but other outputs than it says.
    model = gaze_graph("fp32")
    model.graph.output[1].name = model.graph.node[-1].output[0] = "sigma"
    onnx.save(model, tmp_path / "names.onnx")
    write_card(tmp_path / "names.onnx", "gaze")
    fails(tmp_path / "names.onnx", "--fp32", message="the card expects")
    # Newer than the runtime.
    model = gaze_graph("fp32")
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "new.onnx")
    write_card(tmp_path / "new.onnx", "gaze")
    fails(tmp_path / "new.onnx", "--fp32", message="newer than the runtime")


def test_a_graph_that_only_tensorrt_cannot_read(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = install(monkeypatch, "10.3.0")
    onnx.save(gaze_graph("fp32", opset=21), tmp_path / "new.onnx")
    write_card(tmp_path / "new.onnx", "gaze")
    assert build(tmp_path / "new.onnx", "--fp32") == 1
    err = capsys.readouterr().err
    assert "opset 21 is not supported. Its operators or its opset are newer than this Te" in err
    model = gaze_graph("fp32")
    model.graph.node.append(onnx.helper.make_node("NonZero", ["g"], ["n"], "/where"))
    onnx.save(model, tmp_path / "odd.onnx")
    write_card(tmp_path / "odd.onnx", "gaze")
    assert build(tmp_path / "odd.onnx", "--fp32") == 1
    assert "NonZero /where: no importer" in capsys.readouterr().err
    assert written(folder) == set()
    assert world.nothing_is_left()


def test_a_graph_with_no_product_has_no_precision(
    world: World, fake_models: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(fake_models / "gaze.onnx", "--fp32") == 1
    assert "its precision means nothing" in capsys.readouterr().err


def test_another_engine_is_kept(
    world: World,
    gaze_onnx: Path,
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = folder / "gaze.engine"
    assert build(gaze_onnx, "--fp16", "--output", target) == 0
    first = target.read_bytes()
    assert build(gaze_onnx, "--fp16", "--output", target) == 0  # the same again
    assert world.building == 2
    other = write_graphs(tmp_path / "other", seed=1)
    for model, precision in ((other, "--fp16"), (gaze_onnx, "--int8")):
        assert build(model, precision, "--output", target) == 2
        assert "is there already, of another model or precision" in capsys.readouterr().err
    (folder / "gaze.engine.json").unlink()
    assert build(gaze_onnx, "--fp16", "--output", target) == 2
    assert "an engine without a side-car" in capsys.readouterr().err
    assert target.read_bytes() == first
    assert world.building == 2  # refused before the work
    assert build(other, "--fp16", "--output", target, "--force") == 0
    assert target.read_bytes() != first


def test_a_folder_that_takes_no_files(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(gaze_onnx, "--fp16", "--output", "/proc/gaze.engine") == 1  # even for root
    assert "cannot write '/proc/gaze.engine'" in capsys.readouterr().err
    assert world.building == 0


def test_a_full_disk_leaves_what_was_there(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(gaze_onnx, "--fp16") == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        assert build(gaze_onnx, "--fp16") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_all_networks_go_into_a_folder_that_the_estimator_takes(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build("--fp32", "--all") == 0
    assert written(folder / "engines_fp32") == {
        f"{task}.engine{suffix}"
        for task in ("face_detector", "face_landmarks", "gaze")
        for suffix in ("", ".json")
    }
    image = np.full((360, 640, 3), 96, np.uint8)
    with GazeEstimator("engines_fp32") as on_engines, GazeEstimator() as on_onnx:
        assert on_engines.estimate(image).faces == on_onnx.estimate(image).faces
    assert world.nothing_is_left()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_bundled_graphs_have_their_precision_on_every_version(
    every_version: World, precision: str, folder: Path
) -> None:
    assert build(f"--{precision}", "--all") == 0
    for task in ("face_detector", "face_landmarks", "gaze"):
        card = ModelCard.load(folder / f"engines_{precision}" / f"{task}.engine.json")
        compute_layers = EngineInfo.from_card(card).compute_layers
        assert compute_layers.pop("fp32") == len(card.excluded_layers) > 0
        assert list(compute_layers) == [precision]
        data = load_model_file(BUNDLED_FOLDER / f"{task}.{precision}.onnx").data
        graph = onnx.load_model_from_string(data).graph
        weighted = sum(node.op_type in ("Conv", "Gemm", "MatMul") for node in graph.node)
        assert compute_layers[precision] == weighted - len(card.excluded_layers) > 8


def test_a_failing_build_of_all_leaves_no_empty_folder(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.faults.build = "no tactic"
    assert build("--fp32", "--all") == 1
    (folder / "taken").touch()
    for output, message in (
        ("no/folder", "cannot make folder"),
        ("taken", "expected a folder"),
        ("x.engine", "expected a folder"),
    ):
        capsys.readouterr()
        assert build("--fp32", "--all", "--output", output) == 2
        assert message in capsys.readouterr().err
    assert written(folder) == {"taken"}


def test_the_side_car_is_the_graphs_card(world: World, gaze_onnx: Path, folder: Path) -> None:
    assert build(gaze_onnx, "--int8") == 0
    sidecar = json.loads((folder / "gaze.int8.engine.json").read_text())
    card = json.loads(gaze_onnx.with_name("gaze.int8.json").read_text())
    for key in set(card) - {"file", "sha256"}:
        assert sidecar[key] == card[key]
    found = load_model_file(folder / "gaze.int8.engine")
    load_backend(found, threads=1).close()
    assert world.nothing_is_left()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_stop_a_build_outside_of_tensorrt(
    name: str,
    code: int,
    world: World,
    gaze_onnx: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorRT calls from C++, where an exception would end the process."""
    import signal

    from clipgaze_sdk.cli import build_engine

    number = getattr(signal, name)
    before = signal.getsignal(number)
    raised = []

    def draw(*_: object) -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raised.append(name)

    monkeypatch.setattr(build_engine.ProgressLine, "draw", draw)
    if before is signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup")
    assert build(gaze_onnx, "--fp16") == code
    assert raised == []
    assert written(folder) == set()
    assert signal.getsignal(number) is before
