#include "bindings/ops.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

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

// The activation that an op's attribute `activation` names: its index in the kernel table, and alpha.
struct ActivationChoice {
  int number;
  double alpha;
};

ActivationChoice activation_of(const py::handle& op) {
  const py::object activation = op.attr("activation");
  const int number = activation_number(attribute<std::string>(activation, "name"));
  return {number, alpha_of(activation.attr("alpha"), number)};
}

NoiseKind noise_of(const py::handle& op) {
  const auto name = attribute<std::string>(op, "noise");
  if (name == "dropout") return NoiseKind::dropout;
  if (name == "gaussian") return NoiseKind::gaussian;
  if (name == "gaussian_dropout") return NoiseKind::gaussian_dropout;
  raise_value("Network: there is no noise '" + name + "'.");
}

template <class T>
std::shared_ptr<Parameters<T>> parameters_of(const py::handle& op) {
  const py::object block = op.attr("parameters");
  if (block.is_none()) return nullptr;
  return of_type<Parameters, T>(block.cast<const PyParameters&>().object, "parameters");
}

// Raises if `tensor` is neither the index of a tensor in the op's block nor -1.
template <class T>
void require_tensor(const std::shared_ptr<Parameters<T>>& parameters, int tensor) {
  if (tensor >= 0 && (parameters == nullptr || tensor >= static_cast<int>(parameters->layout().tensors.size())))
    raise_value("Network: the parameters of a layer are not all there.");
}

// The attribute `functions` of an op has methods forward(x, training) → y and backward(dy, need_dx) → (dx or None, list
// of gradients of all tensors, None for each that is not trained).
template <class T>
HostFunctions<T> host_functions(const py::handle& op, std::shared_ptr<Parameters<T>> parameters) {
  const auto layer = kept(op.attr("functions"));
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
  return functions;
}

}  // namespace

template <class T>
std::unique_ptr<Layer<T>> make_layer(const py::handle& op, InputKind input) {
  const Kernels<T>& table = kernels_of<T>(kernels());
  const auto number = [&](const char* name) { return attribute<double>(op, name); };
  const auto count = [&](const char* name) { return attribute<std::ptrdiff_t>(op, name); };
  const auto tensor = [&](const char* name) { return attribute<int>(op, name); };
  const auto columns = [&](const char* name) { return attribute<std::vector<T>>(op, name); };

  const auto kind = attribute<std::string>(op, "kind");
  if (kind == "dense") {
    const ActivationChoice activation = activation_of(op);
    return std::make_unique<Dense<T>>(parameters_of<T>(op), activation.number, activation.alpha, table, input);
  }
  if (kind == "activation") {
    const ActivationChoice activation = activation_of(op);
    return std::make_unique<engine::Activation<T>>(activation.number, activation.alpha, table);
  }
  if (kind == "reshape") return std::make_unique<Reshape<T>>(count("width"));
  if (kind == "noise")
    return std::make_unique<NoiseLayer<T>>(noise_of(op), number("rate"), attribute<std::uint64_t>(op, "key"));
  if (kind == "scale") return std::make_unique<Scale<T>>(columns("center"), columns("scale"), columns("shift"));
  if (kind == "clipped_relu")
    return std::make_unique<ClippedReluLayer<T>>(number("slope"), number("most"), number("threshold"));
  if (kind == "activity") return std::make_unique<Activity<T>>(number("l1"), number("l2"));

  const auto parameters = parameters_of<T>(op);
  if (kind == "prelu") {
    require_tensor(parameters, 0);
    return std::make_unique<Prelu<T>>(parameters);
  }
  if (kind == "batch_norm") {
    const auto tensors = attribute<std::vector<int>>(op, "tensors");
    if (tensors.size() != 4 || tensors[2] < 0 || tensors[3] < 0)
      raise_value("Network: a batch normalization has a mean and a variance.");
    for (const int index : tensors) require_tensor(parameters, index);
    return std::make_unique<BatchNorm<T>>(
        parameters, BatchNormTensors{tensors.at(0), tensors.at(1), tensors.at(2), tensors.at(3)}, number("momentum"),
        number("epsilon"), number("least"), attribute<bool>(op, "frozen"));
  }
  if (kind == "row_norm") {
    for (const char* name : {"gamma", "beta"}) require_tensor(parameters, tensor(name));
    return std::make_unique<RowNorm<T>>(parameters, tensor("gamma"), tensor("beta"), attribute<bool>(op, "centered"),
                                        number("epsilon"));
  }
  if (kind == "host")
    return std::make_unique<Host<T>>(parameters, count("width"), count("factor"), host_functions<T>(op, parameters));
  raise_value("Network: there is no kind of op '" + kind + "'.");
}

template std::unique_ptr<Layer<float>> make_layer<float>(const py::handle&, InputKind);
template std::unique_ptr<Layer<double>> make_layer<double>(const py::handle&, InputKind);

}  // namespace lamina::bindings
