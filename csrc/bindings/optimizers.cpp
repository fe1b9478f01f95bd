#include "bindings/arguments.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

void sgd_update(const py::handle& parameter, const py::handle& gradient, const py::handle& velocity,
                const py::handle& learning_rate, const py::handle& momentum, const py::handle& nesterov,
                const py::handle& weight_decay) {
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
  const double rate = arguments.not_negative(learning_rate, "learning_rate");
  const double mu = arguments.not_negative(momentum, "momentum");
  if (mu > 1) arguments.fail_value("momentum must be in [0, 1]; got " + py::str(momentum).cast<std::string>() + ".");
  const double decay = arguments.not_negative(weight_decay, "weight_decay");
  const bool look_ahead = arguments.flag(nesterov, "nesterov");
  if (mu > 0 && velocity.is_none())
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
                              static_cast<T>(rate),
                              static_cast<T>(mu),
                              static_cast<T>(decay),
                              look_ahead};
    without_gil(static_cast<double>(p.size()), [&] { kernels_of<T>(kernels()).sgd_update(update); });
  });
}

}  // namespace

void register_optimizers(py::module_& module) {
  module.def("sgd_update", sgd_update, py::arg("parameter"), py::arg("gradient"), py::arg("velocity"),
             py::arg("learning_rate"), py::arg("momentum"), py::arg("nesterov"), py::arg("weight_decay"));
}

}  // namespace lamina::bindings
