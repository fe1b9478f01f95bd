#include "bindings/updates.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "bindings/engine.hpp"
#include "bindings/names.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {

using namespace engine;

ConstraintKind constraint_kind(const std::string& name) {
  return enumerator<ConstraintKind>(name, "constraint",
                                    {{"not_negative", ConstraintKind::not_negative},
                                     {"column_norms", ConstraintKind::column_norms},
                                     {"row_norms", ConstraintKind::row_norms}});
}

namespace {

Clip clip_of(const std::string& name) {
  return enumerator<Clip>(
      name, "clipping by",
      {{"none", Clip::none}, {"value", Clip::value}, {"norm", Clip::norm}, {"global_norm", Clip::global_norm}});
}

Constraint constraint_of(const py::handle& projection) {
  if (projection.is_none()) return {};
  return {.kind = constraint_kind(attribute<std::string>(projection, "kind")),
          .bounds = {.least = attribute<double>(projection, "least"),
                     .most = attribute<double>(projection, "most"),
                     .rate = attribute<double>(projection, "rate")}};
}

// Reads a lamina._engine.specs.LayerUpdateSpec; `parameters` is null for a layer without any.
template <class T>
LayerUpdateSpec<T> layer_update_spec(const py::handle& spec, const Parameters<T>* parameters, int groups) {
  const auto block = [&](const py::handle& given) -> std::shared_ptr<Parameters<T>> {
    if (given.is_none()) return nullptr;
    auto found = of_type<Parameters, T>(given.cast<const PyParameters&>().object, "slots");
    if (parameters == nullptr || !(found->layout() == parameters->layout()))
      raise_value("update: a slot must have the layout of its layer.");
    return found;
  };
  LayerUpdateSpec<T> layer;
  for (const py::handle slot : spec.attr("slots")) layer.slots.push_back(block(slot));
  layer.accumulator = block(spec.attr("accumulator"));
  layer.average = block(spec.attr("average"));
  for (const py::handle tensor : spec.attr("tensors")) {
    layer.tensors.push_back({.group = attribute<int>(tensor, "group"),
                             .l1 = attribute<double>(tensor, "l1"),
                             .l2 = attribute<double>(tensor, "l2"),
                             .per_row = attribute<bool>(tensor, "per_row"),
                             .constraint = constraint_of(tensor.attr("constraint"))});
    if (layer.tensors.back().group >= groups) raise_value("update: there is no such group.");
  }
  return layer;
}

}  // namespace

void require_iteration(std::int64_t iteration) {
  if (iteration < 0) raise_value("update: iteration must be >= 0.");
}

