"""Networks as TensorRT engines, on the GPU."""

from __future__ import annotations

from dataclasses import asdict

from .._errors import BackendError, ModelError
from ..models.cards import TASK_OUTPUTS, ModelCard
from ..models.files import BUNDLED_FOLDER, ModelFile
from ..tensorrt.info import EngineInfo
from .cuda import import_cuda, import_tensorrt, this_machine
from .engine_runner import EngineRunner


def load_engine(model: ModelFile) -> EngineRunner:
    """Load an engine with its side-car.

    Args:
        model: the engine and its side-car, checked by SHA-256 already.

    Raises:
        ModelError: the side-car is incomplete, or says other tensors than the engine has.
        BackendError: TensorRT, pycuda or a GPU is missing; the engine was built for another
            version of TensorRT, another GPU, another system or other weights; or it cannot be
            loaded.
    """
    path, card = model.path, model.card
    info = EngineInfo.from_card(card)
    again = f"Build it again, on this machine: {info.build_command(path)}"
    here = asdict(this_machine(import_tensorrt(), import_cuda()))
    wrong = [
        f"{name.replace('_', ' ')} {value} (here {here[name]})"
        for name, value in asdict(info.machine).items()
        if value != here[name]
    ]
    if wrong:
        raise BackendError(
            f"engine {str(path)!r} was built for {', '.join(wrong)}; an engine runs only where it "
            f"was built. {again}"
        )
    bundled = BUNDLED_FOLDER / f"{card.task}.json"  # its weights go with this package's version
    is_bundled = info.source in TASK_OUTPUTS and bundled.is_file()
    if is_bundled and ModelCard.load(bundled).sha256 != info.base_sha256:
        raise BackendError(
            f"engine {str(path)!r} was built from the bundled {card.task} network of another "
            f"version of clipgaze-sdk. {again}"
        )
    try:
        runner = EngineRunner(model.data, name=str(path))
    except BackendError as error:
        raise BackendError(f"{error} {again}") from error
    try:
        card.check_tensors(inputs=runner.inputs, outputs=runner.outputs)
        if runner.profile != info.profile:
            raise ModelError(
                f"engine {str(path)!r} takes shapes {runner.profile}; its side-car says "
                f"{info.profile}. {again}"
            )
    except ModelError:
        runner.close()
        raise
    return runner
