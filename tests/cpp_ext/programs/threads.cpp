// The kernels from four threads at once, each of which splits its work again, for ThreadSanitizer
// (scripts/sanitize). They read one picture, and each writes what is its own.
#include <algorithm>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "clipgaze/detections.hpp"
#include "clipgaze/letterbox.hpp"
#include "clipgaze/warp.hpp"

using namespace clipgaze;

namespace {

constexpr int kWidth = 96;
constexpr int kHeight = 60;
constexpr int kRounds = 100;

/// The sum of what the kernels write, so that none is left out as unused.
double work(const std::vector<std::uint8_t>& pixels, unsigned seed) {
    std::mt19937 random(seed);
    const auto whole = [&random](int begin, int end) {
        return begin + static_cast<int>(random() % static_cast<unsigned>(end - begin));
    };
    const auto real = [&random] { return 6.0 * random() / 4294967296.0 - 3.0; };
    double sum = 0.0;
    for (int k = 0; k < kRounds; ++k) {
        ImageView view;
        view.format = static_cast<PixelFormat>(whole(0, 3));
        view.width = kWidth;
        view.height = kHeight;
        view.row_stride = view.format == PixelFormat::kNv12 ? kWidth : 3 * kWidth;
        view.data = pixels.data();
        const int width = whole(1, 50), height = whole(1, 50), threads = whole(1, 5);
        const int count = whole(0, 4);

        std::vector<double> maps(9 * static_cast<std::size_t>(count));
        for (double& number : maps) number = real() * (whole(0, 20) == 0 ? 1e30 : 1.0);
        std::vector<float> out(static_cast<std::size_t>(3 * width * height) * (count + 1));
        std::vector<WarpPart> parts = whole_crops(count, width);
        for (WarpPart& part : parts) part.samples = whole(1, 4);
        warp_normalize(view, maps.data(), parts, width, height, Normalization(), threads,
                       out.data());
        letterbox_normalize(view, width, height, Normalization(), threads,
                            out.data() + static_cast<std::size_t>(3 * width * height) * count);
        for (const float value : out) sum += value;

        std::vector<float> boxes(40), scores(10);
        for (float& number : boxes) number = static_cast<float>(real());
        for (float& number : scores) number = static_cast<float>(real());
        sum += static_cast<double>(nms(boxes.data(), scores.data(), 10, 0.4F, 5).size());
    }
    return sum;
}

}  // namespace

int main() {
    std::mt19937 random(1);
    std::vector<std::uint8_t> pixels(3 * kWidth * kHeight);
    for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random() & 255U);
    std::vector<double> sums(4);
    std::vector<std::thread> workers;
    for (unsigned seed = 0; seed < sums.size(); ++seed) {
        workers.emplace_back([&, seed] { sums[seed] = work(pixels, seed); });
    }
    for (std::thread& worker : workers) worker.join();
    std::printf("threads: %.0f\n", sums[0] + sums[1] + sums[2] + sums[3]);
}
