// The kernels on random images, for scripts/cross:  kernels OUTPUT
//
// Writes float32s that every build must agree on: warped and letterboxed pixels in grey levels,
// then the numbers of detections in pixels. Ends with 1 where the number of threads changes a bit.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "clipgaze/detections.hpp"
#include "clipgaze/letterbox.hpp"
#include "clipgaze/warp.hpp"

using namespace clipgaze;

namespace {

// Distributions of the standard library differ from one library to the next; the engine does not.
class Random {
  public:
    int whole(int begin, int end) {
        return begin + static_cast<int>(engine_() % static_cast<unsigned>(end - begin));
    }
    double real(double low, double high) { return low + (high - low) * engine_() / 4294967296.0; }

  private:
    std::mt19937 engine_{20};
};

struct Picture {
    std::vector<std::uint8_t> bytes;
    ImageView view;
};

Picture random_picture(Random& random, PixelFormat format, bool tiny) {
    Picture picture;
    picture.view.format = format;
    picture.view.width = 2 * random.whole(1, tiny ? 4 : 300);
    picture.view.height = 2 * random.whole(1, tiny ? 4 : 200);
    const bool planar = format == PixelFormat::kNv12;
    const int gap = random.whole(0, 5);  // rows need not follow one another
    picture.view.row_stride = (planar ? 1 : 3) * picture.view.width + gap;
    const int rows = picture.view.height * (planar ? 3 : 2) / 2;
    picture.bytes.resize(static_cast<std::size_t>(picture.view.row_stride) * rows);
    for (std::uint8_t& byte : picture.bytes) byte = static_cast<std::uint8_t>(random.whole(0, 256));
    picture.view.data = picture.bytes.data();
    return picture;
}

/// Turned, scaled and tilted crops; among them some across the horizon, at infinity or of NaN.
std::vector<double> random_maps(Random& random, const ImageView& view, int count) {
    std::vector<double> maps;
    for (int i = 0; i < count; ++i) {
        const double scale = std::exp(random.real(-3.4, 3.4));
        const double turn = random.real(0.0, 6.28);
        const double tilt = random.whole(0, 3) == 0 ? 0.006 : 0.001;
        double map[9] = {
            scale * std::cos(turn),   -scale * std::sin(turn),  random.real(-20.0, view.width),
            scale * std::sin(turn),   scale * std::cos(turn),   random.real(-20.0, view.height),
            random.real(-tilt, tilt), random.real(-tilt, tilt), 1.0};
        if (random.whole(0, 15) == 0) map[8] = std::numeric_limits<double>::quiet_NaN();
        if (random.whole(0, 15) == 0) map[6] = 1e300;
        maps.insert(maps.end(), map, map + 9);
    }
    return maps;
}

/// Crops cut into parts beside each other, some of whose pixels are means of several samples.
std::vector<WarpPart> random_parts(Random& random, int count, int width) {
    std::vector<WarpPart> parts;
    for (int i = 0; i < count; ++i) {
        const int cut = random.whole(0, width);
        if (cut > 0) parts.push_back({i, 0, cut, random.whole(1, 4)});
        parts.push_back({i, cut, width - cut, random.whole(1, 4)});
    }
    return parts;
}

Normalization random_normalization(Random& random) {
    Normalization normalization;
    for (int c = 0; c < 3; ++c) {
        normalization.mean[c] = static_cast<float>(random.real(0.3, 0.6));
        normalization.std[c] = static_cast<float>(random.real(0.2, 0.3));
    }
    normalization.order = random.whole(0, 2) == 0 ? ColorOrder::kBgr : ColorOrder::kRgb;
    return normalization;
}

/// In place, from normalised values to grey levels. `planes` counts planes of `size` floats.
void to_grey_levels(std::vector<float>& values, const Normalization& normalization,
                    std::size_t size) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t c = i / size % 3;
        values[i] = 255.0F * (values[i] * normalization.std[c] + normalization.mean[c]);
    }
}

/// Runs `kernel(threads, output)` with 1, 2 and 5 threads; false where they do not agree.
template <class Kernel>
bool agree(std::vector<float>& output, Kernel kernel) {
    kernel(1, output.data());
    std::vector<float> other(output.size());
    for (const int threads : {2, 5}) {
        kernel(threads, other.data());
        if (std::memcmp(output.data(), other.data(), output.size() * sizeof(float)) != 0) {
            return false;
        }
    }
    return true;
}

bool write_pictures(Random& random, std::FILE* file) {
    bool same = true;
    for (int k = 0; k < 120; ++k) {
        const PixelFormat format = static_cast<PixelFormat>(k % 3);
        const Picture picture = random_picture(random, format, k < 30);
        const Normalization normalization = random_normalization(random);
        const int width = random.whole(1, 150), height = random.whole(1, 100);
        const std::size_t plane = static_cast<std::size_t>(width) * height;

        const int count = random.whole(1, 4);
        const std::vector<WarpPart> parts =
            k % 2 == 0 ? whole_crops(count, width) : random_parts(random, count, width);
        const std::vector<double> maps =
            random_maps(random, picture.view, static_cast<int>(parts.size()));
        std::vector<float> crops(3 * plane * count);
        same &= agree(crops, [&](int threads, float* out) {
            warp_normalize(picture.view, maps.data(), parts, width, height, normalization, threads,
                           out);
        });
        to_grey_levels(crops, normalization, plane);
        std::fwrite(crops.data(), sizeof(float), crops.size(), file);

        std::vector<float> whole(3 * plane);
        same &= agree(whole, [&](int threads, float* out) {
            letterbox_normalize(picture.view, width, height, normalization, threads, out);
        });
        to_grey_levels(whole, normalization, plane);
        std::fwrite(whole.data(), sizeof(float), whole.size(), file);
    }
    return same;
}

void write_detections(Random& random, std::FILE* file) {
    DetectionOptions options;
    options.width = 320;
    options.height = 192;
    options.strides = {8, 16, 32};
    options.max_detections = 40;
    const std::size_t anchors =
        static_cast<std::size_t>(anchor_count(options.width, options.height, options.strides));
    for (int k = 0; k < 20; ++k) {
        const auto numbers = [&](std::size_t count, double low, double high) {
            std::vector<float> values(count);
            for (float& value : values) value = static_cast<float>(random.real(low, high));
            return values;
        };
        const std::vector<float> scores = numbers(anchors, 0.0, 1.0);
        const std::vector<float> boxes = numbers(4 * anchors, 0.5, 4.0);
        const std::vector<float> points = numbers(10 * anchors, -1.0, 1.0);
        const std::vector<Detection> found =
            decode_detections(scores.data(), boxes.data(), points.data(), options);
        for (const Detection& detection : found) {
            std::fwrite(detection.data(), sizeof(float), detection.size(), file);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::FILE* file = argc == 2 ? std::fopen(argv[1], "wb") : nullptr;
    if (file == nullptr) {
        std::fputs("kernels: give a file that can be written\n", stderr);
        return 2;
    }
    Random random;
    const bool same = write_pictures(random, file);
    write_detections(random, file);
    if (std::fclose(file) != 0) return 2;
    if (!same) std::fputs("kernels: 1, 2 and 5 threads do not give the same bits\n", stderr);
    return same ? 0 : 1;
}
