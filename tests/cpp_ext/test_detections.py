import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from clipgaze_sdk.kernels import decode_detections, nms
from tests.cpp_ext import twins

coordinate = st.floats(-50, 50, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 2.0**127])
# Few different values, so that ties and equal boxes happen.
score = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nan, np.inf]) | st.floats(0, 1, width=32)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), count=st.integers(0, 25))
def test_nms_agrees_with_its_twin(data, count):
    corners = data.draw(npst.arrays(np.float32, (count, 4), elements=coordinate))
    scores = data.draw(npst.arrays(np.float32, count, elements=score))
    options = {
        "iou_threshold": data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        "max_detections": data.draw(st.integers(1, 30)),
    }
    kept = nms(corners, scores, **options)
    assert kept.dtype == np.int64
    np.testing.assert_array_equal(kept, twins.nms(corners, scores, **options))


def test_nms_orders_by_score_and_ties_by_index():
    boxes = np.array([[0, 0, 1, 1], [10, 0, 11, 1], [20, 0, 21, 1], [30, 0, 31, 1]], np.float32)
    scores = np.array([0.5, np.nan, 0.9, 0.5], np.float32)
    assert nms(boxes, scores, iou_threshold=0.5, max_detections=9).tolist() == [2, 0, 3]
    assert nms(boxes, scores, iou_threshold=0.5, max_detections=2).tolist() == [2, 0]


def test_nms_keeps_overlap_at_the_threshold_and_drops_above():
    boxes = np.array([[0, 0, 2, 1], [1, 0, 3, 1]], np.float32)  # overlap of one third
    scores = np.array([0.5, 0.6], np.float32)
    assert nms(boxes, scores, iou_threshold=0.34, max_detections=9).tolist() == [1, 0]
    assert nms(boxes, scores, iou_threshold=0.33, max_detections=9).tolist() == [1]


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    strides=st.sampled_from([(8, 16, 32), (8,), (32, 5)]),
    seed=st.integers(0, 1 << 30),
    threshold=st.sampled_from([0.0, 0.5, 0.9]),
    broken=st.booleans(),
)
def test_decoding_agrees_with_its_twin(size, strides, seed, threshold, broken):
    rng = np.random.default_rng(seed)
    anchors = len(twins.cell_centres(*size, strides)[0])
    scores = rng.random(anchors, np.float32)
    boxes = rng.uniform(-0.2, 2, (anchors, 4)).astype(np.float32)
    points = rng.normal(size=(anchors, 10)).astype(np.float32)
    if broken:
        scores[rng.random(anchors) < 0.2] = np.nan
        boxes[rng.random(anchors) < 0.2, 1] = np.inf
        points[rng.random(anchors) < 0.2, 9] = np.nan
    options = {
        "width": size[0],
        "height": size[1],
        "strides": strides,
        "score_threshold": threshold,
        "iou_threshold": 0.4,
        "max_detections": 20,
    }
    found = decode_detections(scores, boxes, points, **options)
    expected = twins.decode_detections(scores, boxes, points, **options)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_one_anchor_by_hand():
    scores = np.zeros(4, np.float32)
    scores[3] = 0.75  # row 1, column 1 of stride 8: centre 11.5, 11.5
    boxes = np.tile(np.array([1, 0.5, 2, 1], np.float32), (4, 1))
    points = np.tile(np.arange(10, dtype=np.float32) / 8, (4, 1))
    found = decode_detections(
        scores,
        boxes,
        points,
        width=16,
        height=16,
        strides=[8],
        score_threshold=0.5,
        iou_threshold=0.4,
        max_detections=5,
    )
    expected = [[3.5, 7.5, 27.5, 19.5, 0.75, *(11.5 + np.arange(10))]]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
