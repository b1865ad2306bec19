"""Which file serves which task: the wheel's networks, or the user's in their place."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from pathlib import Path

from .._errors import ConfigurationError, ModelError
from ..tensorrt.info import ENGINE_SUFFIX, sidecar_path
from .cards import TASK_OUTPUTS, ModelCard
from .derived import delta_path, derived_bytes

BUNDLED_FOLDER = Path(__file__).parent
TASKS = tuple(TASK_OUTPUTS)
KINDS = {"fp32": "", "fp16": ".fp16", "int8": ".int8_cpu"}
"""By precision: what the name of ONNX Runtime's graph has before its ``.onnx``."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """A network's file and its card, checked against each other."""

    path: Path
    """Where it lies; where it would lie, if it is made from others (:mod:`.derived`)."""
    card: ModelCard
    data: bytes = field(repr=False)
    """The bytes that were checked; what is loaded are these, whatever becomes of the file."""


def resolve_models(
    model: str | Path | None, *, tasks: tuple[str, ...] = TASKS, precision: str | None = None
) -> dict[str, ModelFile]:
    """Return a file for each task.

    Args:
        model: None for the wheel's networks; an ``.onnx`` or ``.engine`` file, or the name of a
            bundled one, which serves the task that its card names; or a folder with some or all of
            ``face_detector``, ``face_landmarks`` and ``gaze``, each as ``.engine`` or ``.onnx`` (an
            engine goes first: it was built on purpose).  What is not given comes from the wheel.
        tasks: the tasks that are needed.
        precision: that all of them have, "fp32", "fp16" or "int8"; a folder's ``gaze.fp16.onnx``
            or ``gaze.int8_cpu.onnx`` then goes before its ``gaze.onnx``.  None: what is given has
            whatever it has, and the rest is FP32.

    Raises:
        ModelError: a file or card is missing, damaged, or does not match the other.
        ConfigurationError: what is given has another precision.
    """
    kind = KINDS[precision or "fp32"]
    given = {} if model is None else _given_models(Path(model), kind)
    for found in given.values():
        if precision is not None and found.card.precision != precision:
            raise ConfigurationError(
                f"precision={precision!r} was given with the model {str(found.path)!r}, which is "
                f"{found.card.precision}. Leave out one, or give a model of {precision}."
            )
    return {task: given.get(task) or _bundled_model(task, kind) for task in tasks}


def load_model_file(path: Path) -> ModelFile:
    """Return a model file with its card, after checking its SHA-256.

    The card of ``NAME.onnx`` is ``NAME.json``; that of ``NAME.engine`` is ``NAME.engine.json``.  A
    file that is not there is made, if ``NAME.delta`` says from what.

    Raises:
        ModelError: either is missing or damaged, or they do not match.
    """
    if not _exists(path):
        raise ModelError(
            f"model file {str(path)!r} does not exist; expected an .onnx file with its card "
            "(.json) beside it, an .engine file with its side-car (.engine.json), or one of the "
            f"bundled networks: {', '.join(bundled_names())}. Check the path."
        )
    if path.suffix not in (".onnx", ENGINE_SUFFIX):
        raise ModelError(
            f"model file {str(path)!r} ends in {path.suffix!r}; expected an .onnx file, an .engine "
            "file or a folder."
        )
    card_path = path.with_suffix(".json") if path.suffix == ".onnx" else sidecar_path(path)
    try:
        return _read_pair(path, card_path)
    except ModelError:
        from ..writing import put_back

        if not put_back((path, card_path)):
            raise
        return _read_pair(path, card_path)


def _read_pair(path: Path, card_path: Path) -> ModelFile:
    card = ModelCard.load(card_path)
    made = None
    if not path.is_file():
        made = derived_bytes(path, _source_bytes)
    return ModelFile(path, card, card.check_file(path, made))


def _source_bytes(path: Path) -> bytes:
    if not path.is_file():  # it is whole, and made of nothing else
        raise ModelError(f"{str(path)!r} is missing. Reinstall clipgaze-sdk, or copy it again.")
    return load_model_file(path).data


def find_model_file(path: Path) -> ModelFile:
    """Return a file as :func:`load_model_file`, or the bundled network of that name.

    Raises:
        ModelError: there is neither, or it is damaged.
    """
    if str(path) in bundled_names() and not _exists(path):
        path = BUNDLED_FOLDER / path
    return load_model_file(path)


def bundled_names() -> list[str]:
    """Return the file names of the bundled networks in all precisions, such as "gaze.onnx"."""
    stems = sorted(path.stem for task in TASKS for path in BUNDLED_FOLDER.glob(f"{task}*.json"))
    return [f"{stem}.onnx" for stem in stems]


def _given_models(path: Path, kind: str) -> dict[str, ModelFile]:
    if not os.path.isdir(path):
        model = find_model_file(path)
        return {model.card.task: model}
    models = {}
    for task in TASKS:
        names = (f"{task}{ENGINE_SUFFIX}", f"{task}{kind}.onnx", f"{task}.onnx")
        if found := next((path / name for name in names if _exists(path / name)), None):
            models[task] = _checked_task(load_model_file(found), task)
    if not models:
        raise ModelError(
            f"model folder {str(path)!r} holds none of "
            f"{', '.join(f'{task}.onnx' for task in TASKS)}, nor an .engine of these names; "
            "expected at least one, with its card (.json). Rename the files, or pass one file."
        )
    return models


def _bundled_model(task: str, kind: str) -> ModelFile:
    path = BUNDLED_FOLDER / f"{task}{kind}.onnx"
    if not _exists(path):
        raise ModelError(
            f"this installation has no bundled {task} network ({str(path)!r} is missing). "
            "Reinstall clipgaze-sdk from a wheel, or pass model= a folder that has "
            f"{path.name} and {path.stem}.json."
        )
    return _checked_task(load_model_file(path), task)


def _exists(path: Path) -> bool:
    # os.path's functions also say no to names that cannot be: too long, or with a NUL.
    made = path.suffix == ".onnx" and os.path.isfile(delta_path(path))
    return made or os.path.isfile(path)


def _checked_task(found: ModelFile, task: str) -> ModelFile:
    if found.card.task != task:
        raise ModelError(
            f"{str(found.path)!r} is named for the task {task!r}, but its card says "
            f"{found.card.task!r}. Name the file {found.card.task}{found.path.suffix}, and its "
            "card likewise."
        )
    return found
