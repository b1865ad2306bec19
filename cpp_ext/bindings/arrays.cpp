#include "arrays.hpp"

#include <cmath>
#include <sstream>

namespace clipgaze {
namespace {

constexpr int kMaxSide = 32768;

[[noreturn]] void complain(const std::string& text) { throw py::value_error(text); }

std::string shape_text(const std::vector<py::ssize_t>& sides) {
    std::ostringstream text;
    text << "(";
    for (std::size_t i = 0; i < sides.size(); ++i) {
        if (i > 0) text << ", ";
        if (sides[i] < 0) {
            text << "N";
        } else {
            text << sides[i];
        }
    }
    text << (sides.size() == 1 ? ",)" : ")");
    return text.str();
}

std::string type_text(const py::object& object) {
    return py::str(py::type::handle_of(object).attr("__name__"));
}

std::string array_text(const py::array& array) {
    const std::vector<py::ssize_t> sides(array.shape(), array.shape() + array.ndim());
    return std::string(py::str(array.dtype())) + " of shape " + shape_text(sides);
}

py::array array_of(const py::object& object, const char* name, const std::string& expected) {
    if (!py::isinstance<py::array>(object)) {
        complain(std::string(name) + ": got " + type_text(object) + ", expected a numpy array of " +
                 expected + ".");
    }
    return py::reinterpret_borrow<py::array>(object);
}

bool fits(const py::array& array, const std::vector<py::ssize_t>& sides) {
    if (array.ndim() != static_cast<py::ssize_t>(sides.size())) return false;
    for (std::size_t i = 0; i < sides.size(); ++i) {
        if (sides[i] >= 0 && array.shape(static_cast<py::ssize_t>(i)) != sides[i]) return false;
    }
    return true;
}

PixelFormat format_from(const std::string& color) {
    if (color == "bgr") return PixelFormat::kBgr;
    if (color == "rgb") return PixelFormat::kRgb;
    if (color == "nv12") return PixelFormat::kNv12;
    complain("color: got '" + color + "', expected 'bgr', 'rgb' or 'nv12'.");
}

bool valid_sides(const py::array& array, PixelFormat format) {
    const bool nv12 = format == PixelFormat::kNv12;
    if (!fits(array, nv12 ? std::vector<py::ssize_t>{-1, -1} : std::vector<py::ssize_t>{-1, -1, 3}))
        return false;
    const py::ssize_t rows = array.shape(0);
    const py::ssize_t columns = array.shape(1);
    if (rows < 1 || columns < 1 || rows > kMaxSide || columns > kMaxSide) return false;
    return !nv12 || (rows % 3 == 0 && columns % 2 == 0);
}

/// Whether pixels lie side by side and rows run forwards; then rows may be any distance apart.
bool readable_in_place(const py::array& array) {
    const bool interleaved = array.ndim() == 3;
    const py::ssize_t pixel_bytes = interleaved ? 3 : 1;
    if (interleaved && array.strides(2) != 1) return false;
    return array.strides(1) == pixel_bytes && array.strides(0) >= pixel_bytes * array.shape(1);
}

}  // namespace

HeldImage held_image(const py::object& object, const std::string& color) {
    const PixelFormat format = format_from(color);
    const bool nv12 = format == PixelFormat::kNv12;
    const std::string expected =
        nv12 ? "uint8 of shape (height * 3 / 2, width), width and height even and 2 to 32768"
             : "uint8 of shape (height, width, 3), sides 1 to 32768";
    HeldImage held;
    held.array = array_of(object, "image", expected);
    if (!py::isinstance<py::array_t<std::uint8_t>>(held.array) ||
        !valid_sides(held.array, format)) {
        complain("image: got " + array_text(held.array) + ", expected " + expected +
                 " for color '" + color + "'.");
    }
    if (!readable_in_place(held.array)) {
        held.array = py::array_t<std::uint8_t, py::array::c_style>::ensure(held.array);
        if (!held.array) throw py::error_already_set();
    }
    const py::ssize_t rows = held.array.shape(0);
    held.view.data = static_cast<const std::uint8_t*>(held.array.data());
    held.view.width = static_cast<int>(held.array.shape(1));
    held.view.height = static_cast<int>(nv12 ? rows / 3 * 2 : rows);
    held.view.row_stride = held.array.strides(0);
    held.view.format = format;
    return held;
}

Normalization normalization_from(const std::vector<double>& mean, const std::vector<double>& std,
                                 const std::string& output_color) {
    Normalization result;
    if (output_color != "bgr" && output_color != "rgb") {
        complain("output_color: got '" + output_color + "', expected 'bgr' or 'rgb'.");
    }
    result.order = output_color == "bgr" ? ColorOrder::kBgr : ColorOrder::kRgb;
    if (mean.size() != 3 || std.size() != 3) {
        complain("mean, std: got " + std::to_string(mean.size()) + " and " +
                 std::to_string(std.size()) + " values, expected 3 each, in the order '" +
                 output_color + "'.");
    }
    for (std::size_t c = 0; c < 3; ++c) {
        check_range("mean", mean[c], -1e6, 1e6);
        check_range("std", std[c], 1e-6, 1e6);
        result.mean[c] = static_cast<float>(mean[c]);
        result.std[c] = static_cast<float>(std[c]);
    }
    return result;
}

template <class T>
InputArray<T> input_array(const py::object& object, const char* name,
                          const std::vector<py::ssize_t>& sides) {
    const std::string expected =
        std::string(py::str(py::dtype::of<T>())) + " of shape " + shape_text(sides);
    const py::array array = array_of(object, name, expected);
    if (!py::isinstance<py::array_t<T>>(array) || !fits(array, sides)) {
        complain(std::string(name) + ": got " + array_text(array) + ", expected " + expected + ".");
    }
    auto readable = InputArray<T>::ensure(array);
    if (!readable) throw py::error_already_set();
    return readable;
}

template InputArray<float> input_array<float>(const py::object&, const char*,
                                              const std::vector<py::ssize_t>&);
template InputArray<double> input_array<double>(const py::object&, const char*,
                                                const std::vector<py::ssize_t>&);
template InputArray<std::int64_t> input_array<std::int64_t>(const py::object&, const char*,
                                                            const std::vector<py::ssize_t>&);

py::array_t<float> output_array(const py::object& out, const std::vector<py::ssize_t>& shape) {
    if (out.is_none()) return py::array_t<float>(shape);
    const std::string expected =
        "writeable, aligned, C-contiguous float32 of shape " + shape_text(shape);
    const py::array array = array_of(out, "out", expected);
    const bool contiguous = (array.flags() & py::array::c_style) != 0;
    const bool aligned = (array.flags() & kAligned) != 0;
    if (!py::isinstance<py::array_t<float>>(array) || !fits(array, shape) || !contiguous ||
        !aligned || !array.writeable()) {
        complain("out: got " + std::string(array.writeable() ? "" : "read-only ") +
                 (aligned ? "" : "misaligned ") + (contiguous ? "" : "non-contiguous ") +
                 array_text(array) + ", expected " + expected + ".");
    }
    return py::reinterpret_borrow<py::array_t<float>>(array);
}

void check_range(const char* name, double value, double minimum, double maximum) {
    if (value >= minimum && value <= maximum) return;  // false for NaN
    std::ostringstream text;
    text << name << ": got " << value << ", expected " << minimum << " to " << maximum << ".";
    complain(text.str());
}

void check_target(int width, int height, int threads) {
    check_range("width", width, 1, kMaxSide);
    check_range("height", height, 1, kMaxSide);
    check_range("threads", threads, 1, 1024);
}

}  // namespace clipgaze
