"""Which file serves which task: the wheel's networks, or the user's in their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ._cards import TASK_OUTPUTS, ModelCard
from ._errors import BackendError, ModelError

BUNDLED_FOLDER = Path(__file__).parent / "models"
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
        model: None for the wheel's networks; an ``.onnx`` file, which serves the task that its card
            names; or a folder with some or all of ``face_detector.onnx``, ``face_landmarks.onnx``
            and ``gaze.onnx``.  What is not given comes from the wheel.
        tasks: the tasks that are needed.

    Raises:
        ModelError: a file or card is missing, damaged, or does not match the other.
        BackendError: the file's kind needs a backend that is not available.
    """
    given = {} if model is None else _given_models(Path(model))
    return {task: given.get(task) or _bundled_model(task) for task in tasks}


def load_model_file(path: Path) -> ModelFile:
    """Return a model file with its card, after checking its SHA-256.

    Raises:
        ModelError: either is missing or damaged, or they do not match.
        BackendError: the file's kind needs a backend that is not available.
    """
    if not path.is_file():
        raise ModelError(
            f"model file {str(path)!r} does not exist; expected an .onnx file with its card "
            "(.json) beside it. Check the path."
        )
    if path.suffix == ".engine":
        raise BackendError(
            f"{str(path)!r} is a TensorRT engine, and the TensorRT backend is not available in "
            "this version. Pass the .onnx file from which the engine was built."
        )
    if path.suffix != ".onnx":
        raise ModelError(
            f"model file {str(path)!r} ends in {path.suffix!r}; expected an .onnx file or a folder."
        )
    card = ModelCard.load(path.with_suffix(".json"))
    card.check_file(path)
    return ModelFile(path, card)


def _given_models(path: Path) -> dict[str, ModelFile]:
    if not path.is_dir():
        found = load_model_file(path)
        return {found.card.task: found}
    models = {}
    for task in TASKS:
        for suffix in (".onnx", ".engine"):
            candidate = path / f"{task}{suffix}"
            if candidate.is_file():
                models[task] = _checked_task(load_model_file(candidate), task)
                break
    if not models:
        raise ModelError(
            f"model folder {str(path)!r} holds none of "
            f"{', '.join(f'{task}.onnx' for task in TASKS)}; expected at least one of them, with "
            "its card (.json). Rename the files, or pass one .onnx file itself."
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
            f"{found.card.task!r}. Name the file {found.card.task}.onnx and its card "
            f"{found.card.task}.json."
        )
    return found
