"""The kernels of the compiled module once more, in plain numpy and float64."""

from __future__ import annotations

import numpy as np


def bgr_from_nv12(image: np.ndarray) -> np.ndarray:
    """(H * 3 / 2, W) uint8 to (H, W, 3) uint8; BT.601, limited range, 20-bit fixed point."""
    height, width = image.shape[0] * 2 // 3, image.shape[1]
    luma = np.maximum(image[:height].astype(np.int64) - 16, 0) * 1220542 + (1 << 19)
    chroma = image[height:].reshape(height // 2, width // 2, 2).astype(np.int64) - 128
    u, v = np.moveaxis(chroma.repeat(2, axis=0).repeat(2, axis=1), 2, 0)
    channels = (luma + 2116026 * u, luma - 409993 * u - 852492 * v, luma + 1673527 * v)
    return np.clip(np.stack(channels, axis=2) >> 20, 0, 255).astype(np.uint8)


def ordered(image: np.ndarray, color: str, output_color: str) -> np.ndarray:
    """The image as (H, W, 3) with channels in `output_color`."""
    if color == "nv12":
        image, color = bgr_from_nv12(image), "bgr"
    return image if color == output_color else image[..., ::-1]


def normalize(levels: np.ndarray, mean, std) -> np.ndarray:
    """(..., H, W, 3) grey levels to (..., 3, H, W)."""
    return np.moveaxis((levels / 255.0 - np.asarray(mean)) / np.asarray(std), -1, -3)


def bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Grey levels at pixel coordinates, border repeated."""
    height, width = image.shape[:2]
    x = np.clip(x, 0, width - 1)
    y = np.clip(y, 0, height - 1)
    x0 = np.floor(x).astype(int)
    y0 = np.floor(y).astype(int)
    x1 = np.minimum(x0 + 1, width - 1)
    y1 = np.minimum(y0 + 1, height - 1)
    fx = (x - x0)[..., None]
    fy = (y - y0)[..., None]
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    low = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return top * (1 - fy) + low * fy


def warp_normalize(
    image, homographies, *, width, height, mean, std, color="bgr", output_color="rgb"
) -> np.ndarray:
    image = ordered(image, color, output_color).astype(float)
    rows, columns = np.mgrid[0:height, 0:width]
    grid = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1).astype(float)
    crops = np.empty((len(homographies), 3, height, width))
    for crop, matrix in zip(crops, homographies, strict=True):
        x, y, w = matrix @ grid
        levels = bilinear(image, x / w, y / w).reshape(height, width, 3)
        crop[:] = normalize(levels, mean, std)
    return crops


def warp_part(image, matrix, *, width, height, samples, mean, std, **colors) -> np.ndarray:
    """(3, height, width): means over samples x samples places spread evenly over each pixel."""
    fine = np.diag([1 / samples, 1 / samples, 1])
    fine[:2, 2] = 0.5 / samples - 0.5
    size = {"width": width * samples, "height": height * samples}
    (crop,) = warp_normalize(image, [matrix @ fine], **size, mean=mean, std=std, **colors)
    return crop.reshape(3, height, samples, width, samples).mean(axis=(2, 4))


def area_weights(count: int, scale: float, length: int) -> np.ndarray:
    """(count, length): how much of each source pixel lies under each output pixel."""
    begin = np.arange(count)[:, None] / scale
    end = np.minimum((np.arange(count)[:, None] + 1) / scale, length)
    source = np.arange(length)[None]
    covered = np.clip(np.minimum(end, source + 1) - np.maximum(begin, source), 0, None)
    return covered / covered.sum(axis=1, keepdims=True)


def letterbox_normalize(
    image, *, width, height, mean, std, color="bgr", output_color="rgb"
) -> tuple[np.ndarray, float]:
    image = ordered(image, color, output_color).astype(float)
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    fitted_width = int(np.clip(np.floor(columns * scale + 0.5), 1, width))
    fitted_height = int(np.clip(np.floor(rows * scale + 0.5), 1, height))
    if scale < 1:
        along = area_weights(fitted_width, scale, columns)
        down = area_weights(fitted_height, scale, rows)
        content = np.einsum("yr,rcd,xc->yxd", down, image, along, optimize=True)
    else:
        y, x = np.mgrid[0:fitted_height, 0:fitted_width]
        content = bilinear(image, (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5)
    levels = np.zeros((height, width, 3))
    levels[:fitted_height, :fitted_width] = content
    return normalize(levels, mean, std)[None], scale


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    a, b = a.astype(float), b.astype(float)
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    areas = [float(np.prod(np.clip(box[2:] - box[:2], 0, None))) for box in (a, b)]
    union = sum(areas) - float(np.prod(sides))
    return float(np.prod(sides)) / union if union > 0 else 0.0


def nms(boxes, scores, *, iou_threshold, max_detections) -> np.ndarray:
    valid = np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
    kept: list[int] = []
    for index in sorted(np.flatnonzero(valid), key=lambda i: (-scores[i], i)):
        limit = np.float32(iou_threshold)
        if all(overlap(boxes[k], boxes[index]) <= limit for k in kept):
            kept.append(int(index))
    return np.array(kept[:max_detections], np.int64)


def cell_centres(width: int, height: int, strides) -> tuple[np.ndarray, np.ndarray]:
    """(A, 2) centres x, y in pixels, and (A,) strides."""
    centres, sizes = [], []
    for stride in strides:
        rows, columns = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)]
        cells = np.stack([columns.ravel(), rows.ravel()], axis=1)
        centres.append((cells + 0.5) * stride - 0.5)
        sizes.append(np.full(len(cells), stride))
    return np.concatenate(centres), np.concatenate(sizes)


def decode_detections(
    scores,
    boxes,
    points,
    *,
    width,
    height,
    strides,
    score_threshold,
    iou_threshold,
    max_detections,
) -> np.ndarray:
    centres, sizes = cell_centres(width, height, strides)
    scaled = boxes * sizes[:, None]
    rows = np.concatenate(
        [
            centres - scaled[:, :2],
            centres + scaled[:, 2:],
            scores[:, None],
            (centres[:, None] + points.reshape(-1, 5, 2) * sizes[:, None, None]).reshape(-1, 10),
        ],
        axis=1,
    ).astype(np.float32)
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 4] >= np.float32(score_threshold))]
    kept = nms(rows[:, :4], rows[:, 4], iou_threshold=iou_threshold, max_detections=max_detections)
    return rows[kept]
