#include "coordinates.hpp"

#include "bilinear.hpp"

#if defined(__GNUC__)
#define CLIPGAZE_INLINE __attribute__((always_inline)) inline
#else
#define CLIPGAZE_INLINE inline
#endif

namespace clipgaze {
namespace {

/// Coordinates of one axis along a tile, from a whole pixel `origin` near its middle. The rest is
/// small, so that float32 is exact to 1e-4 pixels wherever the origin lies.
struct AxisMap {
    int origin;
    float at_0, step;       // numerator
    float lowest, highest;  // the image's first and last pixel
};

CLIPGAZE_INLINE std::int32_t weight_pair(int left, int right) {
    return static_cast<std::int32_t>((static_cast<std::uint32_t>(left) & 0xffffU) |
                                     (static_cast<std::uint32_t>(right) << 16));
}

// A number that float32 can hold; NaN becomes the lowest.
CLIPGAZE_INLINE float bounded(double value) {
    value = value > -1e30 ? value : -1e30;
    return static_cast<float>(value < 1e30 ? value : 1e30);
}

AxisMap axis_map(double at_0, double step, const RowMap& map, double middle, int length) {
    const double w = map.w0 + map.ws * middle;
    double position = (at_0 + step * middle) / w;
    position = position > 0.0 ? position : 0.0;
    AxisMap axis;
    axis.origin = static_cast<int>(position < length - 1 ? position : length - 1);
    // Homographies have no scale of their own: with w = 1 in the middle all numbers are moderate.
    const double unit = w != 0.0 ? 1.0 / w : 1.0;
    axis.at_0 = bounded((at_0 - axis.origin * map.w0) * unit);
    axis.step = bounded((step - axis.origin * map.ws) * unit);
    axis.lowest = static_cast<float>(-axis.origin);
    axis.highest = static_cast<float>(length - 1 - axis.origin);
    return axis;
}

// Clamping to the image before taking the floor is what repeats the border. Both comparisons are
// false for NaN, which so becomes the lowest.
CLIPGAZE_INLINE float clamp_to(const AxisMap& axis, float value) {
    value = value > axis.lowest ? value : axis.lowest;
    return value < axis.highest ? value : axis.highest;
}

// The floor, but never the last pixel: the one after it is blended too.
CLIPGAZE_INLINE float base_pixel(const AxisMap& axis, float value) {
    float base = static_cast<float>(static_cast<int>(value));
    base -= base > value ? 1.0F : 0.0F;
    return base < axis.highest - 1.0F ? base : axis.highest - 1.0F;
}

CLIPGAZE_INLINE void locate_tile(const RowMap& map, int count, int width, int height, Tile& tile) {
    const double middle = 0.5 * count;
    const double w = map.w0 + map.ws * middle;
    const double unit = w != 0.0 ? 1.0 / w : 1.0;
    const AxisMap horizontal = axis_map(map.x0, map.xs, map, middle, width);
    const AxisMap vertical = axis_map(map.y0, map.ys, map, middle, height);
    const float w0 = bounded(map.w0 * unit);
    const float ws = bounded(map.ws * unit);
    for (int i = 0; i < count; ++i) {
        const float x = static_cast<float>(i);
        const float reciprocal = 1.0F / (w0 + ws * x);
        const float u = clamp_to(horizontal, (horizontal.at_0 + horizontal.step * x) * reciprocal);
        const float v = clamp_to(vertical, (vertical.at_0 + vertical.step * x) * reciprocal);
        const float column = base_pixel(horizontal, u);
        const float row = base_pixel(vertical, v);
        const float fraction_x = u - column;
        const float fraction_y = (v - row) * kWeightOne;
        const int right = static_cast<int>(fraction_x * kWeightOne + 0.5F);
        const int low = static_cast<int>(fraction_y + 0.5F);
        const int low_right = static_cast<int>(fraction_x * fraction_y + 0.5F);
        tile.x[i] = static_cast<int>(column) + horizontal.origin;
        tile.y[i] = static_cast<int>(row) + vertical.origin;
        tile.top[i] = weight_pair(kWeightOne - right - low + low_right, right - low_right);
        tile.bottom[i] = weight_pair(low - low_right, low_right);
    }
}

#if defined(__GNUC__) && defined(__x86_64__)
// The same arithmetic, eight pixels at a time, on processors that have AVX2.
__attribute__((target("avx2"))) void locate_avx2(const RowMap& map, int count, int width,
                                                 int height, Tile& tile) {
    locate_tile(map, count, width, height, tile);
}
#endif

}  // namespace

void locate(const RowMap& map, int count, int width, int height, Tile& tile) {
#if defined(__GNUC__) && defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
    if (has_avx2) {
        locate_avx2(map, count, width, height, tile);
        return;
    }
#endif
    locate_tile(map, count, width, height, tile);
}

}  // namespace clipgaze
