#include "clipgaze/warp.hpp"

#include <pybind11/stl.h>

#include "arrays.hpp"

namespace clipgaze {
namespace {

constexpr const char* kDoc =
    R"(Samples perspective crops of an image and normalises them for a network, in one pass.

Bilinear; outside of the image its border is repeated. Pixel centres are at integers, and
``homographies`` map a crop pixel to an image pixel. ``value = (v / 255 - mean[c]) / std[c]``, with
``mean`` and ``std`` in the order of ``output_color``. Every homography gives a defined result:
coordinates at infinity are clamped to the image, and a matrix with a number that is not finite
reads pixel (0, 0) everywhere.

Args:
    image: uint8; (H, W, 3) for ``color`` "bgr" or "rgb", (H * 3 / 2, W) for "nv12" (BT.601, limited
        range). Views are read in place where pixels lie side by side, else copied.
    homographies: (N, 3, 3) float64, image_from_crop. N may be 0.
    threads: at most so many threads work, the caller's included; 1 creates none.
    parts: None, for N crops; or (N, 4) int64, where several homographies fill one crop: for each of
        them the crop of ``out``, its first column there, its width, and n, of which n x n samples
        are averaged for each pixel (1 to 16).  Homographies then count pixels from that column on.
        Columns in no part stay as they are, and parts must lie apart.
    out: (N, 3, height, width) float32 to write to, or None for a new array; with ``parts`` any
        number of crops, and not None.

Returns:
    ``out``.

Raises:
    ValueError: an argument has the wrong dtype, shape or range.)";

constexpr int kMaxSamples = 16;

/// The parts that Python gave, each checked to lie in one of `outputs` crops of `width` pixels.
std::vector<WarpPart> parts_from(const py::object& given, py::ssize_t count, py::ssize_t outputs,
                                 int width) {
    const auto table = input_array<std::int64_t>(given, "parts", {count, 4});
    std::vector<WarpPart> parts;
    for (py::ssize_t n = 0; n < count; ++n) {
        const std::int64_t* const row = table.data(n, 0);
        check_range("parts: crop", static_cast<double>(row[0]), 0,
                    static_cast<double>(outputs) - 1);
        check_range("parts: first column", static_cast<double>(row[1]), 0, width - 1);
        check_range("parts: width", static_cast<double>(row[2]), 1,
                    width - static_cast<double>(row[1]));
        check_range("parts: samples", static_cast<double>(row[3]), 1, kMaxSamples);
        parts.push_back(
            {row[0], static_cast<int>(row[1]), static_cast<int>(row[2]), static_cast<int>(row[3])});
    }
    return parts;
}

py::array_t<float> warp(const py::object& image, const py::object& homographies, int width,
                        int height, const std::vector<double>& mean, const std::vector<double>& std,
                        const std::string& color, const std::string& output_color, int threads,
                        const py::object& given_parts, const py::object& out) {
    const HeldImage held = held_image(image, color);
    const auto matrices = input_array<double>(homographies, "homographies", {-1, 3, 3});
    const Normalization normalization = normalization_from(mean, std, output_color);
    check_target(width, height, threads);
    const py::ssize_t count = matrices.shape(0);
    const bool whole = given_parts.is_none();
    if (!whole && out.is_none()) {
        throw py::value_error("out: got None, expected the array that the parts are written to.");
    }
    auto result = output_array(out, {whole ? count : -1, 3, height, width});
    const std::vector<WarpPart> parts =
        whole ? whole_crops(count, width) : parts_from(given_parts, count, result.shape(0), width);
    const double* const source = matrices.data();
    float* const target = result.mutable_data();
    {
        const py::gil_scoped_release released;
        warp_normalize(held.view, source, parts, width, height, normalization, threads, target);
    }
    return result;
}

}  // namespace

void bind_warp(py::module_& module) {
    module.def("warp_normalize", &warp, py::arg("image"), py::arg("homographies"), py::kw_only(),
               py::arg("width"), py::arg("height"), py::arg("mean"), py::arg("std"),
               py::arg("color") = "bgr", py::arg("output_color") = "rgb", py::arg("threads") = 1,
               py::arg("parts") = py::none(), py::arg("out") = py::none(), kDoc);
}

}  // namespace clipgaze
