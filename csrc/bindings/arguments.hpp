// Checks of array arguments. Nothing here converts or copies: an array that cannot be used in place raises an error,
// whose message names the function, the argument, what must hold, what was received and how to mend it.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "bindings/gil.hpp"
#include "core/dispatch.hpp"

namespace lamina::bindings {

namespace py = pybind11;

enum class DType { float32, float64 };

using Shape = std::vector<py::ssize_t>;

std::string describe(const Shape& shape);

// The number type of a dtype; empty if it is none, or not in native byte order.
std::optional<NumberType> number_type(const py::dtype& dtype);

[[noreturn]] void raise_type(const std::string& message);
[[noreturn]] void raise_value(const std::string& message);

// An array argument that has passed its checks.
struct Argument {
  py::array array;
  const char* name;

  py::ssize_t ndim() const { return array.ndim(); }
  py::ssize_t size() const { return array.size(); }
  Shape shape() const { return Shape(array.shape(), array.shape() + array.ndim()); }
  template <class T>
  const T* data() const {
    return static_cast<const T*>(array.data());
  }
  template <class T>
  T* mutable_data() const {
    return static_cast<T*>(const_cast<void*>(array.data()));
  }
};

// The arguments of one call. Remembers the function's name for messages, the dtype of the first array, which all others
// must have, and the memory that is read and written, to refuse overlaps.
class Arguments {
 public:
  explicit Arguments(const char* function) : function_(function) {}

  // A C-contiguous float array of the call's dtype. `rank` -1 takes any.
  Argument input(const py::handle& value, const char* name, int rank = -1);
  // The same with an exact shape; `meaning` is the shape in axis names, for messages.
  Argument input(const py::handle& value, const char* name, const Shape& shape, const char* meaning);
  // C-contiguous integers of any width, shape (n,), all within [0, classes).
  Labels labels(const py::handle& value, const char* name, py::ssize_t n, py::ssize_t classes);
  // The same of any length and with any values.
  Labels unchecked_labels(const py::handle& value, const char* name);
  // An output: a new array if `value` is None, else `value`, which must be a writeable array of that shape.
  Argument output(const py::handle& value, const char* name, const Shape& shape, const char* meaning);
  // An array that is updated in place.
  Argument in_place(const py::handle& value, const char* name);

  // Refuses outputs that share memory with inputs or with each other. Arrays in `same` may coincide exactly.
  void refuse_overlaps(std::initializer_list<std::pair<const char*, const char*>> same = {}) const;

  // Scalars: a real number, True or False, a str; anything else raises.
  double number(const py::handle& value, const char* name) const;
  bool flag(const py::handle& value, const char* name) const;
  std::string text(const py::handle& value, const char* name) const;
  // A number that must be finite, in the call's dtype too, and >= 0.
  double not_negative(const py::handle& value, const char* name) const;

  void require_rank(const Argument& argument, int rank, const char* meaning) const;
  DType dtype() const { return dtype_; }

  [[noreturn]] void fail_type(const std::string& message) const;
  [[noreturn]] void fail_value(const std::string& message) const;

 private:
  struct Extent {
    const char* name;
    const char *begin, *end;
    bool written;
  };

  py::array as_array(const py::handle& value, const char* name) const;
  void check_layout(const py::array& array, const char* name) const;
  void check_float(const py::array& array, const char* name);
  void check_shape(const py::array& array, const char* name, const Shape& shape, const char* meaning) const;
  Argument record(py::array array, const char* name, bool written);

  const char* function_;
  bool has_dtype_ = false;
  DType dtype_ = DType::float32;
  std::vector<Extent> extents_;
};

// Calls body with a zero of the dtype: float or double.
template <class Body>
auto with_dtype(DType dtype, Body&& body) {
  return dtype == DType::float32 ? body(float{}) : body(double{});
}

// Runs body; releases the GIL if the work is long enough: for a microsecond threads would only queue for the GIL.
template <class Body>
void without_gil(double work, Body&& body) {
  constexpr double kWorthwhile = 20000;  // elements touched or multiply-adds done
  if (work < kWorthwhile) return body();
  const WithoutGil release;
  body();
}

template <class T>
Matrix<const T> matrix(const Argument& argument) {
  const py::ssize_t cols = argument.array.shape(argument.ndim() - 1);
  return {argument.data<T>(), cols == 0 ? 0 : argument.size() / cols, cols, cols};
}

template <class T>
Matrix<T> mutable_matrix(const Argument& argument) {
  const Matrix<const T> m = matrix<T>(argument);
  return {argument.mutable_data<T>(), m.rows, m.cols, m.stride};
}

// An activation of the kernel table. kernel() is null for "linear".
struct Activation {
  int index;
  double alpha;
  bool linear() const { return index == 0; }
  const ActivationInfo& info() const { return kernels().f32.activations[index].info; }
  template <class T>
  const ActivationKernel<T>* kernel() const {
    return linear() ? nullptr : &kernels_of<T>(kernels()).activations[index];
  }
};

Activation find_activation(const Arguments& arguments, const py::handle& name, const py::handle& alpha,
                           const char* argument = "activation");

}  // namespace lamina::bindings
