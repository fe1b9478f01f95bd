#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/engine.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

PyParameters make_parameters(const std::string& dtype, bool dense,
                             const std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>& shapes) {
  Layout layout{dense, {}};
  for (const auto& [rows, cols] : shapes) layout.tensors.push_back({rows, cols});
  if (dense && (shapes.empty() || shapes.size() > 2 ||
                (shapes.size() == 2 && (shapes[1].first != 1 || shapes[1].second != shapes[0].second))))
    raise_value("Parameters: a dense block holds a kernel (in, out) and maybe a bias (1, out).");
  return for_dtype(dtype,
                   [&](auto zero) -> PyParameters { return {std::make_shared<Parameters<decltype(zero)>>(layout)}; });
}

// Checks that an array fits a tensor; runs body(parameters, the array's data).
template <class Body>
void with_tensor_of(const PyParameters& self, int tensor, const py::array& array, Body&& body) {
  std::visit(
      [&](const auto& parameters) {
        using T = std::remove_pointer_t<decltype(parameters->data())>;
        with_tensor<T>(parameters->layout(), tensor, array, [&](T* data) { body(*parameters, data); });
      },
      self.object);
}

void read_parameters(const PyParameters& self, int tensor, const py::array& out) {
  with_tensor_of(self, tensor, out, [&](auto& parameters, auto* data) {
    const std::vector<Gate*> gates{&parameters.gate()};
    inside(gates, Access::shared, static_cast<double>(parameters.size()), [&] { parameters.read(tensor, data); });
  });
}

void write_parameters(const PyParameters& self, int tensor, const py::array& from) {
  with_tensor_of(self, tensor, from, [&](auto& parameters, auto* data) {
    const std::vector<Gate*> gates{&parameters.gate()};
    inside(gates, Access::exclusive, static_cast<double>(parameters.size()), [&] { parameters.write(tensor, data); });
  });
}

// Checks all arrays, then writes them to tensors of any blocks. The caller holds the blocks' gates, so that no Python
// code runs between the writes.
void write_together(const std::vector<std::tuple<const PyParameters*, int, py::array>>& writes) {
  for (const auto& [block, tensor, array] : writes) with_tensor_of(*block, tensor, array, [](auto&, auto*) {});
  for (const auto& [block, tensor, array] : writes) write_parameters(*block, tensor, array);
}

// A context manager that enters the gates of several blocks: reads inside it are consistent, and writes become visible
// together. The thread that entered must leave.
class PyPassage {
 public:
  PyPassage(const std::vector<const PyParameters*>& blocks, bool exclusive)
      : access_(exclusive ? Access::exclusive : Access::shared) {
    for (const PyParameters* block : blocks) {
      keep_.push_back(block->object);
      gates_.push_back(std::visit([](const auto& parameters) { return &parameters->gate(); }, block->object));
    }
    gates_ = sorted_gates(std::move(gates_));
  }
  void enter() {
    if (passage_ != nullptr) raise_value("Passage: it was entered already.");
    interruptible([&](const Poll& poll) { passage_ = std::make_unique<Passage>(gates_, access_, &poll); });
  }
  void leave() { passage_.reset(); }

 private:
  Access access_;
  std::vector<OfEitherType<Parameters>> keep_;
  std::vector<Gate*> gates_;
  std::unique_ptr<Passage> passage_;
};

}  // namespace

void register_parameters(py::module_& module) {
  py::class_<PyPassage>(module, "Passage")
      .def(py::init<const std::vector<const PyParameters*>&, bool>(), py::arg("blocks"), py::arg("exclusive"))
      .def("__enter__", &PyPassage::enter)
      .def("__exit__", [](PyPassage& self, const py::args&) { self.leave(); });
  py::class_<PyParameters>(module, "Parameters")
      .def(py::init(&make_parameters), py::arg("dtype"), py::arg("dense"), py::arg("shapes"))
      .def("read", read_parameters, py::arg("tensor"), py::arg("out"))
      .def("write", write_parameters, py::arg("tensor"), py::arg("values"))
      .def(
          "like",
          [](const PyParameters& self, double value) -> PyParameters {
            const DefaultFloatingPoint mode;
            return std::visit(
                [&](const auto& p) -> PyParameters {
                  using T = std::remove_pointer_t<decltype(p->data())>;
                  auto made = std::make_shared<Parameters<T>>(p.get());
                  if (value != 0) std::fill(made->data(), made->data() + made->size(), static_cast<T>(value));
                  return {made};
                },
                self.object);
          },
          py::arg("value") = 0.0)
      .def("copy",
           [](const PyParameters& self) -> PyParameters {
             return std::visit(
                 [](const auto& p) -> PyParameters {
                   auto made = std::make_shared<std::remove_reference_t<decltype(*p)>>(p.get());
                   const std::vector<Gate*> gates{&p->gate()};
                   inside(gates, Access::shared, static_cast<double>(p->size()),
                          [&] { std::copy(p->data(), p->data() + p->size(), made->data()); });
                   return {made};
                 },
                 self.object);
           })
      .def(
          "take",
          [](const PyParameters& self, const PyParameters& copy) {
            std::visit(
                [&](const auto& p) {
                  const auto* from = std::get_if<std::remove_cvref_t<decltype(p)>>(&copy.object);
                  if (from == nullptr || &(*from)->gate() != &p->gate() || !((*from)->layout() == p->layout()))
                    raise_value("Parameters: take needs what copy or like has made.");
                  const std::vector<Gate*> gates{&p->gate()};
                  inside(gates, Access::exclusive, static_cast<double>(p->size()), [&] {
                    std::copy((*from)->data(), (*from)->data() + p->size(), p->data());
                    p->changed();
                  });
                },
                self.object);
          },
          py::arg("copy"))
      .def("finite",
           [](const PyParameters& self) {
             bool found = true;
             std::visit(
                 [&](const auto& p) {
                   const std::vector<Gate*> gates{&p->gate()};
                   inside(gates, Access::shared, static_cast<double>(p->size()), [&] { found = p->finite(); });
                 },
                 self.object);
             return found;
           })
      .def_property_readonly("tensors",
                             [](const PyParameters& self) {
                               return std::visit([](const auto& p) { return p->layout().tensors.size(); }, self.object);
                             })
      .def_property_readonly(
          "version",
          [](const PyParameters& self) { return std::visit([](const auto& p) { return p->version(); }, self.object); })
      .def(py::pickle(
          [](const PyParameters& self) {
            return std::visit(
                [&](const auto& p) {
                  using T = std::remove_pointer_t<decltype(p->data())>;
                  py::list shapes, arrays;
                  for (std::size_t i = 0; i < p->layout().tensors.size(); ++i) {
                    const Layout::Tensor& shape = p->layout().tensors[i];
                    shapes.append(py::make_tuple(shape.rows, shape.cols));
                    const py::array_t<T> values(shape.rows * shape.cols);
                    read_parameters(self, static_cast<int>(i), values);
                    arrays.append(values);
                  }
                  return py::make_tuple(sizeof(T) == 4 ? "float32" : "float64", p->layout().dense, shapes, arrays);
                },
                self.object);
          },
          [](const py::tuple& state) {
            const PyParameters made =
                make_parameters(state[0].cast<std::string>(), state[1].cast<bool>(),
                                state[2].cast<std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>>());
            int tensor = 0;
            for (const py::handle& values : state[3].cast<py::list>())
              write_parameters(made, tensor++, values.cast<py::array>());
            return made;
          }));
  module.def("write_together", write_together, py::arg("writes"));
  module.def("engine_bytes", allocated_bytes);
}

}  // namespace lamina::bindings
