"""Which file serves which task: the wheel's networks, or the user's in their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._errors import ModelError
from ..tensorrt.info import ENGINE_SUFFIX, sidecar_path
from .cards import TASK_OUTPUTS, ModelCard

BUNDLED_FOLDER = Path(__file__).parent
TASKS = tuple(TASK_OUTPUTS)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A network's file and its card, checked against each other."""

    path: Path
    card: ModelCard


def resolve_models(
    model: str | Path | None, *, tasks: tuple[str, ...] = TASKS
) -> dict[str, ModelFile]:
    """Return a file for each task.

    Args:
        model: None for the wheel's networks; an ``.onnx`` or ``.engine`` file, which serves the
            task that its card names; or a folder with some or all of ``face_detector``,
            ``face_landmarks`` and ``gaze``, each as ``.engine`` or ``.onnx`` (an engine goes first:
            it was built on purpose).  What is not given comes from the wheel.
        tasks: the tasks that are needed.

    Raises:
        ModelError: a file or card is missing, damaged, or does not match the other.
    """
    given = {} if model is None else _given_models(Path(model))
    return {task: given.get(task) or _bundled_model(task) for task in tasks}


def load_model_file(path: Path) -> ModelFile:
    """Return a model file with its card, after checking its SHA-256.

    The card of ``NAME.onnx`` is ``NAME.json``; that of ``NAME.engine`` is ``NAME.engine.json``.

    Raises:
        ModelError: either is missing or damaged, or they do not match.
    """
    if not path.is_file():
        raise ModelError(
            f"model file {str(path)!r} does not exist; expected an .onnx file with its card "
            "(.json) beside it, or an .engine file with its side-car (.engine.json). Check the "
            "path."
        )
    if path.suffix not in (".onnx", ENGINE_SUFFIX):
        raise ModelError(
            f"model file {str(path)!r} ends in {path.suffix!r}; expected an .onnx file, an .engine "
            "file or a folder."
        )
    is_engine = path.suffix == ENGINE_SUFFIX
    card = ModelCard.load(sidecar_path(path) if is_engine else path.with_suffix(".json"))
    card.check_file(path)
    return ModelFile(path, card)


def _given_models(path: Path) -> dict[str, ModelFile]:
    if not path.is_dir():
        found = load_model_file(path)
        return {found.card.task: found}
    models = {}
    for task in TASKS:
        for suffix in (ENGINE_SUFFIX, ".onnx"):
            candidate = path / f"{task}{suffix}"
            if candidate.is_file():
                models[task] = _checked_task(load_model_file(candidate), task)
                break
    if not models:
        raise ModelError(
            f"model folder {str(path)!r} holds none of "
            f"{', '.join(f'{task}.onnx' for task in TASKS)}, nor an .engine of these names; "
            "expected at least one of them, with its card (.json). Rename the files, or pass one "
            "file itself."
        )
    return models


def _bundled_model(task: str) -> ModelFile:
    path = BUNDLED_FOLDER / f"{task}.onnx"
    if not path.is_file():
        raise ModelError(
            f"this installation has no bundled {task} network ({str(path)!r} is missing). "
            "Reinstall clipgaze-sdk from a wheel, or pass model= a folder that has "
            f"{task}.onnx and {task}.json."
        )
    return _checked_task(load_model_file(path), task)


def _checked_task(found: ModelFile, task: str) -> ModelFile:
    if found.card.task != task:
        raise ModelError(
            f"{str(found.path)!r} is named for the task {task!r}, but its card says "
            f"{found.card.task!r}. Name the file {found.card.task}{found.path.suffix}, and its "
            "card likewise."
        )
    return found
