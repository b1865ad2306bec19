"""What a network sees at run time: its inputs, recorded while the SDK works on rendered pictures.

The SDK itself cuts the crops, so that calibration and checks see what run time sees, with the
detector's and the landmark network's errors.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from clipgaze_sdk import Camera, EstimatorOptions, GazeEstimator
from clipgaze_sdk.backends import Backend, load_backend
from clipgaze_sdk.faces import crop_network, detector
from clipgaze_sdk.faces.crop_network import CropRequest
from clipgaze_sdk.faces.eye_sheet import eye_middles
from clipgaze_sdk.faces.gaze_network import GazeNetwork
from clipgaze_sdk.faces.hysteresis import Crop
from clipgaze_sdk.models.files import ModelFile
from export.model_files import ExportError, Network
from train.eval.frozen_set import disturbed
from train.eval.network_files import crop_from_input
from train.gaze.sheets import canonical_places
from train.synth.outputs.shards import Sample, file_sha256, read_shard

CALIBRATION_IMAGES = 256
"""Inputs that calibration uses of each network; the detector's are of several sizes."""

Images = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Recorded inputs of a network."""

    images: Images
    """Each (1, 3, H, W), normalised."""
    sha256: str
    """Of all shapes and values."""


class _Recorder:
    """A backend that keeps what it is given."""

    def __init__(self, backend: Backend, kept: Images) -> None:
        self._backend = backend
        self._kept = kept

    def run(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        self._kept += [image[None].copy() for image in images]
        return self._backend.run(images)

    def close(self) -> None:
        self._backend.close()


def recorded_inputs(
    network: Network, folders: Sequence[Path], *, limit: int, cache: Path | None = None
) -> Inputs:
    """At most ``limit`` inputs of the network, evenly from the pictures of all folders' shards.

    With ``cache``, inputs are kept there under a key of everything that they depend on.  Raises
    :class:`ExportError` where there are no shards, or nothing in them reaches the network.
    """
    shards = _shards(folders)
    stored = None if cache is None else cache / f"{_key(network, shards, limit)}.npz"
    if stored is not None and (images := _read(stored)):
        return Inputs(images, inputs_sha256(images))
    images = _thinned(_recorded(network, shards), limit)
    if not images:
        where = ", ".join(map(str, folders))
        raise ExportError(
            f"no picture of {where} reaches the network {network.card.task}: no face was found in "
            "them. Expected rendered pictures or frames: `python -m train.synth write --product "
            "pictures --out DIR`"
        )
    if stored is not None:
        _write(stored, images)
    return Inputs(images, inputs_sha256(images))


def inputs_sha256(images: Images) -> str:
    """SHA-256 of all shapes and values, in order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(json.dumps(image.shape).encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _shards(folders: Sequence[Path]) -> list[Path]:
    found = []
    for folder in folders:
        shards = sorted(folder.glob("shard-*.tar"))
        if not shards:
            state = "is empty or has other files" if folder.is_dir() else "is no folder"
            raise ExportError(
                f"{folder} {state}; expected shard-*.tar of rendered pictures: write some with "
                "`python -m train.synth write --product pictures --out DIR`"
            )
        found += shards
    return found


def _recorded(network: Network, shards: Sequence[Path]) -> Images:
    images: Images = []
    options = EstimatorOptions(color="rgb", threads=1)
    try:
        with _recording(network.card.task, images):
            estimator = GazeEstimator(network.path, options=options)
        with estimator, ExitStack() as opened:
            cutting: GazeNetwork | None = None
            for sample in itertools.chain.from_iterable(map(read_shard, shards)):
                if "crop_gaze_pitch_yaw_rad" in sample.labels:
                    if cutting is None:
                        cutting = opened.enter_context(closing(gaze_network(network)))
                    images.append(gaze_input(cutting, sample)[0])
                else:
                    _look_at(estimator, sample)
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{shards[0].parent} cannot be used ({type(error).__name__}: {error}). Expected "
            "rendered pictures, frames or crops of `python -m train.synth write`"
        ) from error
    return images


@contextmanager
def _recording(task: str, images: Images) -> Iterator[None]:
    """Let estimators that are made here keep what the network of a task is given."""

    def load(model: ModelFile, *, threads: int) -> Backend:
        backend = load_backend(model, threads=threads)
        return _Recorder(backend, images) if model.card.task == task else backend

    with (
        patch.object(crop_network, "load_backend", load),
        patch.object(detector, "load_backend", load),
    ):
        yield


def _look_at(estimator: GazeEstimator, sample: Sample) -> None:
    """Run the SDK on a picture, with the picture's own camera."""
    rgb = np.ascontiguousarray(sample.rgb)
    matrix = np.array(sample.labels["camera_matrix"], np.float64)
    estimator.estimate(rgb, camera=Camera(matrix, size_px=(rgb.shape[1], rgb.shape[0])))


def gaze_network(network: Network) -> GazeNetwork:
    """A network of which :func:`gaze_input` cuts inputs; raises ValueError for another task."""
    if network.card.task != "gaze":
        raise ValueError(f"crops hold nothing that a {network.card.task} sees")
    return GazeNetwork(network.file, EstimatorOptions(color="rgb", threads=1))


def gaze_input(
    network: GazeNetwork, sample: Sample
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """An input (1, 3, H, W) and the gaze (2,) in its camera, of a rendered picture or crop.

    A picture's crop is placed with a landmark network's errors.  Raises :class:`ValueError` where a
    crop holds less than the network sees.
    """
    if "crop_gaze_pitch_yaw_rad" in sample.labels:
        gaze = np.array(sample.labels["crop_gaze_pitch_yaw_rad"], np.float64)
        crop = Crop(crop_from_input(network.normalization), eyes_px=_eyes_of(sample))
    else:
        crop, gaze = disturbed(sample, network.normalization)
    request = CropRequest(np.ascontiguousarray(sample.rgb), network.places([crop]))
    return network.crops([request]), gaze


def _eyes_of(sample: Sample) -> NDArray[np.float64]:
    """(2, 2) pixels of a crop: as seen; else the true ones; else those of a mean face."""
    labels = sample.labels
    if "seen_eyes_px" in labels:
        return np.array(labels["seen_eyes_px"], np.float64)
    if "landmarks_px" in labels:
        return eye_middles(np.array(labels["landmarks_px"], np.float64))
    head = torch.tensor([labels["crop_head_pitch_yaw_rad"]], dtype=torch.float64)
    return canonical_places(head)[0].numpy()


def _thinned(images: Images, limit: int) -> Images:
    """At most ``limit`` of the images, evenly spaced."""
    if len(images) <= limit:
        return images
    return [images[i] for i in np.linspace(0, len(images) - 1, limit).round().astype(int)]


def _key(network: Network, shards: Sequence[Path], limit: int) -> str:
    about = [network.card.sha256, limit, *(file_sha256(shard) for shard in shards)]
    return f"{network.card.task}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"


def _read(path: Path) -> Images:
    """The images of a cache file; none where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in sorted(file.files)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return []


def _write(path: Path, images: Images) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.stem + ".partial.npz")
    np.savez(partial, **{f"{i:06d}": image for i, image in enumerate(images)})  # type: ignore[arg-type]
    partial.replace(path)
