#include "interleaved.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace clipgaze {
namespace {

// ITU-R BT.601, limited range, in 20-bit fixed point: the numbers of OpenCV's YUV2BGR_NV12.
constexpr int kShift = 20;
constexpr int kHalf = 1 << (kShift - 1);
constexpr int kY = 1220542;   // 255 / 219
constexpr int kUb = 2116026;  // 2.018
constexpr int kUg = -409993;  // -0.391
constexpr int kVg = -852492;  // -0.813
constexpr int kVr = 1673527;  // 1.596

inline std::uint8_t saturate(int value) {
    return static_cast<std::uint8_t>(std::min(std::max(value, 0) >> kShift, 255));
}

void bgr_from_nv12_row(const ImageView& image, int y, int x_begin, int x_end, std::uint8_t* bgr) {
    const std::uint8_t* luma_row = image.data + y * image.row_stride;
    const std::uint8_t* chroma_row = image.data + (image.height + y / 2) * image.row_stride;
    for (int x = x_begin; x < x_end; ++x) {
        const int luma = std::max(luma_row[x] - 16, 0) * kY + kHalf;
        const int u = chroma_row[x & ~1] - 128;
        const int v = chroma_row[x | 1] - 128;
        bgr[0] = saturate(luma + kUb * u);
        bgr[1] = saturate(luma + kUg * u + kVg * v);
        bgr[2] = saturate(luma + kVr * v);
        bgr += 3;
    }
}

}  // namespace

void copy_interleaved_row(const ImageView& image, int y, int x_begin, int x_end,
                          std::uint8_t* pixels) {
    if (image.format == PixelFormat::kNv12) {
        bgr_from_nv12_row(image, y, x_begin, x_end, pixels);
        return;
    }
    const std::uint8_t* row = image.data + y * image.row_stride;
    std::copy(row + 3 * static_cast<std::ptrdiff_t>(x_begin),
              row + 3 * static_cast<std::ptrdiff_t>(x_end), pixels);
}

ImageView interleaved_copy(const ImageView& image, const Region& region, int threads,
                           std::vector<std::uint8_t>& storage) {
    const int source_width = region.x_end - region.x_begin;
    const int source_height = region.y_end - region.y_begin;
    ImageView copy;
    copy.width = std::max(source_width, 2);
    copy.height = std::max(source_height, 2);
    copy.row_stride = 3 * static_cast<std::ptrdiff_t>(copy.width);
    copy.format = image.format == PixelFormat::kRgb ? PixelFormat::kRgb : PixelFormat::kBgr;
    storage.resize(static_cast<std::size_t>(copy.row_stride) *
                   static_cast<std::size_t>(copy.height));
    parallel_for(copy.height, threads, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row) {
            const int y = region.y_begin + std::min(static_cast<int>(row), source_height - 1);
            std::uint8_t* target = storage.data() + row * copy.row_stride;
            copy_interleaved_row(image, y, region.x_begin, region.x_end, target);
            if (source_width == 1) std::copy(target, target + 3, target + 3);
        }
    });
    copy.data = storage.data();
    return copy;
}

}  // namespace clipgaze
