// From the raw outputs of an anchor-free face detector to faces.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace clipgaze {

/// x0 y0 x1 y1 score, then x y of five points; pixels of the network's input.
using Detection = std::array<float, 15>;

struct DetectionOptions {
    int width = 0;  // of the network's input, in pixels
    int height = 0;
    std::vector<int> strides;
    float score_threshold = 0.5F;
    float iou_threshold = 0.4F;
    std::int64_t max_detections = 1;
};

/// Cells of all grids: for each stride, ceil(height / stride) x ceil(width / stride).
std::int64_t anchor_count(int width, int height, const std::vector<int>& strides);

/// Decodes and suppresses. Per anchor: `scores` one probability, `boxes` the distances left, top,
/// right and bottom from the cell's centre, `points` five offsets dx, dy from it, both in units
/// of the stride. A cell's centre is (cell + 0.5) * stride - 0.5. Anchors with a number that is
/// not finite are dropped. The result is sorted by descending score.
std::vector<Detection> decode_detections(const float* scores, const float* boxes,
                                         const float* points, const DetectionOptions& options);

/// Greedy suppression of boxes (x0 y0 x1 y1) whose intersection over union with a better one is
/// above `iou_threshold`. Indices by descending score, of equal scores the lower index first.
/// Rows with a number that is not finite never pass. `scores` must not change meanwhile.
std::vector<std::int64_t> nms(const float* boxes, const float* scores, std::int64_t count,
                              float iou_threshold, std::int64_t max_detections);

}  // namespace clipgaze
