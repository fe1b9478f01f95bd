#include "bindings/arguments.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

// An array of any shape is one row for an elementwise function; a rowwise one needs a last axis.
template <class T>
Matrix<const T> view(const Argument& argument, bool rowwise) {
  if (rowwise) return matrix<T>(argument);
  return {argument.data<T>(), 1, argument.size(), argument.size()};
}

void require_axis(const Arguments& arguments, const Argument& x, bool rowwise) {
  if (rowwise && x.ndim() == 0)
    arguments.fail_value(std::string(x.name) +
                         " must have at least one dimension for a function along the last axis; got a scalar.");
}

py::object activation_forward(const py::handle& name, const py::handle& x, const py::handle& alpha,
                              const py::handle& out) {
  Arguments arguments("activation_forward");
  const Argument xs = arguments.input(x, "x");
  const Activation chosen = find_activation(arguments, name, alpha, "name");
  const bool rowwise = chosen.info().rowwise;
  require_axis(arguments, xs, rowwise);
  const Argument ys = arguments.output(out, "out", xs.shape(), nullptr);
  arguments.refuse_overlaps({{"x", "out"}});
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Matrix<const T> from = view<T>(xs, rowwise);
    const auto& kernel = kernels_of<T>(kernels()).activations[chosen.index];
    without_gil(static_cast<double>(xs.size()), [&] {
      kernel.forward(from, {ys.mutable_data<T>(), from.rows, from.cols, from.stride}, static_cast<T>(chosen.alpha));
    });
  });
  return ys.array;
}

py::object activation_backward(const py::handle& name, const py::handle& x_or_y, const py::handle& dy,
                               const py::handle& alpha, const py::handle& out) {
  Arguments arguments("activation_backward");
  const Argument vs = arguments.input(x_or_y, "x_or_y");
  const Activation chosen = find_activation(arguments, name, alpha, "name");
  const bool rowwise = chosen.info().rowwise;
  require_axis(arguments, vs, rowwise);
  const Argument dys = arguments.input(dy, "dy", vs.shape(), nullptr);
  const Argument dxs = arguments.output(out, "out", vs.shape(), nullptr);
  arguments.refuse_overlaps({{"dy", "out"}, {"x_or_y", "out"}});
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Matrix<const T> value = view<T>(vs, rowwise), gradient = view<T>(dys, rowwise);
    const auto& kernel = kernels_of<T>(kernels()).activations[chosen.index];
    without_gil(static_cast<double>(vs.size()), [&] {
      kernel.backward(value, gradient, {dxs.mutable_data<T>(), value.rows, value.cols, value.stride},
                      static_cast<T>(chosen.alpha));
    });
  });
  return dxs.array;
}

py::dict activation_table() {
  py::dict table;
  for (int i = 0; i < kernels().activation_count; ++i) {
    const ActivationInfo& info = kernels().f32.activations[i].info;
    py::dict row;
    row["rowwise"] = info.rowwise;
    row["derivative_of"] = info.derivative_of == DerivativeOf::output ? "output" : "input";
    row["default_alpha"] = info.has_alpha ? py::object(py::float_(info.default_alpha)) : py::none();
    table[info.name] = row;
  }
  return table;
}

}  // namespace

void register_activations(py::module_& module) {
  define(module, "activation_forward", activation_forward, py::arg("name"), py::arg("x"), py::arg("alpha"),
         py::arg("out"));
  define(module, "activation_backward", activation_backward, py::arg("name"), py::arg("x_or_y"), py::arg("dy"),
         py::arg("alpha"), py::arg("out"));
  define(module, "activation_table", activation_table);
}

}  // namespace lamina::bindings
