// The engine's Python classes, and helpers that their files share. The caller is lamina's own Python code: error
// messages here report its mistakes.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "bindings/arguments.hpp"
#include "core/floating_point.hpp"
#include "core/workspace.hpp"
#include "engine/network.hpp"
#include "engine/parameters.hpp"
#include "engine/passage.hpp"

namespace lamina::bindings {

// Calls body(), which runs user code, with the GIL; the thread may or may not have it already. Restores the
// floating-point mode afterwards, since user code may change it. User code gets scratch memory of its own.
template <class Body>
auto in_user_code(Body&& body) {
  struct Fixed {
    ~Fixed() { DefaultFloatingPoint::fix(); }
  };
  const WithGil gil;
  const Fixed fixed;
  const FreshScratch fresh;
  return unless_python_ends(body);
}

// A poll that runs Python's signal handlers. It keeps a handler's exception until the call has ended, because code that
// runs until then may call Python.
class Signals {
 public:
  bool operator()() {
    return in_user_code([this] {
      if (PyErr_CheckSignals() == 0) return false;
      raised_ = std::make_unique<py::error_already_set>();
      return true;
    });
  }
  // Raises the kept exception, if any. Needs the GIL.
  void raise() {
    if (raised_ != nullptr) throw py::error_already_set(std::move(*raised_));
  }

 private:
  std::unique_ptr<py::error_already_set> raised_;
};

// Runs body(poll) without the GIL. If a signal handler raises meanwhile, raises its exception.
template <class Body>
void interruptible(Body&& body) {
  Signals signals;
  const engine::Poll poll = std::ref(signals);
  try {
    const WithoutGil release;
    body(poll);
  } catch (const engine::Interrupted&) {
  }
  signals.raise();
}

// Runs body(), which computes and calls no Python, inside gates. If all of them are open, it keeps the GIL for little
// work (see without_gil); else it waits for them and runs without the GIL.
template <class Body>
void inside(const std::vector<engine::Gate*>& gates, engine::Access access, double work, Body&& body) {
  {
    const engine::Passage passage(gates, access, engine::Passage::AtOnce{});
    if (passage.entered()) return without_gil(work, body);
  }
  interruptible([&](const engine::Poll& poll) {
    const engine::Passage passage(gates, access, &poll);
    body();
  });
}

template <template <class> class Object>
using OfEitherType = std::variant<std::shared_ptr<Object<float>>, std::shared_ptr<Object<double>>>;

template <template <class> class Object, class T>
std::shared_ptr<Object<T>> of_type(const OfEitherType<Object>& object, const char* what) {
  if (const auto* found = std::get_if<std::shared_ptr<Object<T>>>(&object)) return *found;
  raise_type(std::string(what) + " must all have one dtype.");
}

// Calls body with a zero of the dtype.
template <class Body>
auto for_dtype(const std::string& dtype, Body&& body) {
  if (dtype == "float32") return body(float{});
  if (dtype == "float64") return body(double{});
  raise_type("dtype must be float32 or float64; got " + dtype + ".");
}

struct PyParameters {
  OfEitherType<engine::Parameters> object;
};

// The memory of an array that must be C-contiguous, of dtype T and of that size.
template <class T>
T* numbers_of(const char* function, const char* name, const py::array& array, std::ptrdiff_t size) {
  if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0 || array.size() != size)
    raise_value(std::string(function) + ": " + name + " must be C-contiguous, of the network's dtype and of " +
                std::to_string(size) + " numbers.");
  return static_cast<T*>(const_cast<void*>(array.data()));
}

// The same for an array of the size of a tensor of the layout; runs body(its memory).
template <class T, class Body>
void with_tensor(const engine::Layout& layout, int tensor, const py::array& array, Body&& body) {
  if (tensor < 0 || tensor >= static_cast<int>(layout.tensors.size())) raise_value("there is no such tensor.");
  body(numbers_of<T>("Parameters", "the array", array, layout.tensors[static_cast<std::size_t>(tensor)].size()));
}

