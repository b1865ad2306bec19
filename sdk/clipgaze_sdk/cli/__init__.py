"""The command ``clipgaze``.

Exit codes: 0 done, 1 something failed (one line ``error: …`` says what), 2 wrong arguments, 3
``build-engine`` found no TensorRT; 130, 143 and 129 stopped by Ctrl-C, SIGTERM and SIGHUP, with
what was done so far finished.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from .. import __version__
from .._errors import ClipGazeError, ConfigurationError
from .progress import say

__all__ = ["main", "make_parser"]


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with one subcommand a module of this package."""
    from . import bench, build_engine, doctor, models, run

    parser = argparse.ArgumentParser(
        prog="clipgaze",
        description="Where people look, from any camera.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 no TensorRT to build with, 130 "
        "stopped by Ctrl-C (143 by SIGTERM, 129 by SIGHUP).",
    )
    parser.add_argument("--version", action="version", version=f"clipgaze {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (run, bench, build_engine, models, doctor):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments after the program's name; ``sys.argv[1:]`` when None.

    Raises:
        SystemExit: by argparse, after ``--help``, ``--version`` and on wrong arguments (2).
    """
    _fill_closed_streams()
    with _interrupted_by_signals() as received:
        try:
            parser = make_parser()
            args, rest = parser.parse_known_args(argv)
            if rest and (not hasattr(args, "outputs") or any(text[0] == "-" for text in rest)):
                parser.error(f"unrecognized arguments: {' '.join(rest)}")
            elif rest:  # outputs after an option, which argparse does not join to those before it
                args.outputs = [*args.outputs, *map(Path, rest)]
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # a card's "°" is no error
            # The libraries below report each damaged packet; what matters is said by ourselves.
            os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
            os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
            code = int(args.command(args))
        except (Exception, KeyboardInterrupt) as error:
            code = _fail(KeyboardInterrupt() if received else error)
    return 128 + received[0] if received else code


def _fail(error: BaseException) -> int:
    """Say what went wrong in one line, and give the exit code."""
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return 130
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has left; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if not isinstance(error, (ClipGazeError, ImportError, OSError)):
        raise error
    more = " (`clipgaze doctor` says more)" if isinstance(error, ImportError) else ""
    say(f"error: {error}{more}")
    return 2 if isinstance(error, ConfigurationError) else 1


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[list[int]]:
    """Treat SIGTERM and SIGHUP as Ctrl-C, and give the list of what was received.

    The list also tells where a library took the interrupt for an error of its own, as some do while
    they are imported. What a caller has set for a signal stays as it is.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if not received or number == signal.SIGINT:  # a second SIGTERM lets the first one finish
            received.append(number)
            raise KeyboardInterrupt

    previous = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            with contextlib.suppress(ValueError):  # only the main thread may
                previous[number] = signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _fill_closed_streams() -> None:
    """Send what is printed to nowhere where a service or a windowed app has no stream for it."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass  # else the next file gets the number that libraries print their warnings to
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
