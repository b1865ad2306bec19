"""What README, CONTRIBUTING and docs tell to do is done here, or listed with the reason."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import clipgaze_sdk
from clipgaze_sdk import Camera, EstimatorOptions, GazeEstimator
from clipgaze_sdk.cli import main, make_parser
from tests.documents import (
    DOCUMENTS,
    ROOT,
    Command,
    anchors,
    blocks,
    code_spans,
    commands,
    door,
    options_of,
    prose,
    shell_lines,
    text_of,
)

MEDIA = ROOT / "samples" / "media"
MODELS = ROOT / "sdk" / "clipgaze_sdk" / "models"

NOT_RUN = {
    "clipgaze build-engine": "needs TensorRT and a GPU; tests/tensorrt has a double of both",
    "clipgaze run 0": "needs a webcam",
    "clipgaze bench --image samples/media/portrait.jpg --frames 150": "timed on a quiet machine",
    "clipgaze bench --compare": "takes minutes; tests/sdk/cli runs it on few frames",
    "clipgaze bench --model engines_fp16": "needs TensorRT and a GPU",
    "python -m train.": "renders, trains or measures for minutes to days, or needs data",
    "python -m export.": "needs a trained network; tests/export runs it on small ones",
    "python export/": "needs a trained network; tests/export runs it on small ones",
    "python samples/": "run by tests/samples",
    "python -m pip install": "installs; scripts/setup-venv and tests/packaging do the same",
    "python -m pip uninstall": "for a board",
    "python -m pytest": "is what runs this",
    "python3 -m venv": "for a board",
    "apt-get install": "installs",
    "sudo ": "needs a board, or installs",
    "export ": "sets a variable",
    ". ": "enters an environment",
    "grep POWER_MODEL": "needs a board",
    "tegrastats": "needs a board",
    "scripts/demo": "installs into an environment of its own; run by tests/test_demo.py",
    "scripts/test": "is what runs this",
    ".ci/run": "runs all of this",
    "scripts/check": "run by .ci/run",
    "scripts/sanitize": "run by .ci/run",
    "scripts/cross": "needs a cross-compiler and an emulator; run by .ci/run",
    "scripts/oldest": "installs old libraries; run by .ci/run",
    "scripts/long-run": "trains for days; tests/train/runs runs it on a small plan",
    "python scripts/compare.py": "needs another checkout, compiled; takes a minute",
    "train/recipes/": "trains for hours; tests/train/test_recipes.py parses its commands",
}
"""By the beginning of a command, why it is not run here.  What has a parser is still parsed."""

NOT_RUN_PYTHON = {"engines_fp16": "needs TensorRT and a GPU", ".engine": "needs TensorRT and a GPU"}
"""By what an example contains, why it is compiled and not run."""

needs_media = pytest.mark.skipif(
    not (MEDIA / "clip.mp4").exists() or not (MODELS / "gaze.onnx").exists(),
    reason="samples/media or the bundled models are not in this checkout",
)


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write into, with the files that a user would have."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "mine").mkdir()
    for name in ("gaze.onnx", "gaze.json"):
        (tmp_path / "mine" / name).symlink_to(MODELS / name)
    (tmp_path / "camera.yaml").write_text(
        "image_width: 640\nimage_height: 360\n"
        "camera_matrix: {rows: 3, cols: 3, data: [600.0, 0, 320, 0, 600, 180, 0, 0, 1]}\n"
        "distortion_model: plumb_bob\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0.0, 0, 0, 0, 0]}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reason_not_to_run(line: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if line.startswith(start)), None)


def is_run(command: Command) -> bool:
    return not command.is_form and reason_not_to_run(command.line) is None


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.line)
def test_every_command_is_one_that_its_program_takes(command: Command) -> None:
    try:
        known = door(command.line)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("train", "export"):
            raise
        pytest.skip(f"{error.name} is not installed: tests of training need the extra [train]")
    if known is None:
        program = ROOT / shlex.split(command.line)[0]
        if "/" in command.line.split()[0]:
            assert os.access(program, os.X_OK), f"{command.document}: {program} cannot be run"
        listed = is_run(command) or reason_not_to_run(command.line) or command.is_form
        assert listed, f"{command.document}: nothing is known of {command.line!r}"
        return
    parser, words = known
    if command.is_form:
        told = set(re.findall(r"(?<!\S)--[a-z][\w-]*", command.line))
        assert told <= options_of(parser), command.document
        return
    parser.parse_args(words)
    for word in words:
        check_data_set(word)


def check_data_set(word: str) -> None:
    """A word such as "eyediap:FOLDER?people=p1" names a reader and options that it has."""
    registry = pytest.importorskip("train.data.registry") if ":" in word else None
    if registry is not None and word.partition(":")[0] in registry.READERS:
        registry.parse_spec(word)


@needs_media
@pytest.mark.parametrize("line", [command.line for command in commands() if is_run(command)])
def test_every_cheap_command_does_its_work(user_folder: Path, line: str) -> None:
    words = shlex.split(line)
    if words[0] != "clipgaze":
        assert words[0] == "python", f"{line!r}: run it here, or list it with the reason"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk")])}
        done = subprocess.run(
            [sys.executable, *words[1:]], env=environment, timeout=120, check=False
        )
        assert done.returncode == 0
        return
    assert main(words[1:]) == 0
    if words[1] == "run":
        for name in make_parser().parse_args(words[1:]).outputs:
            assert name.exists()


def test_what_is_listed_as_not_run_is_still_told() -> None:
    lines = [command.line for command in commands()]
    unused = {start for start in NOT_RUN if not any(line.startswith(start) for line in lines)}
    assert not unused


PYTHON = [(document, block) for document in DOCUMENTS for block in blocks(document, "python")]


@needs_media
@pytest.mark.parametrize(("document", "example"), PYTHON)
def test_every_python_example_runs(user_folder: Path, document: str, example: str) -> None:
    compile(example, document, "exec")
    if any(mark in example for mark in NOT_RUN_PYTHON):
        return
    program = user_folder / "example.py"
    program.write_text(example, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}
    done = subprocess.run(
        [sys.executable, str(program)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "CAP_GSTREAMER" in example:  # this OpenCV opens no such camera, and the example says so
        assert done.returncode == 1
        assert "GStreamer" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or "print(" not in example, "the portrait's face was not found"


CALLS = sorted(
    {
        span
        for document in DOCUMENTS
        for span in code_spans(document)
        if re.match(r"(GazeEstimator|EstimatorOptions|Camera(\.\w+)?|estimate\w*)\(.*\)$", span)
    }
)


@needs_media
@pytest.mark.parametrize("call", CALLS)
def test_every_call_in_a_sentence_works(user_folder: Path, call: str) -> None:
    if any(mark in call for mark in NOT_RUN_PYTHON):
        return
    image = cv2.resize(cv2.imread("samples/media/portrait.jpg"), (640, 360))
    with GazeEstimator() as estimator:
        names = {
            **{name: getattr(clipgaze_sdk, name) for name in clipgaze_sdk.__all__},
            "estimate": estimator.estimate,
            "estimate_batch": estimator.estimate_batch,
            "image": image,
            "images": [image, image],
            "other": Camera.from_fov(640, 360),
        }
        made = eval(call, names)
    if isinstance(made, GazeEstimator):
        made.close()
    assert made is not None


def test_every_option_of_the_command_line_is_told_and_there() -> None:
    told = {
        option
        for span in code_spans("docs/cli.md")
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", span)
        if not span.startswith("python -m pip")
    }
    assert told - {"--help"} == options_of(make_parser()) - {"--help", "-h", "--version"}


def test_the_columns_of_the_csv_are_as_documented() -> None:
    from clipgaze_sdk.media.sinks import CSV_HEADER

    section = text_of("docs/cli.md").split("### CSV")[1].split("\n## ")[0]
    columns = re.findall(r"`(\w+)`", section.split("camera frame.")[1])
    assert tuple(columns) == CSV_HEADER


def test_the_defaults_that_are_told_are_the_defaults() -> None:
    options = EstimatorOptions()
    report = " ".join(text_of("docs/notes/model_report_2026-11.md").split())
    assert f"`min_confidence` {options.min_confidence}" in report
    assert f"`min_presence` {options.min_presence}" in report
    assert f"every {options.detect_interval}th frame" in text_of("docs/python.md")
    assert f"field of view of {options.horizontal_fov_deg:.0f}°" in text_of("README.md")


def test_the_readme_is_short_and_opens_with_the_demo_and_the_tests() -> None:
    text = text_of("README.md")
    assert text.count("\n") <= 150
    assert shell_lines("README.md")[:2] == ["scripts/demo", "scripts/test"]
    assert text.index("scripts/demo") < 500
    assert "Apache-2.0" in text[:300]
    assert text.index("docs/images/gaze.webp") < 900


def test_every_command_of_the_program_is_in_the_readme() -> None:
    spans = code_spans("README.md")
    for command in ("run", "bench", "doctor", "models", "build-engine"):
        assert any(span.startswith(f"clipgaze {command}") for span in spans), command


def test_figures_of_the_readme_are_those_of_the_cards() -> None:
    figures = {
        name: json.loads((MODELS / f"{name}.json").read_text())["figures"][
            "rendered_people_frozen_set"
        ]
        for name in ("gaze", "face_detector")
    }
    table = text_of("README.md").split("<!-- figures -->")[1].split("<!-- /figures -->")[0]
    gaze = figures["gaze"]
    mean, median = gaze["gaze_mean_deg"], gaze["gaze_median_deg"]
    assert f"mean {mean:.1f}°, median {median:.1f}°" in table
    assert f"both eyes visible {gaze['gaze_mean_eyes_visible_deg']:.1f}°" in table
    assert f"gaze {gaze['whole_sdk_gaze_mean_deg']:.1f}° off" in table
    assert f"{100 * figures['face_detector']['found']:.0f} % of the faces" in table
    assert "CLIP-Gaze has shown no gain" in table


def test_how_the_bundled_network_was_trained_is_told_as_its_card_says() -> None:
    command = json.loads((MODELS / "gaze.json").read_text())["command"]
    stages = re.findall(r"--method (\w+).*?--steps (\d+)", command)
    assert [method for method, _ in stages] == ["erm", "clip_gaze"]
    (first, second) = (f"{int(steps):,} steps of" for _, steps in stages)
    told = " ".join(text_of("docs/clip_gaze.md").split())
    assert f"{first} ERM" in told
    assert f"{second} CLIP-Gaze" in told


def test_every_data_set_and_the_defaults_of_fine_tuning_are_told() -> None:
    registry = pytest.importorskip("train.data.registry")
    tuning = pytest.importorskip("train.gaze.fine_tuning", reason="needs the extra [train]")
    text = " ".join(text_of("docs/evaluation.md").split())
    for name in set(registry.READERS) - {"rendered", "pool"}:  # of this project alone
        assert f"| `{name}` |" in text
    options = tuning.FineTuneOptions()
    assert f"for {options.steps} steps of {options.batch} at a rate of 3e-4" in text
    assert f"`--keep {options.keep}`" in text
    assert (options.learning_rate, options.layers, options.folds) == (3e-4, "stage", 5)


def test_the_table_of_boards_is_empty_until_measured() -> None:
    """Whoever fills it takes this test away, and says where the figures are from."""
    table = text_of("docs/jetson.md").split("| board, JetPack, power mode")[1].split("\n\n")[0]
    assert table.count("\n") == 1


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_every_link_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / document).parent / path if path else ROOT / document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.resolve().relative_to(ROOT).as_posix()), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_told_is_there(document: str) -> None:
    room = r"(?:sdk|cpp_ext|train|export|samples|tests|scripts|docs)/[\w./-]+"
    paths = {span for span in code_spans(document) if re.fullmatch(room, span)}
    patterns = {path for path in paths if re.search("NAME|XXXX", path)}
    missing = {path for path in paths - patterns if not (ROOT / path).exists()}
    assert not missing


def test_every_page_that_code_names_is_there() -> None:
    code = [
        path
        for folder in ("sdk", "train", "export", "samples", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sh", ".json", "") and path.is_file()
    ]
    named = {
        page
        for path in code
        for page in re.findall(r"\bdocs/[\w./-]+\.md\b", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not {page for page in named if not (ROOT / page).exists()}


def test_every_picture_is_shown() -> None:
    shown = "".join(text_of(document) for document in DOCUMENTS)
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.name in shown, f"{picture.name} is in no document"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_are_short(document: str) -> None:
    for line in text_of(document).splitlines():
        if not line.startswith("|"):
            bare = re.sub(r"\]\([^)]*\)", "]", line)
            assert len(bare.encode()) <= 100, line


def test_a_contributor_finds_what_to_open() -> None:
    table = text_of("CONTRIBUTING.md").split("| I want to change | open |")[1].split("\n\n")[0]
    rows = table.strip().splitlines()[1:]
    assert len(rows) >= 10
    for row in rows:
        paths = re.findall(r"`([\w./]+)`", row.split("|")[2])
        assert paths, row
        for path in paths:
            assert (ROOT / path).exists(), path


def test_the_slow_tests_are_those_that_contributing_names() -> None:
    block = text_of("CONTRIBUTING.md").split("<!-- slow-tests -->")[1]
    named = set(
        re.findall(r"^\| `(test_\w+)`", block.split("<!-- /slow-tests -->")[0], re.MULTILINE)
    )
    mark = re.compile(r"@pytest\.mark\.slow\b.*?\ndef (test_\w+)", re.DOTALL)
    slow = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if path != Path(__file__)
        for name in mark.findall(path.read_text(encoding="utf-8"))
    }
    assert named == slow
