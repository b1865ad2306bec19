#include "clipgaze/warp.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "bilinear.hpp"
#include "coordinates.hpp"
#include "interleaved.hpp"
#include "parallel.hpp"
#include "sampling.hpp"

namespace clipgaze {
namespace {

/// Blends pixels [first, first + 4) of a tile.
inline void blend(const ImageView& image, const Tile& tile, int first, const ChannelMap& map,
                  float* const* planes) {
    const std::uint8_t* tops[4];
    for (int i = 0; i < 4; ++i) {
        tops[i] = image.data + tile.y[first + i] * image.row_stride +
                  3 * static_cast<std::ptrdiff_t>(tile.x[first + i]);
    }
    blend_four(tops, image.row_stride, tile.top + first, tile.bottom + first, map.scale, map.bias,
               planes);
}

void warp_row(const ImageView& image, const RowMap& row, const ChannelMap& map,
              float* const* planes, int width) {
    Tile tile;
    for (int begin = 0; begin < width; begin += kTile) {
        const int count = std::min(kTile, width - begin);
        const RowMap from_here = {row.x0 + row.xs * begin, row.xs, row.y0 + row.ys * begin, row.ys,
                                  row.w0 + row.ws * begin, row.ws};
        locate(from_here, count, image.width, image.height, tile);
        int i = 0;
        for (; i + 4 <= count; i += 4) {
            float* const at[3] = {planes[0] + begin + i, planes[1] + begin + i,
                                  planes[2] + begin + i};
            blend(image, tile, i, map, at);
        }
        if (i == count) continue;
        for (int j = count; j < i + 4; ++j) {
            tile.x[j] = tile.x[i];
            tile.y[j] = tile.y[i];
            tile.top[j] = tile.top[i];
            tile.bottom[j] = tile.bottom[i];
        }
        float last[3][4];
        float* const at[3] = {last[0], last[1], last[2]};
        blend(image, tile, i, map, at);
        for (int c = 0; c < 3; ++c) std::copy(last[c], last[c] + count - i, planes[c] + begin + i);
    }
}

/// The pixels that the parts can touch; the whole image where one crosses the horizon.
Region touched_region(const ImageView& image, const double* homographies,
                      const std::vector<WarpPart>& parts, int height) {
    double low[2] = {INFINITY, INFINITY};
    double high[2] = {-INFINITY, -INFINITY};
    const Region all = {0, 0, image.width, image.height};
    for (std::size_t n = 0; n < parts.size(); ++n) {
        const double* h = homographies + 9 * n;
        double sign = 0.0;
        for (int corner = 0; corner < 4; ++corner) {
            // The outer edges: several samples of a pixel lie around its centre.
            const double x = (corner & 1) != 0 ? parts[n].width - 0.5 : -0.5;
            const double y = (corner & 2) != 0 ? height - 0.5 : -0.5;
            const double w = h[6] * x + h[7] * y + h[8];
            if (corner == 0) sign = w;
            if (!(w * sign > 0.0)) return all;
            for (int axis = 0; axis < 2; ++axis) {
                const double* line = h + 3 * axis;
                const double value = (line[0] * x + line[1] * y + line[2]) / w;
                if (!std::isfinite(value)) return all;
                low[axis] = std::min(low[axis], value);
                high[axis] = std::max(high[axis], value);
            }
        }
    }
    // Rounding may put a sample a little outside of its corners; two pixels are plenty.
    const auto clamped = [](double value, int last) {
        return static_cast<int>(std::clamp(value, 0.0, static_cast<double>(last)));
    };
    Region region = {clamped(low[0] - 2.0, image.width), clamped(low[1] - 2.0, image.height),
                     clamped(high[0] + 4.0, image.width), clamped(high[1] + 4.0, image.height)};
    // A crop that lies wholly outside reads the border: keep at least two rows and columns of it.
    region.x_begin = std::min(region.x_begin, std::max(image.width - 2, 0));
    region.y_begin = std::min(region.y_begin, std::max(image.height - 2, 0));
    region.x_end = std::max(region.x_end, std::min(region.x_begin + 2, image.width));
    region.y_end = std::max(region.y_end, std::min(region.y_begin + 2, image.height));
    return region;
}

/// Rows of a part whose pixels are means: each row is sampled `n` times as fine in both directions,
/// into a strip of its own, and averaged.
class MeanRows {
  public:
    MeanRows(const WarpPart& part, const double* homography)
        : width_(part.width), n_(part.samples), h_(homography) {
        strip_.resize(3 * static_cast<std::size_t>(width_) * n_ * n_);
    }

