import numpy as np
import pytest

from clipgaze_sdk.kernels import decode_detections, letterbox_normalize, nms, warp_normalize
from tests.cpp_ext.pictures import noise

IMAGE = noise(12, 16, 3)
MATRIX = np.eye(3)[None]
TARGET = {"width": 5, "height": 4, "mean": (0, 0, 0), "std": (1, 1, 1)}


def warp(**changes):
    arguments = {"image": IMAGE, "homographies": MATRIX, **TARGET, **changes}
    return warp_normalize(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": [[1, 2, 3]]}, "image: got list, expected a numpy array of uint8"),
        ({"image": None}, "image: got NoneType"),
        (
            {"image": IMAGE.astype(np.float32)},
            r"got float32 of shape \(12, 16, 3\), expected uint8",
        ),
        ({"image": IMAGE.astype(np.int8)}, "got int8"),
        ({"image": IMAGE[..., 0]}, r"got uint8 of shape \(12, 16\)"),
        ({"image": noise(12, 16, 4)}, r"got uint8 of shape \(12, 16, 4\)"),
        ({"image": IMAGE[:0]}, r"got uint8 of shape \(0, 16, 3\)"),
        ({"image": IMAGE[:, :0]}, r"got uint8 of shape \(12, 0, 3\)"),
        ({"image": np.zeros((1, 32769, 3), np.uint8)}, "sides 1 to 32768"),
        ({"color": "nv12"}, r"expected uint8 of shape \(height \* 3 / 2, width\)"),
        ({"color": "nv12", "image": noise(12, 15)}, "width and height even"),
        ({"color": "nv12", "image": noise(10, 16)}, "width and height even"),
        ({"color": "grey"}, "color: got 'grey', expected 'bgr', 'rgb' or 'nv12'"),
        ({"output_color": "nv12"}, "output_color: got 'nv12', expected 'bgr' or 'rgb'"),
        ({"homographies": np.eye(3)}, r"homographies: got float64 of shape \(3, 3\), expected"),
        ({"homographies": MATRIX.astype(np.float32)}, "got float32"),
        ({"homographies": [np.eye(3)]}, "homographies: got list"),
        ({"homographies": np.zeros((2, 2, 3))}, r"got float64 of shape \(2, 2, 3\)"),
        ({"mean": (0, 0)}, "got 2 and 3 values, expected 3 each"),
        ({"std": (1, 1, 0)}, "std: got 0"),
        ({"std": (1, 1, np.nan)}, "std: got nan"),
        ({"mean": (0, np.inf, 0)}, "mean: got inf"),
        ({"width": 0}, "width: got 0, expected 1 to 32768"),
        ({"height": -3}, "height: got -3"),
        ({"width": 32769}, "width: got 32769"),
        ({"threads": 0}, "threads: got 0, expected 1 to 1024"),
        (
            {"out": np.empty((1, 3, 4, 6), np.float32)},
            r"expected writeable, aligned, C-contiguous float32 of",
        ),
        ({"out": np.empty((1, 3, 4, 5))}, "out: got float64"),
        ({"out": np.empty((1, 3, 4, 10), np.float32)[..., ::2]}, "out: got non-contiguous"),
        ({"out": [1.0]}, "out: got list"),
    ],
)
def test_warp_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        warp(**changes)


OUT = np.empty((1, 3, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 0, 5, 1), "parts: crop: got 1, expected 0 to 0"),
        ((-1, 0, 5, 1), "parts: crop: got -1"),
        ((0, 5, 1, 1), "parts: first column: got 5, expected 0 to 4"),
        ((0, -1, 5, 1), "parts: first column: got -1"),
        ((0, 2, 4, 1), "parts: width: got 4, expected 1 to 3"),
        ((0, 2, 0, 1), "parts: width: got 0"),
        ((0, 0, 5, 0), "parts: samples: got 0, expected 1 to 16"),
        ((0, 0, 5, 17), "parts: samples: got 17"),
        ((0, 0, 2**62, 1), r"parts: width: got 4.61169e\+18, expected 1 to 5"),
    ],
)
def test_parts_outside_of_their_crop_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        warp(parts=np.array([row]), out=OUT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": np.zeros((1, 4))}, "parts: got float64"),
        ({"parts": np.array([[0, 0, 5]])}, r"parts: got int64 of shape \(1, 3\), expected"),
        ({"parts": np.array([[0, 0, 2, 1]] * 2)}, r"expected int64 of shape \(1, 4\)"),
        ({"parts": [[0, 0, 5, 1]]}, "parts: got list"),
        ({"out": None}, "out: got None, expected the array that the parts are written to"),
        ({"out": np.empty((1, 3, 5, 5), np.float32)}, r"shape \(N, 3, 4, 5\)"),
    ],
)
def test_parts_say_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        warp(**{"parts": np.array([[0, 0, 5, 1]]), "out": OUT, **changes})


def test_read_only_out_is_refused():
    out = np.zeros((1, 3, 4, 5), np.float32)
    out.setflags(write=False)
    with pytest.raises(ValueError, match="out: got read-only"):
        warp(out=out)
    assert not out.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": IMAGE.astype(np.uint16)}, "got uint16"),
        ({"width": 0}, "width: got 0"),
        ({"threads": -1}, "threads: got -1"),
        ({"out": np.empty((3, 4, 5), np.float32)}, r"shape \(1, 3, 4, 5\)"),
    ],
)
def test_letterbox_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        letterbox_normalize(**{"image": IMAGE, **TARGET, **changes})


