// What the warp and the letterbox share.
#pragma once

#include "clipgaze/image.hpp"

namespace clipgaze {

/// Which plane each interleaved channel goes to, and value = v * scale[c] + bias[c] for it.
struct ChannelMap {
    int plane[3];
    float scale[3];
    float bias[3];
};

/// `unit` is what a grey level of 1 counts in the sums to be mapped.
ChannelMap channel_map(PixelFormat format, const Normalization& normalization, double unit);

/// Rows [row_begin, row_end) of one crop. `image` is interleaved and at least 2 x 2 pixels;
/// its top left pixel is pixel (origin_x, origin_y) of the picture that `homography` maps to.
void warp_rows(const ImageView& image, int origin_x, int origin_y, const double* homography,
               const ChannelMap& map, int row_begin, int row_end, const PlanesView& out);

}  // namespace clipgaze
