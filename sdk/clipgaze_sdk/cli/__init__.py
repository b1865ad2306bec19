"""The command ``clipgaze``.

Exit codes: 0 done, 1 something failed (one line ``error: …`` says what), 2 wrong arguments, 3
``build-engine`` found no TensorRT, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from .._errors import ClipGazeError, ConfigurationError
from . import bench, build_engine, doctor, models, run

__all__ = ["main", "make_parser"]


class _CommandParser(argparse.ArgumentParser):
    """Takes options before, between and after the names of files."""

    _intermixed = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._intermixed:  # called back by the method below, up to Python 3.11
            return super().parse_known_args(args, namespace)
        self._intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixed = False


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with one subcommand a module of this package."""
    parser = argparse.ArgumentParser(
        prog="clipgaze",
        description="Where people look, from any camera.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 no TensorRT to build with, 130 "
        "stopped by Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"clipgaze {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_CommandParser)
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
    args = make_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a card's "°" is not worth an error
    # The libraries below report each damaged packet; what matters is said by our own messages.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except ConfigurationError as error:
        return _fail(error, code=2)
    except ClipGazeError as error:
        return _fail(error, code=1)
    except ImportError as error:
        return _fail(ImportError(f"{error} (`clipgaze doctor` says more)"), code=1)
    except BrokenPipeError:
        # Whoever read our output has left; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(error, code=1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _fail(error: Exception, *, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code
