// Perspective crops of an image, normalised for a network, in one pass.
#pragma once

#include <cstdint>
#include <vector>

#include "clipgaze/image.hpp"

namespace clipgaze {

/// Where the pixels that one homography places go, and how they are sampled.
struct WarpPart {
    std::int64_t output = 0;  // which of the outputs
    int left = 0;             // its columns there: [left, left + width), all rows
    int width = 0;
    int samples = 1;  // a pixel is the mean of samples x samples, spread evenly over it
};

/// Parts of `count` crops of `width` pixels, each an output of its own.
std::vector<WarpPart> whole_crops(std::int64_t count, int width);

/// Samples the parts of crops of `width` x `height` pixels.
///
/// `homographies` holds a row-major 3x3 matrix for each part, which maps a pixel of the part,
/// counted from its left column, to an image pixel (pixel centres at integers). Sampling is
/// bilinear; outside of the image its border is repeated. Every matrix gives a defined result:
/// coordinates at infinity are clamped to the image, and a matrix with a number that is not finite
/// reads pixel (0, 0) everywhere.
///
/// `out` holds outputs of 3 x height x width floats, of which columns in no part are left as they
/// are. Parts must lie inside of them and apart from each other. At most `threads` threads work,
/// the caller's included. Needs width, height, samples, image sides and threads >= 1.
void warp_normalize(const ImageView& image, const double* homographies,
                    const std::vector<WarpPart>& parts, int width, int height,
                    const Normalization& normalization, int threads, float* out);

}  // namespace clipgaze
