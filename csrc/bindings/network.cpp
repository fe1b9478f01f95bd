#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "bindings/engine.hpp"
#include "bindings/names.hpp"
#include "bindings/ops.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

InputKind input_named(const std::string& name) {
  return enumerator<InputKind>(name, "kind of input",
                               {{"dense", InputKind::dense},
                                {"sparse", InputKind::sparse},
                                {"indices", InputKind::indices},
                                {"bags", InputKind::bags},
                                {"masked_bags", InputKind::masked_bags}});
}

// `ops`: objects of lamina._engine.ops, in order. `reads`: the kind of input.
PyNetwork make_network(const std::string& dtype, std::ptrdiff_t width, std::ptrdiff_t factor,
                       const std::vector<py::object>& ops, const std::string& reads, bool input_gradient) {
  const InputKind input = input_named(reads);
  if (ops.empty()) raise_value("Network: there must be ops.");
  if (gives_entries(input) && attribute<std::string>(ops[0], "kind") != "dense")
    raise_value("Network: only a dense first layer reads sparse rows or indices.");
  if (gives_entries(input) && input_gradient) raise_value("Network: sparse rows and indices have no gradient.");
  return for_dtype(dtype, [&](auto zero) -> PyNetwork {
    using T = decltype(zero);
    std::vector<std::unique_ptr<Layer<T>>> layers;
    std::vector<bool> trained;
    for (const py::object& op : ops) {
      layers.push_back(make_layer<T>(op, input, layers.empty()));
      trained.push_back(attribute<bool>(op, "trains"));
    }
    return {std::make_shared<Network<T>>(kernels_of<T>(kernels()), width, factor, std::move(layers), trained, input,
                                         input_gradient)};
  });
}

template <class T>
void predict_rows(const Network<T>& network, const Input& rows, T* out, const std::uint64_t* draw = nullptr) {
  constexpr double kSmall = 2e5;  // multiply-adds; below, the GIL is kept
  const std::ptrdiff_t n = rows.rows();
  if (network.work() * static_cast<double>(n) < kSmall && network.try_predict(rows, out, draw)) return;
  // In parts of a few milliseconds, so that Ctrl-C is noticed; the gates are held throughout, so that all parts use the
  // same parameters.
  constexpr double kStretch = 1e9;  // multiply-adds
  const auto step = network.rows_alone(draw != nullptr)
                        ? static_cast<std::ptrdiff_t>(1 + kStretch / std::max(1.0, network.work()) / 1024) * 1024
                        : n;
  interruptible([&](const Poll& poll) {
    const Passage passage(network.gates(), network.access_for(draw), &poll);
    for (std::ptrdiff_t first = 0; first < n; first += step) {
      if (first > 0 && poll()) throw Interrupted{};
      network.predict(rows.part(first, std::min(step, n - first)), out + first * network.outputs(), &poll, draw);
    }
  });
}

// With `draw` predicts as in training: with noise, and with the moments of the batch.
py::array predict(const PyNetwork& self, const py::object& x, const py::object& out,
                  std::optional<std::uint64_t> draw) {
  return std::visit(
      [&](const auto& network) -> py::array {
        using N = typename std::remove_reference_t<decltype(*network)>;
        using T = typename N::Number;
        const InputArgument rows = input_argument(x, network->input(), network->inputs(), "predict");
        const std::ptrdiff_t n = rows.input.rows();
        py::array result;
        if (out.is_none()) {
          result = py::array_t<T>({n, network->outputs()});
        } else {
          Arguments arguments("predict");
          result = arguments.in_place(out, "out").array;
          if (!py::isinstance<py::array_t<T>>(result) || result.size() != n * network->outputs())
            raise_value("predict: out must be of the model's dtype and the output's shape.");
        }
        T* data = static_cast<T*>(result.mutable_data());
        predict_rows(*network, rows.input, data, draw ? &*draw : nullptr);
        return result;
      },
      self.object);
}

// The same for the usual case only: x is a plain C-contiguous array (n, features) of the network's dtype, an output row
// has one dimension, and `out` is None or such an array that does not overlap x. Returns None in all other cases: the
// caller then checks, converts or raises.
py::object predict_plain(const PyNetwork& self, const py::object& x, const py::object& out) {
  return std::visit(
      [&](const auto& network) -> py::object {
        using T = typename std::remove_reference_t<decltype(*network)>::Number;
        if (!takes_plain_rows(*network) || !is_plain<T>(x, network->inputs()) ||
            (!out.is_none() && !is_plain<T>(out, network->outputs())))
          return py::none();
        const Rows rows = plain_rows<T>(x);
        const std::ptrdiff_t n = rows.rows;
        py::object result = out.is_none() ? py::object(py::array_t<T>({n, network->outputs()})) : out;
        const auto* to = py::detail::array_proxy(result.ptr());
        if (!out.is_none()) {
          const char *x_begin = static_cast<const char*>(rows.base), *x_end = x_begin + n * rows.row_bytes,
                     *out_end = to->data + n * network->outputs() * static_cast<std::ptrdiff_t>(sizeof(T));
          if (to->dimensions[0] != n || (to->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) == 0 ||
              (to->data < x_end && x_begin < out_end))
            return py::none();
        }
        predict_rows(*network, Input(InputKind::dense, rows), reinterpret_cast<T*>(to->data));
        return result;
      },
      self.object);
}

}  // namespace

void register_network(py::module_& module) {
  module.def("first_bad_sparse_row", first_bad_sparse_row, py::arg("starts"), py::arg("columns"), py::arg("count"));
  py::class_<PyNetwork>(module, "Network")
      .def(py::init(&make_network), Computes(), py::arg("dtype"), py::arg("width"), py::arg("factor"), py::arg("ops"),
           py::arg("reads"), py::arg("input_gradient") = false)
      .def("predict", predict, Computes(), py::arg("x"), py::arg("out"), py::arg("draw") = py::none())
      .def("predict_plain", predict_plain, Computes(), py::arg("x"), py::arg("out"));
}

}  // namespace lamina::bindings
