#include "clipgaze/detections.hpp"

#include <algorithm>
#include <cmath>

namespace clipgaze {
namespace {

// In double, so that no float32 box overflows.
double intersection_over_union(const float* a, const float* b) {
    const auto side = [](double begin, double end) { return std::max(end - begin, 0.0); };
    const double width = side(std::max(a[0], b[0]), std::min(a[2], b[2]));
    const double height = side(std::max(a[1], b[1]), std::min(a[3], b[3]));
    const double intersection = width * height;
    const double total = side(a[0], a[2]) * side(a[1], a[3]) + side(b[0], b[2]) * side(b[1], b[3]);
    const double area = total - intersection;
    return area > 0.0 ? intersection / area : 0.0;
}

bool all_finite(const float* values, int count) {
    return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

int cells(int length, int stride) { return length / stride + (length % stride != 0 ? 1 : 0); }

Detection decode_one(float score, const float* box, const float* points, int row, int column,
                     int stride) {
    const float size = static_cast<float>(stride);
    const float x = (static_cast<float>(column) + 0.5F) * size - 0.5F;
    const float y = (static_cast<float>(row) + 0.5F) * size - 0.5F;
    Detection detection = {x - box[0] * size, y - box[1] * size, x + box[2] * size,
                           y + box[3] * size, score};
    for (std::size_t k = 0; k < 5; ++k) {
        detection[5 + 2 * k] = x + points[2 * k] * size;
        detection[6 + 2 * k] = y + points[2 * k + 1] * size;
    }
    return detection;
}

}  // namespace

std::int64_t anchor_count(int width, int height, const std::vector<int>& strides) {
    std::int64_t count = 0;
    for (const int stride : strides) {
        count += static_cast<std::int64_t>(cells(width, stride)) * cells(height, stride);
    }
    return count;
}

std::vector<std::int64_t> nms(const float* boxes, const float* scores, std::int64_t count,
                              float iou_threshold, std::int64_t max_detections) {
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < count; ++i) {
        if (std::isfinite(scores[i]) && all_finite(boxes + 4 * i, 4)) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [scores](std::int64_t a, std::int64_t b) { return scores[a] > scores[b]; });
    std::vector<std::int64_t> kept;
    for (const std::int64_t candidate : order) {
        if (static_cast<std::int64_t>(kept.size()) >= max_detections) break;
        const bool covered = std::any_of(kept.begin(), kept.end(), [&](std::int64_t better) {
            return intersection_over_union(boxes + 4 * better, boxes + 4 * candidate) >
                   static_cast<double>(iou_threshold);
        });
        if (!covered) kept.push_back(candidate);
    }
    return kept;
}

std::vector<Detection> decode_detections(const float* scores, const float* boxes,
                                         const float* points, const DetectionOptions& options) {
    std::vector<Detection> candidates;
    std::int64_t anchor = 0;
    for (const int stride : options.strides) {
        const int rows = cells(options.height, stride);
        const int columns = cells(options.width, stride);
        for (int row = 0; row < rows; ++row) {
            for (int column = 0; column < columns; ++column, ++anchor) {
                const float score = scores[anchor];
                if (!(score >= options.score_threshold)) continue;  // NaN does not pass
                const Detection detection = decode_one(score, boxes + 4 * anchor,
                                                       points + 10 * anchor, row, column, stride);
                if (all_finite(detection.data(), 15)) candidates.push_back(detection);
            }
        }
    }
    std::vector<float> candidate_boxes;
    std::vector<float> candidate_scores;
    for (const Detection& candidate : candidates) {
        candidate_boxes.insert(candidate_boxes.end(), candidate.begin(), candidate.begin() + 4);
        candidate_scores.push_back(candidate[4]);
    }
    std::vector<Detection> kept;
    for (const std::int64_t index : nms(candidate_boxes.data(), candidate_scores.data(),
                                        static_cast<std::int64_t>(candidates.size()),
                                        options.iou_threshold, options.max_detections)) {
        kept.push_back(candidates[static_cast<std::size_t>(index)]);
    }
    return kept;
}

}  // namespace clipgaze
