#include "engine/derivatives.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/engine.hpp"
#include "bindings/register.hpp"
#include "bindings/updates.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

struct PyDerivatives {
  OfEitherType<Derivatives> object;
};

// `update` is an object of lamina._engine.specs: it says which tensors are trained.
PyDerivatives make_derivatives(const PyNetwork& network, const py::object& update) {
  return std::visit(
      [&](const auto& net) -> PyDerivatives {
        using T = typename std::remove_reference_t<decltype(*net)>::Number;
        return {std::make_shared<Derivatives<T>>(net, update_spec<T>(net->all_parameters(), update))};
      },
      network.object);
}

// The memory of an array that must be C-contiguous, of dtype T and of that many rows and columns.
template <class T>
T* numbers_of(const py::array& array, std::ptrdiff_t rows, std::ptrdiff_t cols, const char* name) {
  if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0 ||
      array.size() != rows * cols)
    raise_value("pull_back: " + std::string(name) + " must be C-contiguous, of the model's dtype and of " +
                std::to_string(rows) + " rows of " + std::to_string(cols) + ".");
  return static_cast<T*>(const_cast<void*>(array.data()));
}

// Runs body(poll) inside the network's gates. Keeps the GIL for little work, if no gate must be waited for.
template <class T, class Body>
void in_gates(const Network<T>& network, double work, Body&& body) {
  constexpr double kSmall = 1e5;  // multiply-adds
  if (work < kSmall) {
    const Passage passage(network.gates(), Access::shared, Passage::AtOnce{});
    if (passage.entered()) return body(nullptr);
  }
  interruptible([&](const Poll& poll) {
    const Passage passage(network.gates(), Access::shared, &poll);
    body(&poll);
  });
}

// Computes a product, writes to `y` and `dx` if they are not None, and returns the gradients of the parameters of each
// op, None where nothing is trained, if they are wanted.
py::list pull_back(const PyDerivatives& self, const py::object& x, const py::array& dy,
                   std::optional<std::uint64_t> draw, const std::optional<py::array>& y,
                   const std::optional<py::array>& dx, bool parameters) {
  return std::visit(
      [&](const auto& derivatives) {
        using T = typename std::remove_reference_t<decltype(*derivatives)>::Number;
        const Network<T>& network = derivatives->network();
        const InputArgument input = input_argument(x, network.input(), network.inputs(), "pull_back");
        const std::ptrdiff_t n = input.input.rows(), outputs = network.outputs();
        if (dx && !network.input_gradient()) raise_value("pull_back: the network gives no gradient of its input.");
        const typename Derivatives<T>::Product product{
            .x = input.input,
            .dy = numbers_of<T>(dy, n, outputs, "dy"),
            .draw = draw ? &*draw : nullptr,
            .y = y ? numbers_of<T>(*y, n, outputs, "y") : nullptr,
            .dx = dx ? numbers_of<T>(*dx, n, network.inputs(), "dx") : nullptr,
            .parameters = parameters};
        std::vector<std::shared_ptr<Parameters<T>>> gradients;
        in_gates(network, network.work() * static_cast<double>(n),
                 [&](const Poll* poll) { gradients = derivatives->pull_back(product, poll); });
        py::list found;
        for (auto& gradient : gradients) {
          if (gradient == nullptr)
            found.append(py::none());
          else
            found.append(PyParameters{std::move(gradient)});
        }
        return found;
      },
      self.object);
}

// Writes the Jacobians of the outputs of each row: (n, outputs, inputs) or (n, outputs, width). `places`: layer, tensor
// and offset of each trained tensor.
void jacobian(const PyDerivatives& self, const py::object& x, const std::optional<py::array>& inputs,
              const std::optional<py::array>& parameters,
              const std::vector<std::tuple<std::ptrdiff_t, int, std::ptrdiff_t>>& places, std::ptrdiff_t width) {
  std::visit(
      [&](const auto& derivatives) {
        using T = typename std::remove_reference_t<decltype(*derivatives)>::Number;
        const Network<T>& network = derivatives->network();
        const InputArgument input = input_argument(x, network.input(), network.inputs(), "jacobian");
        const std::ptrdiff_t n = input.input.rows(), outputs = network.outputs();
        if (inputs && !network.input_gradient()) raise_value("jacobian: the network gives no gradient of its input.");
        typename Derivatives<T>::Jacobian wanted{
            .x = input.input,
            .inputs = inputs ? numbers_of<T>(*inputs, n * outputs, network.inputs(), "inputs") : nullptr,
            .parameters = parameters ? numbers_of<T>(*parameters, n * outputs, width, "parameters") : nullptr,
            .width = width};
        for (const auto& [layer, tensor, offset] : places) {
          const auto& updates = derivatives->update();
          if (layer < 0 || layer >= updates.depth() || !updates.layer(layer).trained()) raise_value("jacobian: layer.");
          const Layout& layout = updates.layer(layer).parameters->layout();
          if (tensor < 0 || tensor >= static_cast<int>(layout.tensors.size()) || offset < 0 ||
              offset > width - layout.tensors[static_cast<std::size_t>(tensor)].size())
            raise_value("jacobian: a place does not fit.");
          wanted.places.push_back({layer, tensor, offset});
        }
        in_gates(network, network.work() * static_cast<double>(n * (outputs + 1)),
                 [&](const Poll* poll) { derivatives->jacobian(wanted, poll); });
      },
      self.object);
}

}  // namespace

void register_derivatives(py::module_& module) {
  py::class_<PyDerivatives>(module, "Derivatives")
      .def(py::init(&make_derivatives), Computes(), py::arg("network"), py::arg("update"))
      .def("pull_back", pull_back, Computes(), py::kw_only(), py::arg("x"), py::arg("dy"), py::arg("draw"),
           py::arg("y"), py::arg("dx"), py::arg("parameters"))
      .def_property_readonly("host",
                             [](const PyDerivatives& self) {
                               return std::visit([](const auto& d) { return d->network().host(); }, self.object);
                             })
      .def("jacobian", jacobian, Computes(), py::kw_only(), py::arg("x"), py::arg("inputs"), py::arg("parameters"),
           py::arg("places"), py::arg("width"));
}

}  // namespace lamina::bindings
