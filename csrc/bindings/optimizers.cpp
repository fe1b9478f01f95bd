#include <cmath>

#include "bindings/arguments.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

void require(const Arguments& arguments, const char* name, double value, bool holds, const char* condition) {
  if (!holds)
    arguments.fail_value(std::string(name) + " must be " + condition + "; got " +
                         py::str(py::float_(value)).cast<std::string>() + ".");
}

void sgd_update(const py::handle& parameter, const py::handle& gradient, const py::handle& velocity,
                double learning_rate, double momentum, bool nesterov, double weight_decay) {
  Arguments arguments("sgd_update");
  const Argument p = arguments.in_place(parameter, "param");
  const Argument g = arguments.input(gradient, "grad", p.shape(), nullptr);
  Argument v{};
  if (!velocity.is_none()) {
    v = arguments.in_place(velocity, "velocity");
    if (v.shape() != p.shape())
      arguments.fail_value("velocity must have shape " + describe(p.shape()) + " as param has; got " +
                           describe(v.shape()) + ".");
  }
  require(arguments, "learning_rate", learning_rate, learning_rate >= 0 && std::isfinite(learning_rate),
          "finite and >= 0");
  require(arguments, "momentum", momentum, momentum >= 0 && momentum <= 1, "in [0, 1]");
  require(arguments, "weight_decay", weight_decay, weight_decay >= 0 && std::isfinite(weight_decay), "finite and >= 0");
  if (momentum > 0 && velocity.is_none())
    arguments.fail_value(
        "velocity must be given where momentum > 0; got None. It keeps the running step between calls; begin with "
        "zeros.");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const SgdUpdate<T> update{p.mutable_data<T>(),
                              g.data<T>(),
                              velocity.is_none() ? nullptr : v.mutable_data<T>(),
                              p.size(),
                              static_cast<T>(learning_rate),
                              static_cast<T>(momentum),
                              static_cast<T>(weight_decay),
                              nesterov};
    without_gil(static_cast<double>(p.size()), [&] { kernels_of<T>(kernels()).sgd_update(update); });
  });
}

}  // namespace

void register_optimizers(py::module_& module) {
  module.def("sgd_update", sgd_update, py::arg("parameter"), py::arg("gradient"), py::arg("velocity"),
             py::arg("learning_rate"), py::arg("momentum"), py::arg("nesterov"), py::arg("weight_decay"));
}

}  // namespace lamina::bindings
