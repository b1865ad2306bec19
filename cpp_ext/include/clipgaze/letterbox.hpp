// A whole image fitted into a network's input, aspect ratio kept.
#pragma once

#include "clipgaze/image.hpp"

namespace clipgaze {

/// Fits `image` into the top left of 3 x height x width floats at `out`; the rest is black.
///
/// Shrinking averages over the source footprint of each pixel, enlarging is bilinear. Returns the
/// scale: image_px = (letterbox_px + 0.5) / scale - 0.5. At most `threads` threads work, the
/// caller's included. Needs width, height, image sides and threads >= 1.
double letterbox_normalize(const ImageView& image, int width, int height,
                           const Normalization& normalization, int threads, float* out);

}  // namespace clipgaze
