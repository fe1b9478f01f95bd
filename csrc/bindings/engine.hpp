// The engine as Python objects, and what their files share. Who calls is lamina's own Python layer: messages here name
// what it must have got wrong.
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

// For calls into code of the user's, from a thread that may not have the GIL. The mode of floating point, which that
// code may change, is set again at its end. What it computes has scratch of its own.
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

// A poll that looks for signals, and keeps the exception of a handler until the call has ended: what runs until then
// may call Python.
class Signals {
 public:
  bool operator()() {
    return in_user_code([this] {
      if (PyErr_CheckSignals() == 0) return false;
      raised_ = std::make_unique<py::error_already_set>();
      return true;
    });
  }
  // With the GIL.
  void raise() {
    if (raised_ != nullptr) throw py::error_already_set(std::move(*raised_));
  }

 private:
  std::unique_ptr<py::error_already_set> raised_;
};

// Runs body(poll) without the GIL; where a signal's handler raises while it waits or works, raises that.
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

// Runs body() inside gates. Those that are open are entered at once, with the GIL.
template <class Body>
void inside(const std::vector<engine::Gate*>& gates, engine::Access access, Body&& body) {
  {
    const engine::Passage passage(gates, access, engine::Passage::AtOnce{});
    if (passage.entered()) return body();
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
  raise_type(std::string(what) + " must have the network's dtype.");
}

// Calls body(zero of the dtype).
template <class Body>
auto for_dtype(const std::string& dtype, Body&& body) {
  if (dtype == "float32") return body(float{});
  if (dtype == "float64") return body(double{});
  raise_type("dtype must be float32 or float64; got " + dtype + ".");
}

struct PyParameters {
  OfEitherType<engine::Parameters> object;
};

// Runs body(data) with an array, which must be C-contiguous, of dtype T and of the size of a tensor of the layout.
template <class T, class Body>
void with_tensor(const engine::Layout& layout, int tensor, const py::array& array, Body&& body) {
  if (tensor < 0 || tensor >= static_cast<int>(layout.tensors.size()))
    raise_value("Parameters: there is no such tensor.");
  if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0 ||
      array.size() != layout.tensors[static_cast<std::size_t>(tensor)].size())
    raise_value("Parameters: the array must be C-contiguous, of the block's dtype and the tensor's size.");
  body(static_cast<T*>(const_cast<void*>(array.data())));
}

struct PyNetwork {
  OfEitherType<engine::Network> object;
};

// Numbers in the kernel table; an unknown name raises.
int activation_number(const std::string& name);
int loss_number(const std::string& name);
int metric_number(const std::string& name);  // -1 where there is none
int optimizer_number(const std::string& name);
double alpha_of(const py::handle& alpha, int activation);  // the default where it is None

// An attribute of an object that lamina's own Python layer hands over.
template <class T>
T attribute(const py::handle& object, const char* name) {
  return object.attr(name).cast<T>();
}

// Rows of the user's data.
struct RowsArgument {
  Rows rows;
  std::vector<std::ptrdiff_t> offsets;
  py::array keep;  // the memory stays while this does
};

RowsArgument rows_argument(const py::array& array, const char* name);

// What a network reads: an array, or for sparse rows a tuple (starts, columns, values) as SciPy's CSR matrices hold
// them, whose indices somebody has checked.
struct InputArgument {
  engine::Input input;
  RowsArgument rows;
  py::tuple keep;
};

py::ssize_t first_bad_sparse_row(const py::array& starts, const py::array& columns, py::ssize_t count);
InputArgument input_argument(const py::object& x, engine::InputKind kind, std::ptrdiff_t columns, const char* who);

// A Python object that the engine keeps and drops from threads without the GIL.
std::shared_ptr<py::object> kept(const py::object& object);

// Arrays for what is computed in Python: copies, for the engine's rows may be padded.
template <class T>
py::array_t<T> array_of(const Matrix<const T>& m) {
  py::array_t<T> array({m.rows, m.cols});
  for (std::ptrdiff_t i = 0; i < m.rows; ++i)
    std::memcpy(array.mutable_data() + i * m.cols, m.data + i * m.stride, static_cast<std::size_t>(m.cols) * sizeof(T));
  return array;
}

// Writes an array of exactly that many numbers into rows.
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
