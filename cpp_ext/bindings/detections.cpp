#include "clipgaze/detections.hpp"

#include <pybind11/stl.h>

#include <algorithm>

#include "arrays.hpp"

namespace clipgaze {
namespace {

constexpr const char* kDecodeDoc =
    R"(Turns the raw outputs of the face detector into faces, non-maximum suppression included.

For each stride in order there is a row-major grid of ceil(height / stride) x ceil(width / stride)
anchors, A in all; a cell's centre is ``(cell + 0.5) * stride - 0.5`` pixels.

Args:
    scores: (A,) float32, probabilities. Anchors with a number that is not finite are dropped.
    boxes: (A, 4) float32, distances left, top, right, bottom from the cell's centre, in strides.
    points: (A, 10) float32, five offsets dx, dy from the cell's centre, in strides.
    width: of the network's input, pixels; ``height`` likewise.
    score_threshold: 0 to 1; lower scores are dropped.
    iou_threshold: 0 to 1; boxes that overlap a better one by more are dropped.
    max_detections: at most so many rows, the best.

Returns:
    (n, 15) float32 by descending score: x0 y0 x1 y1 score, then x y of five points, in pixels.

Raises:
    ValueError: an argument has the wrong dtype, shape or range.)";

constexpr const char* kNmsDoc =
    R"(Greedy non-maximum suppression.

Args:
    boxes: (N, 4) float32, x0 y0 x1 y1.
    scores: (N,) float32. Rows with a number that is not finite never pass. No other thread may
        write them until the call returns: they are sorted where they lie.
    iou_threshold: 0 to 1; boxes that overlap a better one by more are dropped.
    max_detections: at most so many indices.

Returns:
    (n,) int64, indices by descending score; of equal scores the lower index comes first.

Raises:
    ValueError: an argument has the wrong dtype, shape or range.)";

constexpr double kMaxCount = 1e9;

py::array_t<float> decode(const py::object& scores, const py::object& boxes,
                          const py::object& points, int width, int height,
                          const std::vector<int>& strides, double score_threshold,
                          double iou_threshold, std::int64_t max_detections) {
    check_target(width, height, 1);
    check_range("number of strides", static_cast<double>(strides.size()), 1, 16);
    for (const int stride : strides) check_range("strides", stride, 1, 32768);
    check_range("score_threshold", score_threshold, 0, 1);
    check_range("iou_threshold", iou_threshold, 0, 1);
    check_range("max_detections", static_cast<double>(max_detections), 1, kMaxCount);
    DetectionOptions options;
    options.width = width;
    options.height = height;
    options.strides = strides;
    options.score_threshold = static_cast<float>(score_threshold);
    options.iou_threshold = static_cast<float>(iou_threshold);
    options.max_detections = max_detections;
    const auto anchors = static_cast<py::ssize_t>(anchor_count(width, height, strides));
    const auto score_array = input_array<float>(scores, "scores", {anchors});
    const auto box_array = input_array<float>(boxes, "boxes", {anchors, 4});
    const auto point_array = input_array<float>(points, "points", {anchors, 10});
    const float* const score_data = score_array.data();
    const float* const box_data = box_array.data();
    const float* const point_data = point_array.data();
    std::vector<Detection> found;
    {
        const py::gil_scoped_release released;
        found = decode_detections(score_data, box_data, point_data, options);
    }
    py::array_t<float> result({static_cast<py::ssize_t>(found.size()), py::ssize_t{15}});
    float* row = result.mutable_data();
    for (const Detection& detection : found) {
        row = std::copy(detection.begin(), detection.end(), row);
    }
    return result;
}

py::array_t<std::int64_t> suppress(const py::object& boxes, const py::object& scores,
                                   double iou_threshold, std::int64_t max_detections) {
    check_range("iou_threshold", iou_threshold, 0, 1);
    check_range("max_detections", static_cast<double>(max_detections), 1, kMaxCount);
    const auto box_array = input_array<float>(boxes, "boxes", {-1, 4});
    const auto score_array = input_array<float>(scores, "scores", {box_array.shape(0)});
    const float* const box_data = box_array.data();
    const float* const score_data = score_array.data();
    const std::int64_t count = box_array.shape(0);
    std::vector<std::int64_t> kept;
    {
        const py::gil_scoped_release released;
        kept = nms(box_data, score_data, count, static_cast<float>(iou_threshold), max_detections);
    }
    py::array_t<std::int64_t> result(static_cast<py::ssize_t>(kept.size()));
    std::copy(kept.begin(), kept.end(), result.mutable_data());
    return result;
}

}  // namespace

void bind_detections(py::module_& module) {
    module.def("decode_detections", &decode, py::arg("scores"), py::arg("boxes"), py::arg("points"),
               py::kw_only(), py::arg("width"), py::arg("height"), py::arg("strides"),
               py::arg("score_threshold"), py::arg("iou_threshold"), py::arg("max_detections"),
               kDecodeDoc);
    module.def("nms", &suppress, py::arg("boxes"), py::arg("scores"), py::kw_only(),
               py::arg("iou_threshold"), py::arg("max_detections"), kNmsDoc);
}

}  // namespace clipgaze
