from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

def warp_normalize(
    image: NDArray[np.uint8],
    homographies: NDArray[np.float64],
    *,
    width: int,
    height: int,
    mean: Sequence[float],
    std: Sequence[float],
    color: Literal["bgr", "rgb", "nv12"] = "bgr",
    output_color: Literal["bgr", "rgb"] = "rgb",
    threads: int = 1,
    parts: NDArray[np.int64] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]: ...
def letterbox_normalize(
    image: NDArray[np.uint8],
    *,
    width: int,
    height: int,
    mean: Sequence[float],
    std: Sequence[float],
    color: Literal["bgr", "rgb", "nv12"] = "bgr",
    output_color: Literal["bgr", "rgb"] = "rgb",
    threads: int = 1,
    out: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], float]: ...
def decode_detections(
    scores: NDArray[np.float32],
    boxes: NDArray[np.float32],
    points: NDArray[np.float32],
    *,
    width: int,
    height: int,
    strides: Sequence[int],
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
) -> NDArray[np.float32]: ...
def nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    iou_threshold: float,
    max_detections: int,
) -> NDArray[np.int64]: ...
