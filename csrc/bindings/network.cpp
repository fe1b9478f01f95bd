#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "bindings/engine.hpp"
#include "bindings/register.hpp"
#include "engine/layers/activation.hpp"
#include "engine/layers/activity.hpp"
#include "engine/layers/batch_norm.hpp"
#include "engine/layers/clipped_relu.hpp"
#include "engine/layers/dense.hpp"
#include "engine/layers/host.hpp"
#include "engine/layers/noise.hpp"
#include "engine/layers/prelu.hpp"
#include "engine/layers/reshape.hpp"
#include "engine/layers/row_norm.hpp"
#include "engine/layers/scale.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

// ("host", parameters or None, width, factor, object): the object has forward(x, training) → y and
// backward(dy, need_dx) → (dx or None, gradients of all tensors, None where one is not trained).
template <class T>
std::unique_ptr<Layer<T>> make_host(const py::tuple& spec) {
  std::shared_ptr<Parameters<T>> parameters;
  if (!spec[1].is_none()) parameters = of_type<Parameters, T>(spec[1].cast<const PyParameters&>().object, "parameters");
  const auto layer = kept(spec[4]);
  HostFunctions<T> functions;
  functions.forward = [layer](Matrix<const T> x, Matrix<T> y, bool training) {
    in_user_code([&] { copy_back<T>(call(layer->attr("forward"), array_of<T>(x), training), y, "forward's result"); });
  };
  functions.backward = [layer, parameters](Matrix<const T> dy, Matrix<T> dx, T* gradients) {
    in_user_code([&] {
      const py::tuple found = call(layer->attr("backward"), array_of<T>(dy), dx.data != nullptr);
      if (dx.data != nullptr) copy_back<T>(found[0], dx, "backward's dx");
      if (gradients == nullptr) return;
      Parameters<T> packed(parameters->layout());
      int tensor = 0;
      for (const py::handle& gradient : found[1].template cast<py::list>()) {
        const Layout::Tensor& shape = parameters->layout().tensors[static_cast<std::size_t>(tensor)];
        if (!gradient.is_none()) {
          std::vector<T> values(static_cast<std::size_t>(shape.size()));
          copy_back<T>(py::reinterpret_borrow<py::object>(gradient),
                       {values.data(), shape.rows, shape.cols, shape.cols}, "a gradient");
          packed.write(tensor, values.data());
        }
        ++tensor;
      }
      std::copy(packed.data(), packed.data() + packed.size(), gradients);
    });
  };
  return std::make_unique<Host<T>>(parameters, spec[2].cast<std::ptrdiff_t>(), spec[3].cast<std::ptrdiff_t>(),
                                   std::move(functions));
}

template <class T>
std::unique_ptr<Layer<T>> make_layer(const py::tuple& spec, InputKind input) {
  const Kernels<T>& table = kernels_of<T>(kernels());
  const auto kind = spec[0].cast<std::string>();
  if (kind == "dense") {
    const int activation = activation_number(spec[2].cast<std::string>());
    return std::make_unique<Dense<T>>(of_type<Parameters, T>(spec[1].cast<const PyParameters&>().object, "parameters"),
                                      activation, alpha_of(spec[3], activation), table, input);
  }
  if (kind == "activation") {
    const int activation = activation_number(spec[1].cast<std::string>());
    return std::make_unique<engine::Activation<T>>(activation, alpha_of(spec[2], activation), table);
  }
  if (kind == "host") return make_host<T>(spec);
  const auto block = [&]() -> std::shared_ptr<Parameters<T>> {
    if (spec[1].is_none()) return nullptr;
    return of_type<Parameters, T>(spec[1].cast<const PyParameters&>().object, "parameters");
  };
  const auto require_tensor = [&](int number) {
    const auto parameters = block();
    if (number >= 0 && (parameters == nullptr || number >= static_cast<int>(parameters->layout().tensors.size())))
      raise_value("Network: the parameters of a layer are not all there.");
  };
  if (kind == "noise") {
    const auto name = spec[1].cast<std::string>();
    const NoiseKind noise = name == "dropout"    ? NoiseKind::dropout
                            : name == "gaussian" ? NoiseKind::gaussian
                                                 : NoiseKind::gaussian_dropout;
    return std::make_unique<NoiseLayer<T>>(noise, spec[2].cast<double>(), spec[3].cast<std::uint64_t>());
  }
  if (kind == "scale")
    return std::make_unique<Scale<T>>(spec[1].cast<std::vector<T>>(), spec[2].cast<std::vector<T>>(),
                                      spec[3].cast<std::vector<T>>());
  if (kind == "clipped_relu")
    return std::make_unique<ClippedReluLayer<T>>(spec[1].cast<double>(), spec[2].cast<double>(),
                                                 spec[3].cast<double>());
  if (kind == "prelu") {
    require_tensor(0);
    return std::make_unique<Prelu<T>>(block());
  }
  if (kind == "batch_norm") {
    const auto tensors = spec[2].cast<std::vector<int>>();
    if (tensors.size() != 4 || tensors[2] < 0 || tensors[3] < 0)
      raise_value("Network: a batch normalization has a mean and a variance.");
    for (const int number : tensors) require_tensor(number);
    return std::make_unique<BatchNorm<T>>(
        block(), BatchNormTensors{tensors.at(0), tensors.at(1), tensors.at(2), tensors.at(3)}, spec[3].cast<double>(),
        spec[4].cast<double>(), spec[5].cast<double>(), spec[6].cast<bool>());
  }
  if (kind == "row_norm") {
    for (const int field : {2, 3}) require_tensor(spec[static_cast<std::size_t>(field)].cast<int>());
    return std::make_unique<RowNorm<T>>(block(), spec[2].cast<int>(), spec[3].cast<int>(), spec[4].cast<bool>(),
                                        spec[5].cast<double>());
  }
  if (kind == "activity") return std::make_unique<Activity<T>>(spec[1].cast<double>(), spec[2].cast<double>());
  if (kind == "reshape") return std::make_unique<Reshape<T>>(spec[1].cast<std::ptrdiff_t>());
  raise_value("Network: there is no kind of layer '" + kind + "'.");
}

