"""The commands of ``train`` and ``export``, and what their doors share.

A command is a small module, its door: a docstring that is its help, ``make_parser()`` and
``main(argv)``.  A door imports nothing heavy until its arguments are understood, so that
``--help`` answers at once and without the extra that the work needs::

    def main(argv: Sequence[str] | None = None) -> int:
        args = make_parser().parse_args(argv)
        with needs("train"):
            from train.gaze.fitting import run
        return run(args)
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
from collections.abc import Iterator

COMMANDS: dict[str, str] = {
    "train.synth": "render people: shards of pictures, previews, samples/media; time the renderer",
    "train.data": "check a data set: counts, ranges, signs, a contact sheet",
    "train.front.detector": "train the face detector",
    "train.front.landmarks": "train the landmark network",
    "train.front.mean": "average the weights of runs of one front-end network",
    "train.gaze.fit": "train a gaze network by any of five methods",
    "train.gaze.finetune": "fine-tune a gaze network to a few pictures of one's own",
    "train.gaze.adapt": "adapt a run to a target with few labels (SDA), as the paper reports it",
    "train.gaze.step_bench": "time a training step and its parts",
    "train.clip.pretrain": "pre-train the face CLIP on rendered people and captions",
    "train.clip.tune_prompts": "tune prompts by the proxy task: CoOp, CoCoOp, PCO",
    "train.clip.identity": "train the regressor of identity coefficients",
    "train.eval.assess": "measure a gaze network on a data set",
    "train.eval.bundled": "measure the bundled networks on rendered people",
    "train.eval.claims": "test what the method claims, by probes",
    "train.eval.features": "draw features before and after the separator",
    "train.eval.learning_curve": "show how the error fell with training",
    "train.eval.pairs": "time two sets of networks in turns",
    "train.eval.real": "measure gaze and irises on real people, with intervals",
    "train.eval.rendered": "measure gaze and irises on rendered people, with intervals",
    "train.runs.one_gpu": "render, train, measure and export in minutes, on one GPU",
    "train.runs.long_run": "train on idle cores, for days, in the background",
    "train.photos": "look at the SDK on photographs of real people",
    "train.ablation": "run the paper's tables at this project's scale",
}
"""Every command of ``python -m`` and what it is for."""

DEVICE_HELP = "cpu, cuda or cuda:N; without it cuda where there is one"


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a module's docstring, and says each option's default."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        said = action.help or ""
        has_default = action.default is not False and action.default not in (None, [], ())
        if (
            "%(default)" in said
            or not has_default
            or action.default == argparse.SUPPRESS
            or not action.option_strings
        ):
            return said
        return f"{said} (default: %(default)s)"


def command_parser(name: str, help_text: str | None) -> argparse.ArgumentParser:
    """A parser for ``python -m name`` whose help is the door's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}" if "/" not in name else f"python {name}",
        description=help_text,
        formatter_class=HelpFormatter,
    )


def announce(what: str) -> None:
    """Say what begins now, on stderr: long work is not silent where there is no terminal."""
    if sys.stderr is not None:
        print(what, file=sys.stderr, flush=True)


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing library into one line that says which extra brings it; exit code 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or _is_there(missing):
            raise
        print(
            f"error: {missing} is not installed; this command needs the extra [{extra}]: "
            f'python -m pip install -e ".[{extra}]"',
            file=sys.stderr,
        )
        raise SystemExit(1) from None


def _is_there(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:
        return False


def device_of(given: str | None) -> str:
    """The device that was given, or the best there is."""
    import torch

    return given or ("cuda" if torch.cuda.is_available() else "cpu")
