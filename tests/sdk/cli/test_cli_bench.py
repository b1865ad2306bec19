from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk.cli import main
from clipgaze_sdk.cli.bench import HEIGHT_PX, WIDTH_PX, bench_frame
from clipgaze_sdk.cli.warp_bench import bench_warp
from tests.fake_networks import draw_faces, write_networks

STAGES = {"detect", "landmarks", "pose", "normalize", "gaze", "end to end"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), draw_faces((640, 360), [(200, 180), (440, 180)]))
    return path


def test_bench_prints_and_writes_its_figures(
    tmp_path: Path, networks: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    arguments = ["--image", str(picture), "--frames", "4", "--threads", "1", "--json", str(out)]
    assert main(["bench", "--model", str(networks), *arguments]) == 0
    report = json.loads(out.read_text())
    assert report["threads"] == 1
    assert report["frame"]["size_px"] == [1280, 720]
    assert report["frame"]["faces"] == 1  # of the two, so that figures compare
    assert report["frame"]["lowered_threshold"] is None
    assert set(report["versions"]) == {"clipgaze", "python", "numpy", "opencv", "onnxruntime"}
    for path, detections in (("still", 4), ("stream", 0)):
        figures = report[path]
        assert set(figures["p50_ms"]) == set(figures["p99_ms"]) == STAGES
        assert figures["detector_runs"] == detections
        assert 0 < figures["p50_ms"]["end to end"] <= figures["p99_ms"]["end to end"]
        parts = sum(value for name, value in figures["p50_ms"].items() if name != "end to end")
        assert parts <= 1.5 * figures["p99_ms"]["end to end"]
        assert 1e3 / figures["fps"] == pytest.approx(figures["mean_ms"], rel=1e-6)
    assert report["stream"]["p50_ms"]["detect"] == 0.0
    text = capsys.readouterr().out
    for phrase in ("machine: ", "1280x720 px, face.png; one face of ", "frames/s", "times faster"):
        assert phrase in text


def test_a_picture_without_a_face_is_an_error(
    tmp_path: Path, networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.png"
    cv2.imwrite(str(path), draw_faces((640, 360), []))
    assert main(["bench", "--model", str(networks), "--image", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: found no face in empty.png")


def test_a_folder_that_is_not_there_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--json", str(tmp_path / "no" / "out.json")]) == 2
    assert "make its folder first" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(640, 480), (300, 900), (4000, 1000), (1280, 720)])
def test_a_picture_is_fitted_into_the_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), 255, np.uint8))
    frame, name = bench_frame(path)
    assert frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert name == "a.png"
    rows, columns = np.nonzero(frame[..., 0] == 255)
    spans = columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
    assert spans[0] / spans[1] == pytest.approx(size[0] / size[1], rel=0.01)
    assert spans[0] == WIDTH_PX or spans[1] == HEIGHT_PX


def test_without_a_picture_a_face_is_drawn() -> None:
    frame, name = bench_frame(None)
    assert frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert frame.dtype == np.uint8
    assert "drawn" in name


def test_the_compiled_warp_agrees_with_opencv() -> None:
    threads = cv2.getNumThreads()
    figures = bench_warp(bench_frame(None)[0], rounds=3)
    # OpenCV 4 places each pixel to 1/32 px only, which shows on the drawn face's sharp edges.
    assert figures.worst_grey_levels <= (1.0 if cv2.__version__ >= "5" else 2.0)
    assert figures.mean_grey_levels <= 0.3
    assert figures.ratio == pytest.approx(figures.opencv_ms / figures.compiled_ms)
    assert cv2.getNumThreads() == threads
