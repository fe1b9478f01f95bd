#include "bindings/ops.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bindings/names.hpp"
#include "engine/layers/activation.hpp"
#include "engine/layers/activity.hpp"
#include "engine/layers/batch_norm.hpp"
#include "engine/layers/clipped_relu.hpp"
#include "engine/layers/dense.hpp"
#include "engine/layers/host.hpp"
#include "engine/layers/noise.hpp"
#include "engine/layers/pool.hpp"
#include "engine/layers/prelu.hpp"
#include "engine/layers/reshape.hpp"
#include "engine/layers/row_norm.hpp"
#include "engine/layers/scale.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

NoiseKind noise_of(const py::handle& op) {
  return enumerator<NoiseKind>(attribute<std::string>(op, "noise"), "noise",
                               {{"dropout", NoiseKind::dropout},
                                {"alpha_dropout", NoiseKind::alpha_dropout},
                                {"gaussian", NoiseKind::gaussian},
                                {"gaussian_dropout", NoiseKind::gaussian_dropout}});
}

PoolKind pooling_of(const py::handle& op) {
  return enumerator<PoolKind>(attribute<std::string>(op, "pooling"), "pooling",
                              {{"mean", PoolKind::mean}, {"maximum", PoolKind::maximum}});
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

// The attribute `functions` of an op has methods forward(x, random, training) → y and backward(dy, need_dx), which
// returns a lamina._engine.host.Gradients.
template <class T>
HostFunctions<T> host_functions(const py::handle& op, std::shared_ptr<Parameters<T>> parameters) {
  const auto layer = kept(op.attr("functions"));
  HostFunctions<T> functions;
  functions.forward = [layer](Matrix<const T> x, Matrix<T> y, bool random, bool training) {
    in_user_code(
        [&] { copy_back<T>(call(layer->attr("forward"), array_of<T>(x), random, training), y, "forward's result"); });
  };
  functions.backward = [layer, parameters](Matrix<const T> dy, Matrix<T> dx, T* gradients) {
    in_user_code([&] {
      const py::object found = call(layer->attr("backward"), array_of<T>(dy), dx.data != nullptr);
      if (dx.data != nullptr) copy_back<T>(found.attr("dx"), dx, "backward's dx");
      if (gradients == nullptr) return;
      const Layout& layout = parameters->layout();
      const auto given = attribute<py::list>(found, "parameters");
      if (given.size() != layout.tensors.size()) raise_value("backward must return a gradient for each tensor.");
      Parameters<T> packed(layout);
      for (std::size_t tensor = 0; tensor < given.size(); ++tensor) {
        const Layout::Tensor& shape = layout.tensors[tensor];
        const py::object gradient = given[tensor];
        if (gradient.is_none()) continue;
        std::vector<T> values(static_cast<std::size_t>(shape.size()));
        copy_back<T>(gradient, {values.data(), shape.rows, shape.cols, shape.cols}, "a gradient");
        packed.write(static_cast<int>(tensor), values.data());
      }
      std::copy(packed.data(), packed.data() + packed.size(), gradients);
    });
  };
  return functions;
}

}  // namespace

template <class T>
std::unique_ptr<Layer<T>> make_layer(const py::handle& op, InputKind input, bool first) {
  const Kernels<T>& table = kernels_of<T>(kernels());
  const auto number = [&](const char* name) { return attribute<double>(op, name); };
  const auto count = [&](const char* name) { return attribute<std::ptrdiff_t>(op, name); };
  const auto tensor = [&](const char* name) { return attribute<int>(op, name); };
  const auto columns = [&](const char* name) { return attribute<std::vector<T>>(op, name); };

  const auto kind = attribute<std::string>(op, "kind");
  if (kind == "dense") {
    const ActivationChoice activation = activation_choice(op.attr("activation"));
    const auto parameters = parameters_of<T>(op);
    if (parameters == nullptr || !parameters->layout().dense)
      raise_value("Network: a dense op needs the parameters of a dense layer.");
    if (table.activations[activation.index].info.rowwise)
      raise_value("Network: a dense op takes an activation of each element.");
    return std::make_unique<Dense<T>>(parameters, activation.index, activation.alpha, table,
                                      first ? input : InputKind::dense);
  }
  if (kind == "activation") {
    const ActivationChoice activation = activation_choice(op.attr("activation"));
    return std::make_unique<engine::Activation<T>>(activation.index, activation.alpha, table);
  }
  if (kind == "reshape") {
    const std::ptrdiff_t width = count("width");
    if (width < 1) raise_value("Network: a row must have a column.");
    return std::make_unique<Reshape<T>>(width);
  }
  if (kind == "pool") {
    const auto masked = attribute<bool>(op, "masked");
    if (masked && input != InputKind::indices) raise_value("Network: a mask is that of an embedding's indices.");
    return std::make_unique<Pool<T>>(pooling_of(op), masked);
  }
  if (kind == "noise")
    return std::make_unique<NoiseLayer<T>>(noise_of(op), number("rate"), attribute<std::uint64_t>(op, "key"),
                                           attribute<bool>(op, "always"), attribute<bool>(op, "lines_alike"));
  if (kind == "scale") {
    auto center = columns("center"), scale = columns("scale"), shift = columns("shift");
    if (scale.size() != center.size() || shift.size() != center.size())
      raise_value("Network: a scale op has a center, a scale and a shift for each column.");
    return std::make_unique<Scale<T>>(std::move(center), std::move(scale), std::move(shift));
  }
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
    const int gamma = tensor("gamma"), beta = tensor("beta");
    for (const int index : {gamma, beta}) require_tensor(parameters, index);
    return std::make_unique<RowNorm<T>>(parameters, gamma, beta, attribute<bool>(op, "centered"), number("epsilon"));
  }
  if (kind == "host")
    return std::make_unique<Host<T>>(parameters, count("width"), count("factor"), host_functions<T>(op, parameters));
  raise_value("Network: there is no kind of op '" + kind + "'.");
}

template std::unique_ptr<Layer<float>> make_layer<float>(const py::handle&, InputKind, bool);
template std::unique_ptr<Layer<double>> make_layer<double>(const py::handle&, InputKind, bool);

}  // namespace lamina::bindings
