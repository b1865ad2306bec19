// Images that the kernels read, and the planes that they write. Nothing here owns memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace clipgaze {

enum class PixelFormat {
    kBgr,   // interleaved, 3 bytes a pixel
    kRgb,   // interleaved, 3 bytes a pixel
    kNv12,  // a plane of Y, then height / 2 rows of interleaved U and V; BT.601, limited range
};

enum class ColorOrder { kBgr, kRgb };

/// A read-only image. `width` and `height` are those of the picture (NV12: of its Y plane).
struct ImageView {
    const std::uint8_t* data = nullptr;
    int width = 0;
    int height = 0;
    std::ptrdiff_t row_stride = 0;  // bytes from one row to the next
    PixelFormat format = PixelFormat::kBgr;
};

/// Three float planes of `height` rows; strides count floats.
struct PlanesView {
    float* data = nullptr;
    int width = 0;
    int height = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t plane_stride = 0;
};

/// value = (v / 255 - mean[c]) / std[c], with channels in `order`.
struct Normalization {
    float mean[3] = {0.0F, 0.0F, 0.0F};
    float std[3] = {1.0F, 1.0F, 1.0F};
    ColorOrder order = ColorOrder::kRgb;
};

}  // namespace clipgaze
