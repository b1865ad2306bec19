from __future__ import annotations

import io

import pytest

from clipgaze_sdk.cli.progress import ProgressLine, progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_shows_share_rate_and_what_is_left() -> None:
    line = progress_line(25, 100, elapsed_s=5.0)
    assert line == "[#####---------------] 25/100, 5.0/s, 15 s left"


def test_without_a_total_only_the_count_is_shown() -> None:
    assert progress_line(7, None, elapsed_s=2.0) == "7 frames, 3.5/s"


@pytest.mark.parametrize(("done", "total"), [(0, 0), (0, 5), (5, 5), (9, 5)])
def test_the_bar_has_one_length(done: int, total: int) -> None:
    assert progress_line(done, total, elapsed_s=0.0).index("]") == 21


@pytest.mark.parametrize("columns", ["10", "30", "200"])
def test_the_line_always_fits(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    terminal = Terminal()
    ProgressLine(terminal, total=10**6).update(999_999)
    assert len(terminal.getvalue()) == 1 + max(20, int(columns) - 1)


def test_a_terminal_sees_the_bar_and_then_an_empty_line() -> None:
    terminal = Terminal()
    bar = ProgressLine(terminal, total=2)
    bar.update(1)
    bar.update(2)
    bar.clear()
    assert terminal.getvalue().count("\r") == 3
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_anything_else_sees_nothing() -> None:
    stream = io.StringIO()
    bar = ProgressLine(stream, total=2)
    bar.update(1)
    bar.clear()
    assert stream.getvalue() == ""
