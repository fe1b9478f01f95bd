// The table of functions for C, C++ and Cython (lamina.h), and networks for them.
#define LAMINA_TABLE_ONLY
#include "lamina.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "bindings/engine.hpp"
#include "bindings/names.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace for_c {  // their names are those of other files, too
namespace {

using namespace engine;

struct NetworkForC : lamina_network {
  OfEitherType<Network> object;
};

// Runs body(), and returns the code for what it throws.
template <class Body>
int status_of(Body&& body) noexcept {
  const DefaultFloatingPoint fixed;
  try {
    body();
    return LAMINA_OK;
  } catch (const std::bad_alloc&) {
    return LAMINA_NO_MEMORY;
  } catch (...) {
    return LAMINA_WRONG_VALUE;  // indices that the table does not have
  }
}

template <class T>
void predict_rows(const Network<T>& network, const Input& rows, T* y) {
  if (network.try_predict(rows, y)) return;
  // A training holds the gate, and may need the GIL before it leaves it.
  const std::unique_ptr<WithoutGil> release(has_gil() ? new WithoutGil : nullptr);
  network.predict(rows, y, nullptr);
}

int predict(const lamina_network* given, const void* x, ptrdiff_t rows, void* y) {
  if (rows < 0) return LAMINA_WRONG_VALUE;
  return status_of([&] {
    std::visit(
        [&](const auto& network) {
          using T = typename std::remove_reference_t<decltype(*network)>::Number;
          const bool indices = given->input_type == LAMINA_INT64;
          const std::ptrdiff_t bytes = indices ? sizeof(std::int64_t) : sizeof(T);
          predict_rows(*network,
                       Input(network->input(), {.base = x,
                                                .rows = rows,
                                                .cols = given->inputs,
                                                .row_bytes = given->inputs * bytes,
                                                .type = indices ? NumberType::int64 : kNumberType<T>}),
                       static_cast<T*>(y));
        },
        static_cast<const NetworkForC*>(given)->object);
  });
}

int activation(const char* name) { return activation_index(name); }

int needs_pre(int activation) {
  return activation >= 0 && activation < kernels().activation_count &&
         kernels().f32.activations[activation].info.derivative_of == DerivativeOf::input;
}

// Whether sizes and an activation's number are those of a layer.
bool is_layer(ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int activation) {
  return n >= 0 && in >= 0 && out >= 0 && activation >= 0 && activation < kernels().activation_count;
}

Activation activation_of(int index, double alpha) {
  return {index, std::isnan(alpha) ? kernels().f32.activations[index].info.default_alpha : alpha};
}

template <class T>
int forward(const T* x, const T* w, const T* b, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int activation, double alpha,
            T* pre, T* y) {
  if (!is_layer(n, in, out, activation)) return LAMINA_WRONG_VALUE;
  const Activation chosen = activation_of(activation, alpha);
  return status_of([&] {
    kernels_of<T>(kernels()).dense_forward({.x = {x, n, in, in},
                                            .w = {w, in, out, out},
                                            .b = b,
                                            .y = {y, n, out, out},
                                            .pre = {pre, n, out, out},
                                            .activation = chosen.kernel<T>(),
                                            .alpha = static_cast<T>(chosen.alpha)});
  });
}

template <class T>
int backward(const T* x, const T* w, const T* dy, const T* v, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int activation,
             double alpha, T* dx, T* dw, T* db) {
  if (!is_layer(n, in, out, activation)) return LAMINA_WRONG_VALUE;
  const Activation chosen = activation_of(activation, alpha);
  if (v == nullptr && !chosen.linear()) return LAMINA_WRONG_VALUE;
  return status_of([&] {
    kernels_of<T>(kernels()).dense_backward({.x = {x, n, in, in},
                                             .w = {w, in, out, out},
                                             .dy = {dy, n, out, out},
                                             .v = {v, n, out, out},
                                             .dx = {dx, n, in, in},
                                             .dw = {dw, in, out, out},
                                             .db = db,
                                             .activation = chosen.kernel<T>(),
                                             .alpha = static_cast<T>(chosen.alpha)});
  });
}

constexpr lamina_functions kFunctions = {LAMINA_ABI,     predict,         activation,      needs_pre,
                                         forward<float>, forward<double>, backward<float>, backward<double>};

// A network in a capsule, which keeps it.
py::capsule network_for_c(const PyNetwork& network) {
  auto found = std::make_unique<NetworkForC>();
  found->object = network.object;
  std::visit(
      [&](const auto& object) {
        using T = typename std::remove_reference_t<decltype(*object)>::Number;
        found->output_type = sizeof(T) == sizeof(float) ? LAMINA_FLOAT : LAMINA_DOUBLE;
        found->input_type = is_indices(object->input()) ? LAMINA_INT64 : found->output_type;
        found->inputs = object->inputs();
        found->outputs = object->outputs();
        if (object->host()) raise_value("network: models with layers that are written in Python need Python.");
      },
      found->object);
  py::capsule capsule(static_cast<lamina_network*>(found.get()), LAMINA_NETWORK_CAPSULE, [](PyObject* held) {
    delete static_cast<NetworkForC*>(static_cast<lamina_network*>(PyCapsule_GetPointer(held, LAMINA_NETWORK_CAPSULE)));
  });
  found.release();
  return capsule;
}

}  // namespace
}  // namespace for_c

void register_functions(py::module_& module) {
  module.def("network_for_c", for_c::network_for_c, py::arg("network"));
  module.attr("functions") = py::capsule(static_cast<const void*>(&for_c::kFunctions), LAMINA_FUNCTIONS_CAPSULE);
}

}  // namespace lamina::bindings
