#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/engine.hpp"
#include "bindings/register.hpp"
#include "engine/update.hpp"

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

// Runs body(parameters, data) with an array that must be C-contiguous, of the block's dtype and the tensor's size.
template <class Body>
void with_tensor(const PyParameters& self, int tensor, const py::array& array, Body&& body) {
  std::visit(
      [&](const auto& parameters) {
        using T = std::remove_pointer_t<decltype(parameters->data())>;
        const auto& tensors = parameters->layout().tensors;
        if (tensor < 0 || tensor >= static_cast<int>(tensors.size()))
          raise_value("Parameters: there is no such tensor.");
        const Layout::Tensor& shape = tensors[static_cast<std::size_t>(tensor)];
        if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0 ||
            array.size() != shape.rows * shape.cols)
          raise_value("Parameters: the array must be C-contiguous, of the block's dtype and the tensor's size.");
        body(*parameters, static_cast<T*>(const_cast<void*>(array.data())));
      },
      self.object);
}

void read_parameters(const PyParameters& self, int tensor, const py::array& out) {
  with_tensor(self, tensor, out, [&](auto& parameters, auto* data) {
    inside({&parameters.gate()}, Access::shared, [&] { parameters.read(tensor, data); });
  });
}

void write_parameters(const PyParameters& self, int tensor, const py::array& from) {
  with_tensor(self, tensor, from, [&](auto& parameters, auto* data) {
    inside({&parameters.gate()}, Access::exclusive, [&] { parameters.write(tensor, data); });
  });
}

// Writes several tensors, of whatever blocks, without a moment in which Python could run anything. Checks come first.
void write_together(const std::vector<std::tuple<const PyParameters*, int, py::array>>& writes) {
  for (const auto& [block, tensor, array] : writes) with_tensor(*block, tensor, array, [](auto&, auto*) {});
  for (const auto& [block, tensor, array] : writes) write_parameters(*block, tensor, array);
}

// One step on one tensor, given its gradient as an array.
void apply_gradient(const PyParameters& self, int tensor, const py::array& gradient, const py::list& slots,
                    const std::string& optimizer, std::vector<double> settings, double learning_rate,
                    std::int64_t step) {
  settings.resize(kMostSettings);
  std::visit(
      [&](const auto& parameters) {
        using T = std::remove_pointer_t<decltype(parameters->data())>;
        const OptimizerKernel<T>& kernel = kernels_of<T>(kernels()).optimizers[optimizer_number(optimizer)];
        T scalars[kMostSettings];
        kernel.prepare(settings.data(), learning_rate, step, scalars);
        LayerUpdate<T> update;
        update.parameters = parameters.get();
        for (std::size_t i = 0; i < parameters->layout().tensors.size(); ++i)
          update.rules.push_back({static_cast<int>(i) == tensor, scalars, {}});
        for (const py::handle& slot : slots)
          update.beside.slots.push_back(
              slot.is_none() ? nullptr : of_type<Parameters, T>(slot.cast<const PyParameters&>().object, "slots"));
        Parameters<T> packed(parameters->layout());
        with_tensor(self, tensor, gradient, [&](auto&, auto* data) {
          if constexpr (std::is_same_v<decltype(data), T*>) packed.write(tensor, data);
        });
        inside({&parameters->gate()}, Access::exclusive, [&] {
          for_each_part(*parameters, 0, packed.size(), [&](int part, std::ptrdiff_t begin, std::ptrdiff_t count) {
            if (part == tensor) step_elements<T>(kernel, update, tensor, packed.data() + begin, begin, count);
          });
          parameters->changed();
          for (const auto& slot : update.beside.slots)
            if (slot != nullptr) slot->changed();
        });
      },
      self.object);
}

// The gates of several blocks, as a context manager: what is read inside belongs to one moment, what is written appears
// at once. To be left by the thread that entered.
class PyPassage {
 public:
  PyPassage(const std::vector<const PyParameters*>& blocks, bool exclusive)
      : access_(exclusive ? Access::exclusive : Access::shared) {
    for (const PyParameters* block : blocks) {
      keep_.push_back(block->object);
      gates_.push_back(std::visit([](const auto& parameters) { return &parameters->gate(); }, block->object));
    }
    std::sort(gates_.begin(), gates_.end());
    gates_.erase(std::unique(gates_.begin(), gates_.end()), gates_.end());
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
                   inside({&p->gate()}, Access::shared,
                          [&] { std::copy(p->data(), p->data() + p->size(), made->data()); });
                   return {made};
                 },
                 self.object);
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
  define(module, "apply_gradient", apply_gradient, py::arg("parameters"), py::arg("tensor"), py::arg("gradient"),
         py::arg("slots"), py::arg("optimizer"), py::arg("settings"), py::arg("learning_rate"), py::arg("step"));
  module.def("engine_bytes", allocated_bytes);
}

}  // namespace lamina::bindings