template <class T>
UpdateSpec<T> update_spec(const std::vector<Parameters<T>*>& blocks, const py::handle& given) {
  UpdateSpec<T> spec;
  const auto name = attribute<std::string>(given, "optimizer");
  spec.optimizer = require_index(optimizer_index(name), "optimizer", name);
  const char* settings = kernels().f32.optimizers[spec.optimizer].info.settings;
  for (const py::dict& group : attribute<std::vector<py::dict>>(given, "settings")) {
    spec.settings.push_back(values_by_name(settings, group, /*optional=*/false));
    spec.settings.back().resize(kMostSettings);
  }
  spec.clip = clip_of(attribute<std::string>(given, "clip"));
  spec.limit = attribute<double>(given, "limit");
  spec.accumulate = attribute<std::int64_t>(given, "accumulate");
  spec.average_momentum = attribute<std::optional<double>>(given, "average_momentum").value_or(-1);
  spec.overwrite_every = attribute<std::int64_t>(given, "overwrite_every");
  const py::object method = given.attr("method");
  if (!method.is_none()) {
    if (py::hasattr(method, "attempts")) {
      spec.method = Method::least_squares;
      spec.damping = {.factor = attribute<double>(method, "factor"), .attempts = attribute<int>(method, "attempts")};
    } else {
      spec.method = Method::lbfgs;
      spec.lbfgs = {.history = attribute<std::ptrdiff_t>(method, "history_size"),
                    .searches = attribute<bool>(method, "searches"),
                    .tolerance = attribute<double>(method, "tolerance"),
                    .loss_tolerance = attribute<double>(method, "loss_tolerance"),
                    .most = attribute<std::int64_t>(method, "max_evaluations")};
      if (spec.lbfgs.history < 1) raise_value("update: history_size must be >= 1.");
    }
  }
  const auto layers = attribute<std::vector<py::object>>(given, "layers");
  if (spec.accumulate < 1 || layers.size() != blocks.size())
    raise_value("update: there must be an entry for each layer, and accumulate >= 1.");
  for (std::size_t l = 0; l < blocks.size(); ++l) {
    const Parameters<T>* parameters = blocks[l];
    LayerUpdateSpec<T> layer = layer_update_spec<T>(layers[l], parameters, static_cast<int>(spec.settings.size()));
    const std::size_t tensors = parameters == nullptr ? 0 : parameters->layout().tensors.size();
    const auto slots = spec.method == Method::lbfgs
                           ? static_cast<std::size_t>(2 * spec.lbfgs.history)
                           : static_cast<std::size_t>(kernels().f32.optimizers[spec.optimizer].info.slots);
    const bool trained = std::any_of(layer.tensors.begin(), layer.tensors.end(),
                                     [](const TensorUpdateSpec& tensor) { return tensor.group >= 0; });
    if ((spec.method == Method::formula && layer.slots.size() > kMostSlots) || (trained && layer.slots.size() != slots))
      raise_value("update: " + name + " has " + std::to_string(slots) +
                  " arrays of state for a layer (None where one is not needed); got " +
                  std::to_string(layer.slots.size()) + ".");
    if (layer.tensors.size() != tensors ||
        (parameters != nullptr && ((spec.accumulate > 1 && layer.accumulator == nullptr) ||
                                   (spec.average_momentum >= 0 && layer.average == nullptr))))
      raise_value("update: a layer's state or tensors do not fit it.");
    spec.layers.push_back(std::move(layer));
  }
  return spec;
}

template UpdateSpec<float> update_spec(const std::vector<Parameters<float>*>&, const py::handle&);
template UpdateSpec<double> update_spec(const std::vector<Parameters<double>*>&, const py::handle&);

namespace {

// An update with gradients that Python writes, tensor by tensor.
template <class T>
class GivenUpdate {
 public:
  using Number = T;

  GivenUpdate(std::vector<std::shared_ptr<Parameters<T>>> blocks, const py::handle& spec)
      : blocks_(std::move(blocks)),
        update_(update_spec<T>(raw(blocks_), spec), kernels_of<T>(kernels()), raw(blocks_)),
        gradients_(update_.gradient_size()) {
    for (const auto& block : blocks_) gates_.push_back(&block->gate());
    gates_ = sorted_gates(std::move(gates_));
  }

  const std::vector<Gate*>& gates() const { return gates_; }
  const Layout& layout(std::size_t block) const { return blocks_[block]->layout(); }
  std::size_t blocks() const { return blocks_.size(); }
  std::ptrdiff_t size() const { return update_.gradient_size(); }
  bool trains(std::size_t block, int tensor) const {
    const auto& rules = update_.layer(static_cast<std::ptrdiff_t>(block)).rules;
    return tensor >= 0 && static_cast<std::size_t>(tensor) < rules.size() &&
           rules[static_cast<std::size_t>(tensor)].trained;
  }
  T* gradient(std::size_t block) const {
    return gradients_.data() + update_.offset(static_cast<std::ptrdiff_t>(block));
  }

  bool accumulate(std::int64_t iteration, double rate) {
    update_.begin_step(iteration, rate);
    return update_.accumulate(gradients_.data(), 0, 1);
  }
  double measure() {
    update_.measure_norms(gradients_.data(), 0, 1);
    return update_.squares();
  }
  void clip(double squares_of_others) {
    update_.find_factors(squares_of_others);
    update_.clip_all(gradients_.data(), 0, 1);
  }
  void step() { update_.step_all(gradients_.data(), 0, 1); }
  void finish() {
    update_.finish(0, 1, alone_);
    update_.mark_changed();
  }

