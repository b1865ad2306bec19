// Checks of what comes from Python, before memory is touched. Every complaint is a ValueError that
// says what was given and what was expected.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "clipgaze/image.hpp"

namespace clipgaze {

namespace py = pybind11;

/// An image and the array that keeps its memory alive: the caller's own where its rows can be read
/// in place, else a copy.
struct HeldImage {
    py::array array;
    ImageView view;
};

HeldImage held_image(const py::object& image, const std::string& color);

Normalization normalization_from(const std::vector<double>& mean, const std::vector<double>& std,
                                 const std::string& output_color);

constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;

/// Numbers that lie side by side, at addresses that their type may have.
template <class T>
using InputArray = py::array_t<T, py::array::c_style | kAligned>;

/// An array of T with the given sides, -1 for any; the caller's own or a copy.
template <class T>
InputArray<T> input_array(const py::object& object, const char* name,
                          const std::vector<py::ssize_t>& sides);

/// `out`, checked to be a writeable, aligned, C-contiguous float32 array of this shape, or a new
/// one.
py::array_t<float> output_array(const py::object& out, const std::vector<py::ssize_t>& shape);

/// Complains unless minimum <= value <= maximum.
void check_range(const char* name, double value, double minimum, double maximum);

/// The checks that both normalising kernels share.
void check_target(int width, int height, int threads);

void bind_warp(py::module_& module);
void bind_letterbox(py::module_& module);
void bind_detections(py::module_& module);

}  // namespace clipgaze