    void warp(const ImageView& source, const Region& region, const ChannelMap& map, int y,
              const PlanesView& out) {
        // Sample (u, v) of the row lies at ((u + 0.5) / n - 0.5, y + (v + 0.5) / n - 0.5).
        const double step = 1.0 / n_, first = 0.5 * step - 0.5;
        double fine[9];
        for (int k = 0; k < 9; k += 3) {
            fine[k] = h_[k] * step;
            fine[k + 1] = h_[k + 1] * step;
            fine[k + 2] = h_[k] * first + h_[k + 1] * (y + first) + h_[k + 2];
        }
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(width_) * n_;
        const PlanesView strip = {strip_.data(), width_ * n_, n_, row, row * n_};
        warp_rows(source, region.x_begin, region.y_begin, fine, map, 0, n_, strip);
        for (int c = 0; c < 3; ++c) {
            average(strip_.data() + c * row * n_,
                    out.data + c * out.plane_stride + y * out.row_stride);
        }
    }

  private:
    /// Of the n rows of n * width samples from `fine` on, which is overwritten.
    void average(float* fine, float* target) const {
        const int count = width_ * n_;
        for (int v = 1; v < n_; ++v) {
            const float* next = fine + static_cast<std::ptrdiff_t>(v) * count;
            for (int u = 0; u < count; ++u) fine[u] += next[u];
        }
        const float share = 1.0F / static_cast<float>(n_ * n_);
        for (int x = 0; x < width_; ++x, fine += n_) {
            float sum = fine[0];
            for (int u = 1; u < n_; ++u) sum += fine[u];
            target[x] = sum * share;
        }
    }

    int width_, n_;
    const double* h_;
    std::vector<float> strip_;
};

}  // namespace

ChannelMap channel_map(PixelFormat format, const Normalization& normalization, double unit) {
    const bool source_is_rgb = format == PixelFormat::kRgb;
    const bool swapped = source_is_rgb != (normalization.order == ColorOrder::kRgb);
    ChannelMap map;
    for (int c = 0; c < 3; ++c) {
        const int plane = swapped ? 2 - c : c;
        map.plane[c] = plane;
        map.scale[c] = static_cast<float>(1.0 / (255.0 * unit * normalization.std[plane]));
        map.bias[c] = -normalization.mean[plane] / normalization.std[plane];
    }
    return map;
}

void warp_rows(const ImageView& image, int origin_x, int origin_y, const double* h,
               const ChannelMap& map, int row_begin, int row_end, const PlanesView& out) {
    constexpr double kCorner[9] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0};
    if (!std::all_of(h, h + 9, [](double value) { return std::isfinite(value); })) h = kCorner;
    // Moving the origin: x' = x - origin_x * w, likewise y'.
    double moved[9];
    for (int k = 0; k < 3; ++k) {
        moved[k] = h[k] - origin_x * h[6 + k];
        moved[3 + k] = h[3 + k] - origin_y * h[6 + k];
        moved[6 + k] = h[6 + k];
    }
    for (int y = row_begin; y < row_end; ++y) {
        const RowMap row = {moved[1] * y + moved[2], moved[0], moved[4] * y + moved[5], moved[3],
                            moved[7] * y + moved[8], moved[6]};
        float* planes[3];
        for (int c = 0; c < 3; ++c) {
            planes[c] = out.data + map.plane[c] * out.plane_stride + y * out.row_stride;
        }
        warp_row(image, row, map, planes, out.width);
    }
}

std::vector<WarpPart> whole_crops(std::int64_t count, int width) {
    std::vector<WarpPart> parts;
    for (std::int64_t n = 0; n < count; ++n) parts.push_back({n, 0, width, 1});
    return parts;
}

void warp_normalize(const ImageView& image, const double* homographies,
                    const std::vector<WarpPart>& parts, int width, int height,
                    const Normalization& normalization, int threads, float* out) {
    if (parts.empty()) return;
    ImageView source = image;
    Region region = {0, 0, image.width, image.height};
    std::vector<std::uint8_t> storage;
    const bool tiny = image.width < 2 || image.height < 2;
    if (image.format == PixelFormat::kNv12) {
        region = touched_region(image, homographies, parts, height);
    }
    if (tiny || image.format == PixelFormat::kNv12) {
        source = interleaved_copy(image, region, threads, storage);
    }
    const ChannelMap map = channel_map(source.format, normalization, kWeightOne);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(width) * height;
    const auto rows = static_cast<std::int64_t>(parts.size()) * height;
    parallel_for(rows, threads, [&](std::int64_t begin, std::int64_t end) {
        while (begin < end) {
            const std::int64_t n = begin / height;
            const std::int64_t stop = std::min(end, (n + 1) * height);
            const WarpPart& part = parts[static_cast<std::size_t>(n)];
            const PlanesView planes = {out + 3 * plane * part.output + part.left, part.width,
                                       height, width, plane};
            const int first = static_cast<int>(begin - n * height);
            const int last = static_cast<int>(stop - n * height);
            if (part.samples == 1) {
                warp_rows(source, region.x_begin, region.y_begin, homographies + 9 * n, map, first,
                          last, planes);
            } else {
                MeanRows means(part, homographies + 9 * n);
                for (int y = first; y < last; ++y) means.warp(source, region, map, y, planes);
            }
            begin = stop;
        }
    });
}

}  // namespace clipgaze
