#include "clipgaze/letterbox.hpp"

#include <pybind11/stl.h>

#include "arrays.hpp"

namespace clipgaze {
namespace {

constexpr const char* kDoc =
    R"(Fits a whole image into a network's input, aspect ratio kept, and normalises it.

The image goes to the top left; the rest is black, ``(0 - mean) / std``. Shrinking averages over
the source footprint of each pixel, enlarging is bilinear.
``image_px = (letterbox_px + 0.5) / scale - 0.5``.

Args:
    image: uint8; (H, W, 3) for ``color`` "bgr" or "rgb", (H * 3 / 2, W) for "nv12" (BT.601, limited
        range). Views are read in place where pixels lie side by side, else copied.
    mean: three numbers in the order of ``output_color``; ``std`` likewise.
    threads: at most so many threads work, the caller's included; 1 creates none.
    out: (1, 3, height, width) float32 to write to, or None for a new array.

Returns:
    The (1, 3, height, width) float32 array, and the scale.

Raises:
    ValueError: an argument has the wrong dtype, shape or range.)";

py::tuple letterbox(const py::object& image, int width, int height, const std::vector<double>& mean,
                    const std::vector<double>& std, const std::string& color,
                    const std::string& output_color, int threads, const py::object& out) {
    const HeldImage held = held_image(image, color);
    const Normalization normalization = normalization_from(mean, std, output_color);
    check_target(width, height, threads);
    auto result = output_array(out, {1, 3, height, width});
    float* const target = result.mutable_data();
    double scale = 0.0;
    {
        const py::gil_scoped_release released;
        scale = letterbox_normalize(held.view, width, height, normalization, threads, target);
    }
    return py::make_tuple(result, scale);
}

}  // namespace

void bind_letterbox(py::module_& module) {
    module.def("letterbox_normalize", &letterbox, py::arg("image"), py::kw_only(), py::arg("width"),
               py::arg("height"), py::arg("mean"), py::arg("std"), py::arg("color") = "bgr",
               py::arg("output_color") = "rgb", py::arg("threads") = 1, py::arg("out") = py::none(),
               kDoc);
}

}  // namespace clipgaze
