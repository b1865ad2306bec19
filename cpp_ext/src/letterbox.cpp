#include "clipgaze/letterbox.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "bilinear.hpp"
#include "interleaved.hpp"
#include "parallel.hpp"
#include "sampling.hpp"

namespace clipgaze {
namespace {

/// The source pixels under one output pixel along one axis; weights add up to 1.
struct Footprint {
    int first;
    std::vector<float> weights;
};

Footprint footprint(int index, double scale, int length) {
    const double begin = std::min(index / scale, static_cast<double>(length));
    const double end = std::min((index + 1) / scale, static_cast<double>(length));
    Footprint result;
    result.first = std::min(static_cast<int>(begin), length - 1);
    const int last = std::clamp(static_cast<int>(std::ceil(end)), result.first + 1, length);
    double sum = 0.0;
    std::vector<double> covered;
    for (int i = result.first; i < last; ++i) {
        covered.push_back(std::max(std::min(end, i + 1.0) - std::max(begin, 1.0 * i), 0.0));
        sum += covered.back();
    }
    for (const double part : covered) {
        result.weights.push_back(static_cast<float>(sum > 0.0 ? part / sum : 1.0));
    }
    return result;
}

/// Averages whole rows, then along them; `columns` has one footprint per output column.
class AreaShrinker {
  public:
    AreaShrinker(const ImageView& image, double scale, const std::vector<Footprint>& columns,
                 const ChannelMap& map)
        : image_(image),
          scale_(scale),
          columns_(columns),
          map_(map),
          // One more, as columns are read four floats at a time.
          sums_(3 * static_cast<std::size_t>(image.width) + 1),
          pixels_(image.format == PixelFormat::kNv12 ? sums_.size() : 0) {}

    void shrink_row(int y, const PlanesView& out) {
        average_rows(footprint(y, scale_, image_.height));
        float* planes[3];
        for (int c = 0; c < 3; ++c) {
            planes[c] = out.data + map_.plane[c] * out.plane_stride + y * out.row_stride;
        }
        for (std::size_t x = 0; x < columns_.size(); ++x) {
            const float* source = sums_.data() + 3 * static_cast<std::ptrdiff_t>(columns_[x].first);
            float mean[4] = {0.0F, 0.0F, 0.0F, 0.0F};
            for (const float weight : columns_[x].weights) {
                for (int c = 0; c < 4; ++c) mean[c] += weight * source[c];
                source += 3;
            }
            for (int c = 0; c < 3; ++c) planes[c][x] = mean[c] * map_.scale[c] + map_.bias[c];
        }
    }

  private:
    void average_rows(const Footprint& rows) {
        std::fill(sums_.begin(), sums_.end(), 0.0F);
        int y = rows.first;
        const std::ptrdiff_t count = 3 * static_cast<std::ptrdiff_t>(image_.width);
        for (const float weight : rows.weights) {
            const std::uint8_t* row = image_.data + y * image_.row_stride;
            if (image_.format == PixelFormat::kNv12) {
                copy_interleaved_row(image_, y, 0, image_.width, pixels_.data());
                row = pixels_.data();
            }
            float* sums = sums_.data();
            for (std::ptrdiff_t i = 0; i < count; ++i) sums[i] += weight * row[i];
            ++y;
        }
    }

    const ImageView& image_;
    double scale_;
    const std::vector<Footprint>& columns_;
    const ChannelMap& map_;
    std::vector<float> sums_;
    std::vector<std::uint8_t> pixels_;
};

void shrink(const ImageView& image, double scale, const Normalization& normalization, int threads,
            const PlanesView& out) {
    const ChannelMap map = channel_map(image.format, normalization, 1.0);
    std::vector<Footprint> columns;
    for (int x = 0; x < out.width; ++x) columns.push_back(footprint(x, scale, image.width));
    parallel_for(out.height, threads, [&](std::int64_t begin, std::int64_t end) {
        AreaShrinker shrinker(image, scale, columns, map);
        for (std::int64_t y = begin; y < end; ++y) shrinker.shrink_row(static_cast<int>(y), out);
    });
}

void enlarge(const ImageView& image, double scale, const Normalization& normalization, int threads,
             const PlanesView& out) {
    ImageView source = image;
    std::vector<std::uint8_t> storage;
    if (image.format == PixelFormat::kNv12 || image.width < 2 || image.height < 2) {
        source = interleaved_copy(image, {0, 0, image.width, image.height}, threads, storage);
    }
    const ChannelMap map = channel_map(source.format, normalization, kWeightOne);
    const double step = 1.0 / scale;
    const double first = 0.5 * step - 0.5;
    const double homography[9] = {step, 0.0, first, 0.0, step, first, 0.0, 0.0, 1.0};
    parallel_for(out.height, threads, [&](std::int64_t begin, std::int64_t end) {
        warp_rows(source, 0, 0, homography, map, static_cast<int>(begin), static_cast<int>(end),
                  out);
    });
}

void fill_black(const Normalization& normalization, int x_begin, int y_begin,
                const PlanesView& out) {
    for (int c = 0; c < 3; ++c) {
        const float black = -normalization.mean[c] / normalization.std[c];
        for (int y = 0; y < out.height; ++y) {
            float* row = out.data + c * out.plane_stride + y * out.row_stride;
            std::fill(row + (y < y_begin ? x_begin : 0), row + out.width, black);
        }
    }
}

}  // namespace

double letterbox_normalize(const ImageView& image, int width, int height,
                           const Normalization& normalization, int threads, float* out) {
    const double scale = std::min(static_cast<double>(width) / image.width,
                                  static_cast<double>(height) / image.height);
    const auto fitted = [scale](int length, int limit) {
        return static_cast<int>(std::clamp(std::round(length * scale), 1.0, 1.0 * limit));
    };
    const PlanesView all = {out, width, height, width, static_cast<std::ptrdiff_t>(width) * height};
    PlanesView content = all;
    content.width = fitted(image.width, width);
    content.height = fitted(image.height, height);
    fill_black(normalization, content.width, content.height, all);
    if (scale < 1.0) {
        shrink(image, scale, normalization, threads, content);
    } else {
        enlarge(image, scale, normalization, threads, content);
    }
    return scale;
}

}  // namespace clipgaze
