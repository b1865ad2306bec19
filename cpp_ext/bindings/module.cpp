#include "arrays.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "Per-pixel kernels of clipgaze_sdk.";
    clipgaze::bind_warp(module);
    clipgaze::bind_letterbox(module);
    clipgaze::bind_detections(module);
}