// Whether a value is a plain array (n, cols): exactly an ndarray, C-contiguous, aligned and of dtype T.
template <class T>
bool is_plain(const py::object& value, std::ptrdiff_t cols) {
  if (value.ptr()->ob_type != py::detail::npy_api::get().PyArray_Type_) return false;
  const auto* array = py::detail::array_proxy(value.ptr());
  constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  constexpr int number = sizeof(T) == 4 ? py::detail::npy_api::NPY_FLOAT_ : py::detail::npy_api::NPY_DOUBLE_;
  return array->nd == 2 && array->dimensions[1] == cols && (array->flags & wanted) == wanted &&
         py::detail::array_descriptor_proxy(array->descr)->type_num == number &&
         py::detail::array_descriptor_proxy(array->descr)->byteorder != '>';
}

// The rows of such an array.
template <class T>
Rows plain_rows(const py::object& value) {
  const auto* array = py::detail::array_proxy(value.ptr());
  return {.base = array->data,
          .rows = array->dimensions[0],
          .cols = array->dimensions[1],
          .row_bytes = array->dimensions[1] * static_cast<std::ptrdiff_t>(sizeof(T)),
          .type = kNumberType<T>};
}

// Whether a network's rows and those of its output are plain ones.
template <class T>
bool takes_plain_rows(const engine::Network<T>& network) {
  return network.input() == engine::InputKind::dense && network.boundaries().front().factor == 1 &&
         network.boundaries().back().factor == 1;
}

struct PyNetwork {
  OfEitherType<engine::Network> object;
};

// An attribute of an object that lamina's own Python code passes.
template <class T>
T attribute(const py::handle& object, const char* name) {
  const py::object value = object.attr(name);
  try {
    return value.cast<T>();
  } catch (const py::cast_error&) {
    raise_type(py::str(py::type::handle_of(object).attr("__name__")).cast<std::string>() + "." + name +
               " is of a wrong type: " + py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
               ".");
  }
}

// An activation: its index in the kernel table, and alpha.
struct ActivationChoice {
  int index;
  double alpha;
};

// Reads a lamina._engine.ops.Kernel.
ActivationChoice activation_choice(const py::handle& activation);

// Rows of a user array, read in place.
struct RowsArgument {
  Rows rows;
  std::vector<std::ptrdiff_t> offsets;
  py::array keep;  // keeps the memory alive
};

RowsArgument rows_argument(const py::array& array, const char* name);

// The input of a network: an array, or for sparse rows a tuple (starts, columns, values), which are indptr, indices and
// data of a SciPy CSR matrix. The caller has checked the indices.
struct InputArgument {
  engine::Input input;
  RowsArgument rows;
  py::tuple keep;
};

py::ssize_t first_bad_sparse_row(const py::array& starts, const py::array& columns, py::ssize_t count);
InputArgument input_argument(const py::object& x, engine::InputKind kind, std::ptrdiff_t columns, const char* who);

// A Python object that the engine can release on threads without the GIL.
std::shared_ptr<py::object> kept(const py::object& object);

// An array for Python code: a copy, since the engine's rows may be padded.
template <class T>
py::array_t<T> array_of(const Matrix<const T>& m) {
  py::array_t<T> array({m.rows, m.cols});
  for (std::ptrdiff_t i = 0; i < m.rows; ++i)
    std::memcpy(array.mutable_data() + i * m.cols, m.data + i * m.stride, static_cast<std::size_t>(m.cols) * sizeof(T));
  return array;
}

// Copies an array of rows * cols numbers, converted to T, into a matrix; raises for any other size.
template <class T>
void copy_back(const py::object& value, const Matrix<T>& m, const char* what) {
  const auto array = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(value);
  if (!array || array.size() != m.rows * m.cols) {
    PyErr_Clear();
    raise_value(std::string(what) + " must have " + std::to_string(m.rows) + " rows of " + std::to_string(m.cols) +
                " numbers.");
  }
  for (std::ptrdiff_t i = 0; i < m.rows; ++i)
    std::memcpy(m.data + i * m.stride, array.data() + i * m.cols, static_cast<std::size_t>(m.cols) * sizeof(T));
}

}  // namespace lamina::bindings
