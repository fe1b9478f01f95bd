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

// Runs body(poll) inside the network's gates. Keeps the GIL for little work, if no gate must be waited for.
template <class T, class Body>
void in_gates(const Network<T>& network, double work, Body&& body) {
  constexpr double kSmall = 6e5;  // multiply-adds, backward ones too
  if (work < kSmall) {
    const Passage passage(network.gates(), Access::shared, Passage::AtOnce{});
    if (passage.entered()) return body(nullptr);
  }
  interruptible([&](const Poll& poll) {
    const Passage passage(network.gates(), Access::shared, &poll);
    body(&poll);
  });
}

template <class T>
void compute(Derivatives<T>& derivatives, const typename Derivatives<T>::Product& product) {
  const Network<T>& network = derivatives.network();
  in_gates(network, 3 * network.work() * static_cast<double>(product.x.rows()),
           [&](const Poll* poll) { derivatives.pull_back(product, poll); });
}

// Computes a product; arrays that are None are not written.
void pull_back(const PyDerivatives& self, const py::object& x, const py::array& dy, std::optional<std::uint64_t> draw,
               const std::optional<py::array>& y, const std::optional<py::array>& dx,
               const std::optional<py::array>& gradients) {
  std::visit(
      [&](const auto& derivatives) {
        using T = typename std::remove_reference_t<decltype(*derivatives)>::Number;
        const Network<T>& network = derivatives->network();
        const InputArgument input = input_argument(x, network.input(), network.inputs(), "pull_back");
        const std::ptrdiff_t n = input.input.rows(), outputs = network.outputs();
        if (dx && !network.input_gradient()) raise_value("pull_back: the network gives no gradient of its input.");
        const auto numbers = [](const char* name, const py::array& array, std::ptrdiff_t size) {
          return numbers_of<T>("pull_back", name, array, size);
        };
        const typename Derivatives<T>::Product product{
            .x = input.input,
            .dy = numbers("dy", dy, n * outputs),
            .draw = draw ? &*draw : nullptr,
            .y = y ? numbers("y", *y, n * outputs) : nullptr,
            .dx = dx ? numbers("dx", *dx, n * network.inputs()) : nullptr,
            .gradients = gradients ? numbers("gradients", *gradients, derivatives->update().vector_size()) : nullptr};
        compute(*derivatives, product);
      },
      self.object);
}

// The same for the usual case only, without noise: x and dy are plain arrays, and rows have one dimension. Returns
// (y, dx, gradients), of which the last two may be None; or None in all other cases: the caller then checks, converts
// or raises.
py::object pull_back_plain(const PyDerivatives& self, const py::object& x, const py::object& dy, bool need_dx,
                           bool need_gradients) {
  return std::visit(
      [&](const auto& derivatives) -> py::object {
        using T = typename std::remove_reference_t<decltype(*derivatives)>::Number;
        const Network<T>& network = derivatives->network();
        const std::ptrdiff_t outputs = network.outputs();
        if (!takes_plain_rows(network) || !is_plain<T>(x, network.inputs()) || !is_plain<T>(dy, outputs))
          return py::none();
        const Rows rows = plain_rows<T>(x), upstream = plain_rows<T>(dy);
        if (upstream.rows != rows.rows || (need_dx && !network.input_gradient())) return py::none();
        const Input input(InputKind::dense, rows);
        py::array_t<T> y({rows.rows, outputs});
        py::object dx = py::none(), gradients = py::none();
        typename Derivatives<T>::Product product{
            .x = input, .dy = static_cast<const T*>(upstream.base), .y = y.mutable_data()};
        if (need_dx) {
          py::array_t<T> array({rows.rows, network.inputs()});
          product.dx = array.mutable_data();
          dx = std::move(array);
        }
        if (need_gradients) {
          py::array_t<T> array(derivatives->update().vector_size());
          product.gradients = array.mutable_data();
          gradients = std::move(array);
        }
        compute(*derivatives, product);
        return py::make_tuple(std::move(y), std::move(dx), std::move(gradients));
      },
      self.object);
}

// Writes the Jacobians of the outputs of each row: (n, outputs, inputs) or (n, outputs, parameters).
void jacobian(const PyDerivatives& self, const py::object& x, const std::optional<py::array>& inputs,
              const std::optional<py::array>& parameters) {
  std::visit(
      [&](const auto& derivatives) {
        using T = typename std::remove_reference_t<decltype(*derivatives)>::Number;
        const Network<T>& network = derivatives->network();
        const InputArgument input = input_argument(x, network.input(), network.inputs(), "jacobian");
        const std::ptrdiff_t n = input.input.rows(), outputs = network.outputs();
        if (inputs && !network.input_gradient()) raise_value("jacobian: the network gives no gradient of its input.");
        const auto numbers = [&](const char* name, const std::optional<py::array>& array, std::ptrdiff_t width) -> T* {
          return array ? numbers_of<T>("jacobian", name, *array, n * outputs * width) : nullptr;
        };
        const typename Derivatives<T>::Jacobian wanted{
            .x = input.input,
            .inputs = numbers("inputs", inputs, network.inputs()),
            .parameters = numbers("parameters", parameters, derivatives->update().vector_size())};
        in_gates(network, network.work() * static_cast<double>(n * (2 * outputs + 1)),
                 [&](const Poll* poll) { derivatives->jacobian(wanted, poll); });
      },
      self.object);
}

}  // namespace

void register_derivatives(py::module_& module) {
  py::class_<PyDerivatives>(module, "Derivatives")
      .def(py::init(&make_derivatives), Computes(), py::arg("network"), py::arg("update"))
      .def("pull_back", pull_back, Computes(), py::kw_only(), py::arg("x"), py::arg("dy"), py::arg("draw"),
           py::arg("y"), py::arg("dx"), py::arg("gradients"))
      .def("pull_back_plain", pull_back_plain, Computes(), py::arg("x"), py::arg("dy"), py::arg("need_dx"),
           py::arg("need_gradients"))
      .def_property_readonly("host",
                             [](const PyDerivatives& self) {
                               return std::visit([](const auto& d) { return d->network().host(); }, self.object);
                             })
      .def("jacobian", jacobian, Computes(), py::kw_only(), py::arg("x"), py::arg("inputs"), py::arg("parameters"));
}

}  // namespace lamina::bindings
