#include <pybind11/pybind11.h>

PYBIND11_MODULE(_core, module) { module.doc() = "Per-pixel kernels of clipgaze_sdk."; }
