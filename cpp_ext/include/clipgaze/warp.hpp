// Perspective crops of an image, normalised for a network, in one pass.
#pragma once

#include <cstdint>

#include "clipgaze/image.hpp"

namespace clipgaze {

/// Samples `count` crops of `width` x `height` pixels.
///
/// `homographies` holds `count` row-major 3x3 matrices that map a crop pixel to an image pixel
/// (pixel centres at integers). Sampling is bilinear; outside of the image its border is
/// repeated. Every matrix gives a defined result: coordinates at infinity are clamped to the image,
/// and a matrix with a number that is not finite reads pixel (0, 0) everywhere.
///
/// `out` receives count x 3 x height x width floats. At most `threads` threads work, the
/// caller's included. Needs width, height, image sides and threads >= 1.
void warp_normalize(const ImageView& image, const double* homographies, std::int64_t count,
                    int width, int height, const Normalization& normalization, int threads,
                    float* out);

}  // namespace clipgaze
