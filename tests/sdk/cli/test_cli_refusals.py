"""What ``clipgaze run`` refuses, and what it leaves alone then."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from clipgaze_sdk._errors import ConfigurationError, ModelError
from clipgaze_sdk.cli import main, run
from tests.sdk.cli.conftest import UseFake
from tests.sdk.media.example_media import gradient

pytestmark = pytest.mark.usefixtures("no_display")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["walk"],
        ["run"],
        ["run", "a.jpg", "--threads", "two"],
        ["run", "a.jpg", "--colour", "red"],
        ["run", "a.jpg", "--fov", "60", "--camera", "c.yaml"],
        ["bench", "a.jpg"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_pair_that_does_not_fit_exits_with_2_before_any_work(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    assert main(["run", str(tmp_path / "a.png"), str(tmp_path / "out.mp4")]) == 2
    assert fake.stamps == []
    err = capsys.readouterr().err
    assert err.startswith("error: cannot write")
    assert "expected an image" in err


def test_an_existing_output_is_kept_unless_forced(tmp_path: Path, use_fake: UseFake) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    output = tmp_path / "a.csv"
    output.write_text("precious")
    assert main(["run", str(tmp_path / "a.png"), str(output)]) == 2
    assert output.read_text() == "precious"
    assert main(["run", str(tmp_path / "a.png"), str(output), "--force"]) == 0
    assert output.read_text().startswith("source,frame,")


def test_a_damaged_picture_leaves_the_existing_output_alone(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    (tmp_path / "a.png").write_bytes(b"damaged")
    output = tmp_path / "a.csv"
    output.write_text("precious")
    assert main(["run", str(tmp_path / "a.png"), str(output), "--force"]) == 1
    assert output.read_text() == "precious"
    assert capsys.readouterr().err.startswith("error: cannot decode image")


def test_a_broken_model_leaves_the_existing_output_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object) -> None:
        raise ModelError("gaze.onnx is\ndamaged. Fetch it again.")

    monkeypatch.setattr(run, "make_estimator", fail)
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    output = tmp_path / "a.csv"
    output.write_text("precious")
    assert main(["run", str(tmp_path / "a.png"), str(output), "--force"]) == 1
    assert output.read_text() == "precious"
    assert capsys.readouterr().err == "error: gaze.onnx is damaged. Fetch it again.\n"


def test_options_that_cannot_be_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    wrong = ["--fov 300", "--detector yunet", "--camera no.yaml", "--threads 0", "--max-faces -1"]
    for extra in map(str.split, wrong):
        assert main(["run", str(tmp_path / "a.png"), *extra]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_a_missing_input_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nothing-here.jpg"]) == 1
    assert capsys.readouterr().err.startswith("error: no such file")


def test_configuration_errors_are_wrong_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: object) -> None:
        raise ConfigurationError("no such option.")

    monkeypatch.setattr(run, "make_estimator", fail)
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    assert main(["run", str(tmp_path / "a.png")]) == 2
