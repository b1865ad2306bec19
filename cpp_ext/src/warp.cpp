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