 private:
  static std::vector<Parameters<T>*> raw(const std::vector<std::shared_ptr<Parameters<T>>>& blocks) {
    std::vector<Parameters<T>*> found;
    for (const auto& block : blocks) found.push_back(block.get());
    return found;
  }

  std::vector<std::shared_ptr<Parameters<T>>> blocks_;
  std::vector<Gate*> gates_;
  Update<T> update_;
  Buffer<T> gradients_;
  Barrier alone_{1};
};

struct PyUpdate {
  OfEitherType<GivenUpdate> object;
};

PyUpdate make_update(const std::vector<const PyParameters*>& blocks, const py::object& spec) {
  if (blocks.empty()) raise_value("Update: there must be a block.");
  for (const PyParameters* block : blocks)
    if (block == nullptr) raise_type("Update: a block must not be None.");
  return std::visit(
      [&](const auto& first) -> PyUpdate {
        using T = std::remove_pointer_t<decltype(first->data())>;
        std::vector<std::shared_ptr<Parameters<T>>> found;
        for (const PyParameters* block : blocks)
          found.push_back(of_type<Parameters, T>(block->object, "Update: blocks"));
        return {std::make_shared<GivenUpdate<T>>(std::move(found), spec)};
      },
      blocks.front()->object);
}

// Checks that an array fits a tensor; runs body(layout, data of the gradient's block, data of the array).
template <class Body>
void with_gradient(const PyUpdate& self, std::size_t block, int tensor, const py::array& array, Body&& body) {
  std::visit(
      [&](const auto& update) {
        using T = typename std::remove_reference_t<decltype(*update)>::Number;
        if (block >= update->blocks() || !update->trains(block, tensor))
          raise_value("Update: there is no such tensor that is trained.");
        with_tensor<T>(update->layout(block), tensor, array,
                       [&](T* data) { body(update->layout(block), update->gradient(block), data); });
      },
      self.object);
}

template <class Body>
auto with_gates(const PyUpdate& self, Body&& body) {
  std::visit(
      [&](const auto& update) {
        inside(update->gates(), Access::exclusive, static_cast<double>(update->size()), [&] { body(*update); });
      },
      self.object);
}

}  // namespace

void register_updates(py::module_& module) {
  py::class_<PyUpdate>(module, "Update")
      .def(py::init(&make_update), py::arg("blocks"), py::arg("spec"))
      .def(
          "write_gradient",
          [](const PyUpdate& self, std::size_t block, int tensor, const py::array& gradient) {
            with_gradient(self, block, tensor, gradient,
                          [&](const Layout& layout, auto* to, auto* from) { pack(layout, tensor, from, to); });
          },
          py::arg("block"), py::arg("tensor"), py::arg("gradient"))
      .def(
          "read_gradient",
          [](const PyUpdate& self, std::size_t block, int tensor, const py::array& out) {
            with_gradient(self, block, tensor, out,
                          [&](const Layout& layout, auto* from, auto* to) { unpack(layout, tensor, from, to); });
          },
          py::arg("block"), py::arg("tensor"), py::arg("out"))
      .def(
          "accumulate",
          [](const PyUpdate& self, std::int64_t iteration, double learning_rate) {
            require_iteration(iteration);
            bool steps = false;
            with_gates(self, [&](auto& update) { steps = update.accumulate(iteration, learning_rate); });
            return steps;
          },
          Computes(), py::arg("iteration"), py::arg("learning_rate"))
      .def(
          "measure",
          [](const PyUpdate& self) {
            double squares = 0;
            with_gates(self, [&](auto& update) { squares = update.measure(); });
            return squares;
          },
          Computes())
      .def(
          "clip",
          [](const PyUpdate& self, double squares_of_others) {
            with_gates(self, [&](auto& update) { update.clip(squares_of_others); });
          },
          Computes(), py::arg("squares_of_others"))
      .def(
          "step", [](const PyUpdate& self) { with_gates(self, [](auto& update) { update.step(); }); }, Computes())
      .def("finish", [](const PyUpdate& self) { with_gates(self, [](auto& update) { update.finish(); }); }, Computes());
}

}  // namespace lamina::bindings
