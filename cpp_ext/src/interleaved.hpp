// Pixels of any format as interleaved rows.
#pragma once

#include <cstdint>
#include <vector>

#include "clipgaze/image.hpp"

namespace clipgaze {

/// A box of pixels, ends excluded.
struct Region {
    int x_begin, y_begin, x_end, y_end;
};

/// Pixels [x_begin, x_end) of row `y`, three bytes each: RGB of an RGB image, BGR of the others.
/// In NV12 every 2x2 block shares its chroma.
void copy_interleaved_row(const ImageView& image, int y, int x_begin, int x_end,
                          std::uint8_t* pixels);

/// A copy of a region that is not empty, its last row and column repeated up to two where there is
/// only one. The view points into `storage`.
ImageView interleaved_copy(const ImageView& image, const Region& region, int threads,
                           std::vector<std::uint8_t>& storage);

}  // namespace clipgaze