PyNetwork make_network(const std::string& dtype, std::ptrdiff_t width, std::ptrdiff_t factor,
                       const std::vector<py::tuple>& specs, const std::vector<bool>& trained,
                       const std::string& input) {
  const InputKind kind =
      input == "sparse" ? InputKind::sparse : (input == "indices" ? InputKind::indices : InputKind::dense);
  if (specs.empty() || trained.size() != specs.size()) raise_value("Network: there must be layers.");
  return for_dtype(dtype, [&](auto zero) -> PyNetwork {
    using T = decltype(zero);
    std::vector<std::unique_ptr<Layer<T>>> layers;
    if (kind != InputKind::dense && specs[0][0].cast<std::string>() != "dense")
      raise_value("Network: sparse rows and indices are for a dense first layer.");
    for (const py::tuple& spec : specs) layers.push_back(make_layer<T>(spec, layers.empty() ? kind : InputKind::dense));
    return {std::make_shared<Network<T>>(kernels_of<T>(kernels()), width, factor, std::move(layers), trained, kind)};
  });
}

template <class T>
void predict_rows(const Network<T>& network, const Input& rows, T* out, const std::uint64_t* draw = nullptr) {
  constexpr double kSmall = 2e5;  // multiply-adds; for less the GIL is not worth releasing
  const std::ptrdiff_t n = rows.rows();
  if (network.work() * static_cast<double>(n) < kSmall && network.try_predict(rows, out, draw)) return;
  // In stretches of a few milliseconds, so that Ctrl-C is noticed; all of them with the parameters of one moment.
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

// With `draw`, as in training: with noise, and by the moments of the batch.
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

// The same for the usual case alone: plain arrays (n, features) of the network's dtype, C-contiguous, rows of one
// dimension on both sides, `out` None or of the output's shape and apart from x. None where something is different: the
// caller then checks, converts or complains.
py::object predict_plain(const PyNetwork& self, const py::object& x, const py::object& out) {
  return std::visit(
      [&](const auto& network) -> py::object {
        using T = typename std::remove_reference_t<decltype(*network)>::Number;
        const auto plain = [](const py::object& value, std::ptrdiff_t cols) {
          if (value.ptr()->ob_type != py::detail::npy_api::get().PyArray_Type_) return false;
          const auto* array = py::detail::array_proxy(value.ptr());
          constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
          constexpr int number = sizeof(T) == 4 ? py::detail::npy_api::NPY_FLOAT_ : py::detail::npy_api::NPY_DOUBLE_;
          return array->nd == 2 && array->dimensions[1] == cols && (array->flags & wanted) == wanted &&
                 py::detail::array_descriptor_proxy(array->descr)->type_num == number &&
                 py::detail::array_descriptor_proxy(array->descr)->byteorder != '>';
        };
        if (network->input() != InputKind::dense || network->plan().front().factor != 1 ||
            network->plan().back().factor != 1 || !plain(x, network->inputs()) ||
            (!out.is_none() && !plain(out, network->outputs())))
          return py::none();
        const auto* from = py::detail::array_proxy(x.ptr());
        const std::ptrdiff_t n = from->dimensions[0];
        const Rows rows{from->data,        n,
                        network->inputs(), network->inputs() * static_cast<std::ptrdiff_t>(sizeof(T)),
                        nullptr,           sizeof(T) == 4 ? NumberType::float32 : NumberType::float64};
        py::object result = out.is_none() ? py::object(py::array_t<T>({n, network->outputs()})) : out;
        const auto* to = py::detail::array_proxy(result.ptr());
        if (!out.is_none()) {
          const char *x_end = from->data + n * rows.row_bytes,
                     *out_end = to->data + n * network->outputs() * static_cast<std::ptrdiff_t>(sizeof(T));
          if (to->dimensions[0] != n || (to->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) == 0 ||
              (to->data < x_end && from->data < out_end))
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
      .def(py::init(&make_network), Computes(), py::arg("dtype"), py::arg("width"), py::arg("factor"),
           py::arg("layers"), py::arg("trained"), py::arg("input") = "dense")
      .def("predict", predict, Computes(), py::arg("x"), py::arg("out"), py::arg("draw") = py::none())
      .def("predict_plain", predict_plain, Computes(), py::arg("x"), py::arg("out"));
}

}  // namespace lamina::bindings
