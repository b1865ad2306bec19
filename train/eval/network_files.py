"""Networks in the form that the SDK runs, measured on data sets as runs of train.gaze.fit are.

Data sets give face crops of 224 × 224 pixels, seen at a focal length of 960 px from 600 mm.  What a
network looks at is said by its card: here it is cut out of those crops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipgaze_sdk import EstimatorOptions
from clipgaze_sdk.faces.crop_network import CropRequest
from clipgaze_sdk.faces.gaze_network import GazeNetwork
from clipgaze_sdk.faces.hysteresis import Crop
from clipgaze_sdk.geometry import GazeNormalization
from clipgaze_sdk.models.files import load_model_file
from train.data.tables import GazeDataset
from train.eval.protocol import (
    Answers,
    Figures,
    Predictions,
    ProtocolError,
    measured_errors,
    predictions,
    whole_report,
)
from train.gaze.sheets import eye_places, on_whole_pixels
from train.loop.weight_cards import MODEL
from train.synth.outputs.normalization import NORMALIZATION

_SUFFIXES = (".onnx", ".engine")
_SLACK_PX = 1e-6


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run of train.gaze.fit, and no network's file."""
    return (path / f"{MODEL}.safetensors").is_file()


def network_path(path: Path) -> Path:
    """The network's file of a path: itself, or ``gaze.onnx`` of a folder.

    Raises :class:`ProtocolError` where there is none.
    """
    if path.is_dir():
        found = [path / f"gaze{suffix}" for suffix in _SUFFIXES]
        there = [candidate for candidate in found if candidate.is_file()]
        if not there:
            names = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
            raise ProtocolError(
                f"{path} holds neither {MODEL}.safetensors (a run of "
                f"`python -m train.gaze.fit`) nor gaze.onnx; found {names}. "
                "Give a run, a folder with gaze.onnx, or an .onnx file"
            )
        return there[0]
    if path.suffix not in _SUFFIXES:
        what = "is" if path.exists() else "does not exist, and is"
        raise ProtocolError(
            f"{path} {what} no network: expected NAME.onnx with its card NAME.json beside it, or "
            "the folder of a run of `python -m train.gaze.fit`"
        )
    return path


def crop_from_input(network: GazeNormalization) -> NDArray[np.float64]:
    """(3, 3) homography from pixels of a network's input to those of the data sets' crops.

    Both look in the same direction, so that ``W₁ W₂⁻¹ = C₁ S₁ S₂⁻¹ C₂⁻¹``: an enlargement and a
    shift.  Raises :class:`ProtocolError` where the input reaches beyond the crop.
    """
    nearer = np.diag([1.0, 1.0, NORMALIZATION.distance_mm / network.distance_mm])
    homography = NORMALIZATION.matrix @ nearer @ np.linalg.inv(network.matrix)
    homography = homography / homography[2, 2]
    last = np.array(network.size_px) - 0.5
    corners = np.array([[-0.5, -0.5, 1.0], [*last, 1.0]]) @ homography.T
    low, high = corners[0, :2], corners[1, :2]
    edge = np.array(NORMALIZATION.size_px) - 0.5
    if (low < -0.5 - _SLACK_PX).any() or (high > edge + _SLACK_PX).any():
        raise ProtocolError(
            f"the network looks at columns {low[0] + 0.5:g} to {high[0] + 0.5:g} and rows "
            f"{low[1] + 0.5:g} to {high[1] + 0.5:g} of the normalised face, of which data sets "
            f"give 0 to {edge[0] + 0.5:g}: measure it with the SDK on whole pictures "
            "(`python -m train.eval.bundled`)"
        )
    return np.asarray(homography, np.float64)


class NetworkFile:
    """A gaze network's file, checked against its card; ``with`` closes it.

    Raises :class:`ProtocolError` for a network of another task, and the SDK's ``ModelError`` or
    ``BackendError`` for a file that it cannot use.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = network_path(path)
        file = load_model_file(self.path)
        self.card = file.card
        if self.card.task != "gaze":
            raise ProtocolError(
                f"{self.path} is a {self.card.task} by its card; expected a gaze network"
            )
        options = EstimatorOptions(color="rgb", threads=threads or torch.get_num_threads())
        self._network = GazeNetwork(file, options)
        try:
            self._crop_from_input = crop_from_input(self._network.normalization)
        except ProtocolError:
            self._network.close()
            raise

    def __enter__(self) -> NetworkFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._network.close()

    @property
    def normalization(self) -> GazeNormalization:
        """Of the crops that it looks at."""
        return self._network.normalization

    @property
    def rows(self) -> tuple[float, float]:
        """First row of the 224 × 224 crop that the network looks at, and the one after the last."""
        height = self._network.normalization.size_px[1]
        top = float((self._crop_from_input @ (0.0, -0.5, 1.0))[1])
        bottom = float((self._crop_from_input @ (0.0, height - 0.5, 1.0))[1])
        return top + 0.5, bottom + 0.5

    def ask(self, samples: Mapping[str, Tensor]) -> Answers:
        """``gaze`` (B, 2) and ``log_sigma`` (B,) of a batch of ``train.data.samples``."""
        pictures = np.ascontiguousarray(samples["image"].numpy().transpose(0, 2, 3, 1))
        eyes = on_whole_pixels(eye_places(samples)).double().numpy()
        crops = [Crop(self._crop_from_input, eyes_px=own) for own in eyes]
        said = self.ask_pictures(list(zip(pictures, crops, strict=True)))
        return {"gaze": said[:, :2], "log_sigma": said[:, 2]}

    def ask_pictures(
        self, pictures: Sequence[tuple[NDArray[np.uint8], Crop]]
    ) -> NDArray[np.float64]:
        """(N, 3) pitch, yaw and log sigma for crops that lie in RGB pictures."""
        places = self._network.places([crop for _, crop in pictures])
        pairs = zip(pictures, places, strict=True)
        inputs = [CropRequest(np.ascontiguousarray(rgb), place[None]) for (rgb, _), place in pairs]
        gaze, log_sigma, *_ = self._network.run(self._network.crops(inputs), places)
        return np.column_stack([gaze, log_sigma])

    def predict(self, dataset: GazeDataset, *, batch: int = 128, workers: int = 0) -> Predictions:
        """Predictions of all images, in the data set's order."""
        return predictions(self.ask, dataset, batch=batch, workers=workers)

    def about(self) -> Figures:
        """What a report says of the network."""
        trained_on: Any = self.card.trained_on
        return {
            "run": self.path.name,
            "method": self.path.name,
            "backbone": f"{self.card.name} in {self.card.precision}",
            "trained_on": trained_on or "what its card does not say",
            "seed": self.card.seed,
            "commit": self.card.commit,
            "sha256": self.card.sha256,
            "rows": list(self.rows),
        }


def assess_file(
    path: Path,
    dataset: GazeDataset,
    *,
    batch: int = 128,
    workers: int = 0,
    allow_broken: bool = False,
) -> Figures:
    """Figures of a network's file on a data set, as ``protocol.assess`` gives them of runs.

    ``seen_in_training`` is None, as a file does not say which images those were.
    """
    with NetworkFile(path) as network:
        said = network.predict(dataset, batch=batch, workers=workers)
        about = network.about()
    errors = measured_errors(said, dataset, allow_broken=allow_broken)
    return {
        "seen_in_training": None,
        "runs": [about],
        "last_epochs_deg": None,
        **whole_report([(errors, said)], dataset),
    }
