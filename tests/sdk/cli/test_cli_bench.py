from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk.cli import main
from clipgaze_sdk.cli.bench import HEIGHT_PX, WIDTH_PX, bench_frame
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
    assert set(report["versions"]) >= {"clipgaze", "python", "numpy", "opencv", "onnxruntime"}
    for path, frames, detections in (("still", 4, 4), ("stream", 30, 1)):
        figures = report[path]
        assert set(figures["p50_ms"]) == set(figures["p99_ms"]) == STAGES
        assert (figures["frames"], figures["detector_runs"]) == (frames, detections)
        assert 0 < figures["p50_ms"]["end to end"] <= figures["p99_ms"]["end to end"]
        parts = sum(value for name, value in figures["p50_ms"].items() if name != "end to end")
        assert parts <= 1.5 * figures["p99_ms"]["end to end"]
        assert 1e3 / figures["fps"] == pytest.approx(figures["mean_ms"], rel=1e-6)
    assert report["stream"]["p50_ms"]["detect"] == 0.0
    text = capsys.readouterr().out
    for phrase in (
        "machine: ",
        "1280x720 px, face.png; one face of ",
        "frames/s",
        "the detector ran on 1",
    ):
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
    frame = bench_frame(path)
    assert frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
    rows, columns = np.nonzero(frame[..., 0] == 255)
    spans = columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
    assert spans[0] / spans[1] == pytest.approx(size[0] / size[1], rel=0.01)
    assert spans[0] == WIDTH_PX or spans[1] == HEIGHT_PX


@pytest.mark.parametrize(("asked", "measured"), [(1, 30), (30, 30), (31, 60)])
def test_the_detector_has_its_share_in_a_stream(
    tmp_path: Path, networks: Path, picture: Path, asked: int, measured: int
) -> None:
    arguments = ["--image", picture, "--frames", asked, "--json", tmp_path / "a.json"]
    assert main(["bench", "--model", str(networks), *map(str, arguments)]) == 0
    stream = json.loads((tmp_path / "a.json").read_text())["stream"]
    assert (stream["frames"], stream["detector_runs"]) == (measured, measured // 30)


def test_without_a_picture_there_is_nothing_to_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 2
    assert capsys.readouterr().err == (
        "error: there is nothing to time. Give a picture of a face by --image.\n"
    )
