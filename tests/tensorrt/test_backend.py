"""Running engines, on the double of TensorRT and pycuda."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from clipgaze_sdk import BackendError, GazeEstimator, ModelError
from clipgaze_sdk.backends import Backend, load_backend
from clipgaze_sdk.cli import main
from clipgaze_sdk.models.files import BUNDLED_FOLDER, load_model_file, resolve_models
from tests.fake_networks import draw_faces, write_networks
from tests.tensorrt_double import World, install


@pytest.fixture
def engine(world: World, gaze_onnx: Path, folder: Path) -> Path:
    """A gaze engine in FP16, for batches of 1 to 8."""
    assert main(["build-engine", str(gaze_onnx), "--fp16", "--output", "gaze.engine"]) == 0
    return folder / "gaze.engine"


def load(engine: Path) -> Backend:
    found = load_model_file(engine)
    return load_backend(found, threads=1)


def crops(count: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, 96, 224)).astype(np.float32)


def on_onnx_runtime(gaze_onnx: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    graph = gaze_onnx.with_name("gaze.fp16.onnx")
    backend = load_backend(load_model_file(graph), threads=1)
    return dict(backend.run(images))


@pytest.mark.parametrize("count", [1, 3, 8, 9, 20])
def test_any_batch_gives_what_onnx_runtime_gives(
    world: World, engine: Path, gaze_onnx: Path, count: int
) -> None:
    backend = load(engine)
    outputs = backend.run(crops(count))
    for name, expected in on_onnx_runtime(gaze_onnx, crops(count)).items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=1e-6)
    backend.close()
    backend.close()
    assert world.nothing_is_left()
    assert world.primary_retained == 1


def test_a_batch_below_the_least_is_filled_up(world: World, gaze_onnx: Path, folder: Path) -> None:
    words = ["--fp16", "--batch", "4,4,4", "--output", "gaze.engine"]
    assert main(["build-engine", str(gaze_onnx), *words]) == 0
    backend = load(folder / "gaze.engine")
    for count in (4, 1, 6):
        expected = on_onnx_runtime(gaze_onnx, crops(count))["pitch_yaw"]
        np.testing.assert_allclose(backend.run(crops(count))["pitch_yaw"], expected, atol=1e-6)
    backend.close()


def test_outputs_outlive_the_next_run(world: World, engine: Path) -> None:
    backend = load(engine)
    first = backend.run(crops(2))["pitch_yaw"]
    kept = first.copy()
    backend.run(crops(2, seed=1))
    np.testing.assert_array_equal(first, kept)
    backend.close()
    np.testing.assert_array_equal(first, kept)


def test_sizes_of_the_detector_come_and_go(world: World, folder: Path) -> None:
    assert main(["build-engine", "face_detector", "--fp32", "--output", "d.engine"]) == 0
    on_engine = load(folder / "d.engine")
    bundled = load(BUNDLED_FOLDER / "face_detector.onnx")
    rng = np.random.default_rng(0)
    for height, width in ((384, 640), (32, 640), (640, 64), (384, 640)):
        image = rng.normal(size=(1, 3, height, width)).astype(np.float32)
        expected, found = bundled.run(image), on_engine.run(image)
        for name, values in expected.items():
            assert found[name].shape == values.shape
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4)
    with pytest.raises(BackendError, match=r"\(1, 3, 672, 640\); it was built for"):
        on_engine.run(np.zeros((1, 3, 672, 640), np.float32))
    on_engine.close()
    assert world.nothing_is_left()


@pytest.mark.parametrize("shape", [(0, 3, 96, 224), (1, 3, 96, 225), (1, 1, 96, 224), (3, 96, 224)])
def test_shapes_that_it_was_not_built_for(
    world: World, engine: Path, shape: tuple[int, ...]
) -> None:
    backend = load(engine)
    with pytest.raises(BackendError, match="it was built for"):
        backend.run(np.zeros(shape, np.float32))
    assert len(backend.run(crops(1))["log_sigma"]) == 1  # and goes on
    backend.close()


def test_threads_share_one_backend(world: World, engine: Path, gaze_onnx: Path) -> None:
    backend = load(engine)
    expected = [on_onnx_runtime(gaze_onnx, crops(3, seed=n))["pitch_yaw"] for n in range(4)]
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(20):
            found = backend.run(crops(3, seed=number))["pitch_yaw"]
            if not np.allclose(found, expected[number], rtol=0, atol=1e-6):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    closing = threading.Thread(target=backend.close)  # not where it was opened
    closing.start()
    closing.join()
    assert world.nothing_is_left()
    with pytest.raises(BackendError, match="is closed"):
        backend.run(crops(1))


def test_a_thousand_opens_and_closes_leave_nothing(world: World, engine: Path) -> None:
    found = load_model_file(engine)
    for _ in range(1000):
        backend = load_backend(found, threads=1)
        backend.run(crops(1))
        backend.close()
    assert world.nothing_is_left()
    assert world.primary_retained == 1
    assert world.stack == []


def test_running_out_of_memory_at_every_step_leaves_nothing(world: World, engine: Path) -> None:
    images, angles, sigmas = 8 * 3 * 96 * 224 * 4, 8 * 2 * 4, 8 * 4
    for fits in (0, images, images + angles, images + angles + sigmas - 1):
        world.memory_bytes = fits
        with pytest.raises(BackendError, match=r"no memory left.*Build it again, on this machine"):
            load(engine)
        assert world.nothing_is_left()
    world.memory_bytes = images + angles + sigmas
    load(engine).close()
    world.faults.no_context = True
    with pytest.raises(BackendError, match="has no context for it"):
        load(engine)
    assert world.nothing_is_left()


def test_a_failing_run_is_a_typed_error_with_the_reason(world: World, engine: Path) -> None:
    backend = load(engine)
    world.faults.execute = True
    with pytest.raises(BackendError, match=r"TensorRT failed on an input.*Cask convolution"):
        backend.run(crops(1))
    world.faults.execute = False
    backend.run(crops(1))
    backend.close()
    assert world.nothing_is_left()


@pytest.mark.parametrize(
    ("version", "changes", "message"),
    [
        ("10.3.0", {}, r"tensorrt version 10\.13\.3\.9 \(here 10\.3\.0\)"),
        ("10.13.3.9", {"gpu_name": "NVIDIA Thor"}, r"gpu name Orin \(here NVIDIA Thor\)"),
        ("10.13.3.9", {"compute_capability": (11, 0)}, r"compute capability 8\.7 \(here 11\.0\)"),
    ],
)
def test_an_engine_of_another_machine_is_refused_with_the_command(
    engine: Path,
    gaze_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    changes: dict[str, object],
    message: str,
) -> None:
    here = install(monkeypatch, version)
    for name, value in changes.items():
        setattr(here, name, value)
    command = f"clipgaze build-engine {gaze_onnx} --fp16 --workspace 1024 --output {engine}"
    with pytest.raises(BackendError, match=message) as caught:
        load(engine)
    assert str(caught.value).endswith(f"Build it again, on this machine: {command}")
    assert here.nothing_is_left()
    assert main(["build-engine", *command.split()[2:]]) == 0
    load(engine).close()


def test_another_system(world: World, engine: Path) -> None:
    change(engine, lambda data: data["engine"]["machine"].update(platform="Windows AMD64"))
    with pytest.raises(BackendError, match=r"platform Windows AMD64 \(here Linux"):
        load(engine)


@pytest.mark.parametrize(
    ("name", "precision"), [("gaze", "fp32"), ("gaze.onnx", "fp16"), ("gaze.fp16.onnx", "fp16")]
)
def test_an_engine_of_bundled_weights_that_were_replaced(
    name: str, precision: str, world: World, folder: Path
) -> None:
    assert main(["build-engine", name, f"--{precision}", "--output", "gaze.engine"]) == 0
    load(folder / "gaze.engine").close()
    change(folder / "gaze.engine", lambda data: data["engine"].update(base_sha256="0" * 64))
    with pytest.raises(BackendError, match=r"another version of clipgaze-sdk\. Build it again"):
        load(folder / "gaze.engine")


def test_cuda_does_not_start_again_in_a_forked_child(world: World, engine: Path) -> None:
    import os

    load(engine).close()
    said, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            load(engine)
            os.write(say, b"loaded")
        except BackendError as error:
            os.write(say, str(error).encode())
        finally:
            os._exit(0)
    os.close(say)
    with os.fdopen(said) as pipe:
        assert pipe.read().startswith("CUDA was started before this process was forked")
    os.waitpid(child, 0)
    load(engine).close()  # the parent goes on


def change(engine: Path, how: object) -> None:
    sidecar = engine.with_name(engine.name + ".json")
    data = json.loads(sidecar.read_text())
    how(data)
    sidecar.write_text(json.dumps(data))


@pytest.mark.parametrize("content", [b"", b"not an engine", None])
def test_a_damaged_engine(world: World, engine: Path, content: bytes | None) -> None:
    data = engine.read_bytes()[:-100] if content is None else content
    engine.write_bytes(data)
    with pytest.raises(ModelError, match=r"SHA-256.*damaged"):
        load(engine)


def test_a_file_that_tensorrt_does_not_take(world: World, engine: Path) -> None:
    import hashlib

    engine.write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()
    change(engine, lambda data: data.update(sha256=digest))
    with pytest.raises(BackendError, match=r"cannot load it.*Magic tag.*build-engine"):
        load(engine)
    assert world.nothing_is_left()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda d: d.pop("engine"), r"side-car .* cannot be used \(KeyError"),
        (lambda d: d.update(engine=[]), "cannot be used"),
        (lambda d: d["engine"].pop("machine"), "cannot be used"),
        (lambda d: d["engine"]["profile"].update(max="x"), "cannot be used"),
        (lambda d: d["engine"]["profile"].update(max=[4, 3, 96, 224]), "its side-car says"),
        (lambda d: d["outputs"][1].update(dtype="float16"), "the card expects"),
    ],
)
def test_a_side_car_that_does_not_fit(
    world: World, engine: Path, how: object, message: str
) -> None:
    change(engine, how)
    with pytest.raises(ModelError, match=message):
        load(engine)
    assert world.nothing_is_left()


def test_without_the_libraries(engine: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendError, match=r"pycuda cannot be imported.*nvcc"):
        load(engine)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT cannot be imported.*clipgaze-sdk\[tensorrt"):
        load(engine)


def test_an_engine_goes_before_the_graph_in_a_folder(
    world: World, engine: Path, gaze_onnx: Path, folder: Path
) -> None:
    for suffix in (".onnx", ".json"):
        shutil.copy(gaze_onnx.with_suffix(suffix), folder / f"gaze{suffix}")
    assert resolve_models(folder, tasks=("gaze",))["gaze"].path == engine


def test_an_estimator_with_one_engine_and_the_rest_on_onnx_runtime(
    world: World, engine: Path, gaze_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "clipgaze_sdk.models.files.BUNDLED_FOLDER",
        write_networks(tmp_path / "fakes", ("face_detector", "face_landmarks")),
    )
    image = draw_faces((640, 360), [(200, 180), (440, 180)])
    graph = gaze_onnx.with_name("gaze.fp16.onnx")
    with GazeEstimator("gaze.engine") as ours, GazeEstimator(str(graph)) as theirs:
        found, expected = ours.estimate(image), theirs.estimate(image)
        assert ours.cards["gaze"].path == Path("gaze.engine.json")
        assert len(found.faces) == len(expected.faces) == 2
        for a, b in zip(found.faces, expected.faces, strict=True):
            np.testing.assert_allclose(a.gaze.vector, b.gaze.vector, atol=1e-6)
    assert world.nothing_is_left()
    with pytest.raises(BackendError, match="closed"):
        ours.estimate(image)


def test_an_estimator_that_fails_to_open_releases_the_engine(
    world: World, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = write_networks(tmp_path / "fakes", ("face_detector", "face_landmarks"))
    monkeypatch.setattr("clipgaze_sdk.models.files.BUNDLED_FOLDER", fakes)
    change(engine, lambda data: data["preprocessing"].update(std=[0, 0, 0]))
    with pytest.raises(ModelError, match=r"std = .* between 1e-06 and 100"):
        GazeEstimator("gaze.engine")
    assert world.nothing_is_left()
