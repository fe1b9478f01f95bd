#include "bindings/arguments.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

// The arguments common to forward and backward: a batch and weights of matching shape.
struct LayerArrays {
  Argument x, w;
  py::ssize_t n, in, units;
};

LayerArrays read_layer(Arguments& arguments, const py::handle& x, const py::handle& w) {
  Argument xs = arguments.input(x, "x");
  arguments.require_rank(xs, 2, "(n, in)");
  Argument ws = arguments.input(w, "w");
  arguments.require_rank(ws, 2, "(in, out)");
  const py::ssize_t n = xs.array.shape(0), in = xs.array.shape(1), units = ws.array.shape(1);
  if (ws.array.shape(0) != in)
    arguments.fail_value("w must have shape (in, out) with in = " + std::to_string(in) + " as x has; got " +
                         describe(ws.shape()) + ".");
  return {std::move(xs), std::move(ws), n, in, units};
}

py::object dense_forward(const py::handle& x, const py::handle& w, const py::handle& b, const py::handle& activation,
                         const py::handle& alpha, const py::handle& out, const py::handle& pre) {
  Arguments arguments("dense_forward");
  const LayerArrays layer = read_layer(arguments, x, w);
  const Argument &xs = layer.x, &ws = layer.w;
  const py::ssize_t n = layer.n, in = layer.in, units = layer.units;
  Argument bs{};
  if (!b.is_none()) bs = arguments.input(b, "b", {units}, "(out,)");
  const Activation chosen = find_activation(arguments, activation, alpha);
  Argument pres{};
  if (!pre.is_none()) pres = arguments.output(pre, "pre", {n, units}, "(n, out)");
  const Argument ys = arguments.output(out, "out", {n, units}, "(n, out)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const DenseForward<T> d{.x = {xs.data<T>(), n, in, in},
                            .w = {ws.data<T>(), in, units, units},
                            .b = b.is_none() ? nullptr : bs.data<T>(),
                            .y = {ys.mutable_data<T>(), n, units, units},
                            .pre = {pre.is_none() ? nullptr : pres.mutable_data<T>(), n, units, units},
                            .activation = chosen.kernel<T>(),
                            .alpha = static_cast<T>(chosen.alpha)};
    without_gil(static_cast<double>(n) * static_cast<double>(in + 8) * static_cast<double>(units) / 16,
                [&] { kernels_of<T>(kernels()).dense_forward(d); });
  });
  return ys.array;
}

py::tuple dense_backward(const py::handle& x, const py::handle& w, const py::handle& dy, const py::handle& y,
                         const py::handle& pre, const py::handle& activation, const py::handle& alpha,
                         const py::handle& dx, const py::handle& dw, const py::handle& db, const py::handle& need) {
  Arguments arguments("dense_backward");
  const bool need_dx = arguments.flag(need, "need_dx");
  const LayerArrays layer = read_layer(arguments, x, w);
  const Argument &xs = layer.x, &ws = layer.w;
  const py::ssize_t n = layer.n, in = layer.in, units = layer.units;
  const Argument dys = arguments.input(dy, "dy", {n, units}, "(n, out)");
  const Activation chosen = find_activation(arguments, activation, alpha);
  const bool from_input = chosen.info().derivative_of == DerivativeOf::input;
  Argument vs{};
  if (!chosen.linear()) {
    const char* name = from_input ? "pre" : "y";
    const py::handle& v = from_input ? pre : y;
    if (v.is_none())
      arguments.fail_value(std::string(name) + " must be given for activation '" + chosen.info().name +
                           "', whose derivative is computed from its " + (from_input ? "input" : "output") +
                           "; got None.");
    vs = arguments.input(v, name, {n, units}, "(n, out)");
  }
  if (!need_dx && !dx.is_none()) arguments.fail_value("dx must be None where need_dx is False.");
  Argument dxs{};
  if (need_dx) dxs = arguments.output(dx, "dx", {n, in}, "(n, in)");
  const Argument dws = arguments.output(dw, "dw", {in, units}, "(in, out)");
  const Argument dbs = arguments.output(db, "db", {units}, "(out,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const DenseBackward<T> d{.x = {xs.data<T>(), n, in, in},
                             .w = {ws.data<T>(), in, units, units},
                             .dy = {dys.data<T>(), n, units, units},
                             .v = {chosen.linear() ? nullptr : vs.data<T>(), n, units, units},
                             .dx = {need_dx ? dxs.mutable_data<T>() : nullptr, n, in, in},
                             .dw = {dws.mutable_data<T>(), in, units, units},
                             .db = dbs.mutable_data<T>(),
                             .activation = chosen.kernel<T>(),
                             .alpha = static_cast<T>(chosen.alpha)};
    without_gil(static_cast<double>(n) * static_cast<double>(in + 8) * static_cast<double>(units) / 8,
                [&] { kernels_of<T>(kernels()).dense_backward(d); });
  });
  return py::make_tuple(need_dx ? py::object(dxs.array) : py::none(), dws.array, dbs.array);
}

}  // namespace

void register_dense(py::module_& module) {
  define(module, "dense_forward", dense_forward, py::arg("x"), py::arg("w"), py::arg("b"), py::arg("activation"),
         py::arg("alpha"), py::arg("out"), py::arg("pre"));
  define(module, "dense_backward", dense_backward, py::arg("x"), py::arg("w"), py::arg("dy"), py::arg("y"),
         py::arg("pre"), py::arg("activation"), py::arg("alpha"), py::arg("dx"), py::arg("dw"), py::arg("db"),
         py::arg("need_dx"));
}

}  // namespace lamina::bindings
