#include "clipgaze/warp.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "bilinear.hpp"
#include "interleaved.hpp"
#include "parallel.hpp"
#include "sampling.hpp"

namespace clipgaze {
namespace {

constexpr int kTile = 64;  // pixels whose coordinates are worked out together; a multiple of 4

struct Tile {
    int x[kTile];
    int y[kTile];
    std::int32_t top[kTile];
    std::int32_t bottom[kTile];
};

/// The line h * (x, y, 1) for fixed y: numerators and denominator are affine in x.
struct RowMap {
    double x0, xs, y0, ys, w0, ws;
};

inline std::int32_t weight_pair(int left, int right) {
    return static_cast<std::int32_t>((static_cast<std::uint32_t>(left) & 0xffffU) |
                                     (static_cast<std::uint32_t>(right) << 16));
}

// Clamping to the image before taking the floor is what repeats the border. The comparisons are
// written so that NaN becomes 0.
inline double clamp_coordinate(double value, double last) {
    value = value > 0.0 ? value : 0.0;
    return value < last ? value : last;
}

void locate(const RowMap& map, int x_begin, int count, int width, int height, Tile& tile) {
    const double last_x = width - 1;
    const double last_y = height - 1;
    for (int i = 0; i < count; ++i) {
        const double x = x_begin + i;
        const double reciprocal = 1.0 / (map.w0 + map.ws * x);
        const double u = clamp_coordinate((map.x0 + map.xs * x) * reciprocal, last_x);
        const double v = clamp_coordinate((map.y0 + map.ys * x) * reciprocal, last_y);
        const int column = std::min(static_cast<int>(u), width - 2);
        const int row = std::min(static_cast<int>(v), height - 2);
        const float fraction_x = static_cast<float>(u - column);
        const float fraction_y = static_cast<float>(v - row) * kWeightOne;
        const int right = static_cast<int>(fraction_x * kWeightOne + 0.5F);
        const int low = static_cast<int>(fraction_y + 0.5F);
        const int low_right = static_cast<int>(fraction_x * fraction_y + 0.5F);
        tile.x[i] = column;
        tile.y[i] = row;
        tile.top[i] = weight_pair(kWeightOne - right - low + low_right, right - low_right);
        tile.bottom[i] = weight_pair(low - low_right, low_right);
    }
}

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
        locate(row, begin, count, image.width, image.height, tile);
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

/// The pixels that the crops can touch; the whole image where a crop crosses the horizon.
Region touched_region(const ImageView& image, const double* homographies, std::int64_t count,
                      int width, int height) {
    double low[2] = {INFINITY, INFINITY};
    double high[2] = {-INFINITY, -INFINITY};
    const Region all = {0, 0, image.width, image.height};
    for (std::int64_t n = 0; n < count; ++n) {
        const double* h = homographies + 9 * n;
        double sign = 0.0;
        for (int corner = 0; corner < 4; ++corner) {
            const double x = (corner & 1) != 0 ? width - 1 : 0;
            const double y = (corner & 2) != 0 ? height - 1 : 0;
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

void warp_normalize(const ImageView& image, const double* homographies, std::int64_t count,
                    int width, int height, const Normalization& normalization, int threads,
                    float* out) {
    if (count == 0) return;
    ImageView source = image;
    Region region = {0, 0, image.width, image.height};
    std::vector<std::uint8_t> storage;
    const bool tiny = image.width < 2 || image.height < 2;
    if (image.format == PixelFormat::kNv12) {
        region = touched_region(image, homographies, count, width, height);
    }
    if (tiny || image.format == PixelFormat::kNv12) {
        source = interleaved_copy(image, region, threads, storage);
    }
    const ChannelMap map = channel_map(source.format, normalization, kWeightOne);
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(width) * height;
    parallel_for(count * height, threads, [&](std::int64_t begin, std::int64_t end) {
        while (begin < end) {
            const std::int64_t crop = begin / height;
            const std::int64_t stop = std::min(end, (crop + 1) * height);
            const PlanesView planes = {out + 3 * plane * crop, width, height, width, plane};
            warp_rows(source, region.x_begin, region.y_begin, homographies + 9 * crop, map,
                      static_cast<int>(begin - crop * height),
                      static_cast<int>(stop - crop * height), planes);
            begin = stop;
        }
    });
}

}  // namespace clipgaze
