// From crop pixels to image pixels: the arithmetic of a homography along a row.
#pragma once

#include <cstdint>

namespace clipgaze {

constexpr int kTile = 64;  // pixels whose coordinates are worked out together; a multiple of 4

/// For each pixel of a tile the top left of the four pixels to blend, and their weights (see
/// bilinear.hpp): pairs of 16 bits, the left one's in the low half.
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

/// Fills the first `count` pixels of `tile`, for pixels 0, 1, ... of `map`, clamped to an image of
/// at least 2 x 2 pixels so that its border is repeated.
void locate(const RowMap& map, int count, int width, int height, Tile& tile);

}  // namespace clipgaze