def strided_images():
    wide = noise(24, 48, 6)
    return {
        "every other pixel": wide[::2, ::2, ::2],
        "region": wide.reshape(24, 96, 3)[3:20, 5:40],
        "flipped": wide[:, ::-1, :3],
        "upside down": wide.reshape(24, 96, 3)[::-1],
        "channels reversed": wide.reshape(24, 96, 3)[..., ::-1],
        "transposed": wide[..., :3].transpose(1, 0, 2),
        "broadcast": np.broadcast_to(wide[:1, :, :3], (24, 48, 3)),
        "one column": wide[:, 5:6, :3],
        "one row": wide[5:6, :, 1:4],
    }


@pytest.mark.parametrize("name", strided_images())
def test_strided_and_read_only_images_are_accepted(name):
    image = strided_images()[name]
    contiguous = np.ascontiguousarray(image)
    contiguous.setflags(write=False)
    matrix = np.array([[[0.7, 0.1, 2], [0.1, 0.8, 1], [0, 0, 1]]])
    np.testing.assert_array_equal(
        warp(image=image, homographies=matrix), warp(image=contiguous, homographies=matrix)
    )
    for side in (4, 90):
        target = {**TARGET, "width": side, "height": side}
        np.testing.assert_array_equal(
            letterbox_normalize(image, **target)[0], letterbox_normalize(contiguous, **target)[0]
        )


def test_strided_nv12_is_accepted():
    wide = noise(18, 80)
    for image in (wide[:, 4:20], wide[:, ::2], wide[::-1]):
        np.testing.assert_array_equal(
            warp(image=image, color="nv12"),
            warp(image=np.ascontiguousarray(image), color="nv12"),
        )


def test_strided_homographies_and_out():
    matrices = np.random.default_rng(0).normal(size=(4, 3, 3))[::2].transpose(0, 2, 1)
    out = np.empty((2, 3, 4, 5), np.float32)
    result = warp(homographies=matrices, out=out)
    assert np.shares_memory(result, out)
    np.testing.assert_array_equal(out, warp(homographies=np.ascontiguousarray(matrices)))


def misaligned(array):
    """The same numbers, one byte beside an address that their type may have."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    moved = raw[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def test_misaligned_arrays_are_copied():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 50, (20, 2, 2)), axis=1).reshape(20, 4).astype(np.float32)
    scores = rng.uniform(size=20).astype(np.float32)
    options = {"iou_threshold": 0.5, "max_detections": 20}
    kept = nms(boxes, scores, **options)
    assert 1 < len(kept) < 20
    np.testing.assert_array_equal(nms(misaligned(boxes), misaligned(scores), **options), kept)
    arrays = {
        "scores": np.array([0.9, 0.1, 0.8, 0.7], np.float32),
        "boxes": rng.uniform(0.1, 0.5, (4, 4)).astype(np.float32),
        "points": rng.normal(size=(4, 10)).astype(np.float32),
    }
    moved = {name: misaligned(array) for name, array in arrays.items()}
    np.testing.assert_array_equal(
        decode_detections(**{**DETECTOR, **moved}), decode_detections(**{**DETECTOR, **arrays})
    )
    matrices = rng.normal(size=(2, 3, 3))
    np.testing.assert_array_equal(
        warp(homographies=misaligned(matrices)), warp(homographies=matrices)
    )


@pytest.mark.parametrize(
    "kernel", [warp, lambda out: letterbox_normalize(IMAGE, **TARGET, out=out)]
)
def test_a_misaligned_out_is_refused(kernel):
    out = misaligned(np.zeros((1, 3, 4, 5), np.float32))
    with pytest.raises(ValueError, match="out: got misaligned float32"):
        kernel(out=out)
    assert not out.any()


DETECTOR = {
    "scores": np.zeros(4, np.float32),
    "boxes": np.zeros((4, 4), np.float32),
    "points": np.zeros((4, 10), np.float32),
    "width": 16,
    "height": 16,
    "strides": [8],
    "score_threshold": 0.5,
    "iou_threshold": 0.4,
    "max_detections": 5,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros(5, np.float32)}, r"scores: got float32 of shape \(5,\), expected"),
        ({"scores": np.zeros(4)}, "scores: got float64"),
        ({"boxes": np.zeros((4, 5), np.float32)}, r"boxes: got float32 of shape \(4, 5\)"),
        ({"points": np.zeros((3, 10), np.float32)}, r"expected float32 of shape \(4, 10\)"),
        ({"points": None}, "points: got NoneType"),
        ({"strides": []}, "number of strides: got 0"),
        ({"strides": [0]}, "strides: got 0"),
        ({"width": 0}, "width: got 0"),
        ({"score_threshold": 1.5}, "score_threshold: got 1.5, expected 0 to 1"),
        ({"score_threshold": np.nan}, "score_threshold: got nan"),
        ({"iou_threshold": -0.1}, "iou_threshold: got -0.1"),
        ({"max_detections": 0}, "max_detections: got 0"),
    ],
)
def test_decoding_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        decode_detections(**{**DETECTOR, **changes})


def test_nms_says_what_is_wrong():
    boxes = np.zeros((2, 4), np.float32)
    scores = np.zeros(2, np.float32)
    options = {"iou_threshold": 0.5, "max_detections": 1}
    with pytest.raises(ValueError, match=r"boxes: got float32 of shape \(4, 2\)"):
        nms(np.zeros((4, 2), np.float32), scores, **options)
    with pytest.raises(ValueError, match=r"scores: got float32 of shape \(3,\)"):
        nms(boxes, np.zeros(3, np.float32), **options)
    with pytest.raises(ValueError, match="iou_threshold: got nan"):
        nms(boxes, scores, iou_threshold=float("nan"), max_detections=1)
    assert nms(boxes[:0], scores[:0], **options).shape == (0,)
