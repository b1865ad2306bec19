"""How the command ends, and where it runs: signals, closed streams, names and locales."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from clipgaze_sdk.cli import main
from clipgaze_sdk.media.sources import open_source
from tests.fake_networks import draw_faces, write_networks

ROOT = Path(__file__).parents[3]
CLIPGAZE = [sys.executable, "-m", "clipgaze_sdk"]
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="no such signals here")


@pytest.fixture(scope="module", autouse=True)
def signals_that_arrive() -> Iterator[None]:
    """Under nohup or in the background they are ignored, and so in what is started from here."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_networks(tmp_path_factory.mktemp("networks"))


def write_clip(path: Path, *, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (320, 240))
    image = draw_faces((320, 240), [(160, 120)])
    for _ in range(frames):
        writer.write(image)
    writer.release()
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "face.png"), draw_faces((640, 360), [(320, 180)]))
    return tmp_path / "face.png"


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CLIPGAZE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


@needs_signals
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_finishes_what_was_done(tmp_path: Path, networks: Path, name: str) -> None:
    number = getattr(signal, name)
    clip = write_clip(tmp_path / "clip.avi", frames=3000)
    outputs = [tmp_path / "out.avi", tmp_path / "out.mp4", tmp_path / "out.jsonl"]
    process = start("run", clip, *outputs, "--model", networks, "--threads", 1)
    deadline_s = time.monotonic() + 60.0
    while time.monotonic() < deadline_s and process.poll() is None:
        if outputs[-1].exists() and outputs[-1].read_text().count("\n") > 5:
            break
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "interrupted: " in err
    assert "Traceback" not in err
    count = len([json.loads(line) for line in outputs[-1].read_text().splitlines()])
    assert 5 < count < 3000
    for video in outputs[:2]:
        assert count - 1 <= len(list(open_source(str(video)).frames())) <= count + 1


@needs_signals
@pytest.mark.parametrize("converted", [False, True])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_during_the_imports_is_no_traceback(
    picture: Path, name: str, code: int, converted: bool
) -> None:
    # Some libraries turn an interrupt in their initialisation into an ImportError.
    program = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            try:
                os.kill(os.getpid(), signal.{name})
            except KeyboardInterrupt as error:
                raise ImportError("initialisation failed") if {converted} else error
sys.meta_path.insert(0, Finder())
from clipgaze_sdk.cli import main
sys.exit(main(["run", {str(picture)!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (code, "interrupted\n")


@needs_signals
def test_signals_that_the_caller_has_set_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert main(["run", "missing.jpg"]) == 1
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom clipgaze_sdk.cli import make_parser\nmake_parser()\n"
        "print([name for name in ('numpy', 'cv2', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "1>&- 2>&-", "0>&- 1>&- 2>&-", "2>/dev/full"])
def test_closed_streams_are_no_error(
    tmp_path: Path, picture: Path, networks: Path, closed: str
) -> None:
    output = tmp_path / "out.jsonl"
    command = f"exec {sys.executable} -m clipgaze_sdk run {picture} {output} --model {networks}"
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], timeout=60, check=False)
    assert done.returncode == 0
    assert len(json.loads(output.read_text())["faces"]) == 1  # and nothing else is in it


def test_an_app_without_streams_can_call_it(picture: Path, networks: Path) -> None:
    program = (
        "import sys\nsys.stdout = sys.stderr = None\nfrom clipgaze_sdk.cli import main\n"
        f"sys.exit(main(['run', {str(picture)!r}, '--model', {str(networks)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.fixture(params=["utf-8", "C"])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "C":
        yield os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    else:
        yield os.environ | {"PYTHONUTF8": "1"}


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
@pytest.mark.parametrize("name", ["café", "目"])
def test_names_that_are_not_ascii_work_in_every_locale(
    tmp_path: Path, networks: Path, environment: dict[str, str], name: str
) -> None:
    write_clip(tmp_path / f"{name}.avi", frames=3)
    outputs = [f"{name}2.avi", f"{name}.jsonl", f"{name}.csv"]
    process = start(
        "run", f"{name}.avi", *outputs, "--model", networks, cwd=tmp_path, env=environment
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(list(open_source(str(tmp_path / outputs[0])).frames())) == 3
    sources = [
        json.loads(line)["source"] for line in (tmp_path / outputs[1]).read_text().splitlines()
    ]
    assert sources == [f"{name}.avi"] * 3
    assert (tmp_path / outputs[2]).read_text("utf-8").splitlines()[1].startswith(f"{name}.avi,0,")


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_names_that_are_no_utf_8_run_or_are_one_line(
    tmp_path: Path, networks: Path, picture: Path, environment: dict[str, str]
) -> None:
    clip = os.fsencode(tmp_path) + b"/caf\xe9.avi"
    os.rename(write_clip(tmp_path / "clip.avi", frames=3), clip)
    (tmp_path / "in").mkdir()
    os.rename(picture, os.fsencode(tmp_path) + b"/in/caf\xe9.png")

    def run(*arguments: object) -> tuple[int, str, str]:
        process = start(
            "run", *map(os.fsdecode, arguments), "--model", networks, env=environment, cwd=tmp_path
        )
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out, err

    for arguments in ((clip,), (clip, "out.jsonl")):
        code, _, err = run(*arguments)
        assert code == 1
        assert err.startswith("error: OpenCV cannot open")
        assert err.count("\n") == 1
    code, out, _ = run("in", "faces.csv", "faces.jsonl", "out")
    assert code == 0
    assert (tmp_path / "faces.csv").read_text("utf-8").splitlines()[1].startswith(r"caf\xe9.png,0,")
    assert json.loads((tmp_path / "faces.jsonl").read_text())["source"] == r"caf\xe9.png"
    assert os.listdir(os.fsencode(tmp_path / "out")) == [b"caf\xe9.png"]
    code, out, _ = run("in")
    assert code == 0
    assert out.startswith(r"caf\xe9.png: 1 face")
