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
    out: (N, 3, height, width) float32 to write to, or None for a new array.

Returns:
    (N, 3, height, width) float32.

Raises:
    ValueError: an argument has the wrong dtype, shape or range.)";

py::array_t<float> warp(const py::object& image, const py::object& homographies, int width,
                        int height, const std::vector<double>& mean, const std::vector<double>& std,
                        const std::string& color, const std::string& output_color, int threads,
                        const py::object& out) {
    const HeldImage held = held_image(image, color);
    const auto matrices = input_array<double>(homographies, "homographies", {-1, 3, 3});
    const Normalization normalization = normalization_from(mean, std, output_color);
    check_target(width, height, threads);
    const py::ssize_t count = matrices.shape(0);
    auto result = output_array(out, {count, 3, height, width});
    const double* const source = matrices.data();
    float* const target = result.mutable_data();
    {
        const py::gil_scoped_release released;
        warp_normalize(held.view, source, count, width, height, normalization, threads, target);
    }
    return result;
}

}  // namespace

void bind_warp(py::module_& module) {
    module.def("warp_normalize", &warp, py::arg("image"), py::arg("homographies"), py::kw_only(),
               py::arg("width"), py::arg("height"), py::arg("mean"), py::arg("std"),
               py::arg("color") = "bgr", py::arg("output_color") = "rgb", py::arg("threads") = 1,
               py::arg("out") = py::none(), kDoc);
}

}  // namespace clipgaze
