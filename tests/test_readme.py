"""What the documents for users tell to do is done here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from clipgaze_sdk.cli import main, make_parser

ROOT = Path(__file__).parents[1]
MEDIA = ROOT / "samples" / "media"
MODELS = ROOT / "sdk" / "clipgaze_sdk" / "models"
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/conventions.md", "docs/cli.md")

needs_media = pytest.mark.skipif(
    not (MEDIA / "clip.mp4").exists() or not (MODELS / "gaze.onnx").exists(),
    reason="samples/media or the bundled models are not in this checkout",
)


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def shell_lines(document: str) -> list[str]:
    lines = "".join(blocks(document, "bash")).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def clipgaze_lines() -> list[str]:
    return [line for line in shell_lines("README.md") if line.startswith("clipgaze ")]


def test_the_readme_opens_with_the_demo_and_the_tests() -> None:
    assert shell_lines("README.md")[:2] == ["scripts/demo", "scripts/test"]
    assert (ROOT / "README.md").read_text().index("scripts/demo") < 500


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_script_that_is_named_can_be_run(document: str) -> None:
    named = set(re.findall(r"\bscripts/\w+", (ROOT / document).read_text(encoding="utf-8")))
    assert {"scripts/demo", "scripts/test"} <= named
    for name in named:
        assert (ROOT / name).stat().st_mode & 0o100, f"{name} cannot be run"


@pytest.mark.parametrize("line", clipgaze_lines())
def test_every_command_is_one_that_the_program_takes(line: str) -> None:
    make_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("command", ["run", "bench", "doctor", "models"])
def test_every_command_is_in_the_readme(command: str) -> None:
    assert any(line.split()[1] == command for line in clipgaze_lines())


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write into, from which the samples are found as from the repository."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_media
@pytest.mark.parametrize("line", [line for line in clipgaze_lines() if line != "clipgaze run 0"])
def test_every_command_does_its_work(user_folder: Path, line: str) -> None:
    words = shlex.split(line)[1:]
    assert main(words) == 0
    if words[0] == "run":
        for name in make_parser().parse_args(words).outputs:
            assert name.exists()


@needs_media
def test_the_python_example_runs(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("README.md", "python")
    assert len(example.splitlines()) <= 10
    exec(compile(example, "README.md", "exec"), {})
    assert (user_folder / "gaze.jpg").stat().st_size > 1000
    assert capsys.readouterr().out.strip(), "the portrait's face was not found"


def test_the_examples_of_the_conventions_run() -> None:
    for example in blocks("docs/conventions.md", "python"):
        exec(compile(example, "docs/conventions.md", "exec"), {})


def test_the_columns_of_the_csv_are_as_documented() -> None:
    from clipgaze_sdk.media.sinks import CSV_HEADER

    section = (
        (ROOT / "docs/cli.md").read_text(encoding="utf-8").split("### CSV")[1].split("\n## ")[0]
    )
    columns = re.findall(r"`(\w+)`", section.split("camera frame.")[1])
    assert tuple(columns) == CSV_HEADER


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("https://"):
            assert (ROOT / document).parent.joinpath(target).exists(), target


def test_every_slow_test_is_named_in_contributing() -> None:
    named = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    mark = re.compile(r"@pytest\.mark\.slow\b.*?\ndef (test_\w+)", re.DOTALL)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path == Path(__file__):
            continue
        for name in mark.findall(path.read_text(encoding="utf-8")):
            assert name in named, f"{name} is slow, and CONTRIBUTING.md does not name it"
