#include <cmath>
#include <string>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/names.hpp"
#include "bindings/register.hpp"
#include "bindings/updates.hpp"

namespace lamina::bindings {
namespace {

// The checked arrays of one optimizer step.
struct StepArguments {
  Argument parameter, gradient;
  std::vector<Argument> slots;
  std::vector<bool> given;
};

StepArguments read_arrays(Arguments& arguments, const py::handle& parameter, const py::handle& gradient,
                          const std::vector<std::pair<const char*, py::handle>>& slots) {
  StepArguments step{arguments.in_place(parameter, "param"), {}, {}, {}};
  step.gradient = arguments.input(gradient, "grad", step.parameter.shape(), nullptr);
  for (const auto& [name, slot] : slots) {
    step.given.push_back(!slot.is_none());
    step.slots.emplace_back();
    if (slot.is_none()) continue;
    step.slots.back() = arguments.in_place(slot, name);
    if (step.slots.back().shape() != step.parameter.shape())
      arguments.fail_value(std::string(name) + " must have shape " + describe(step.parameter.shape()) +
                           " as param has; got " + describe(step.slots.back().shape()) + ".");
  }
  return step;
}

void take_step(const Arguments& arguments, const char* optimizer, const StepArguments& step,
               const std::vector<double>& settings, double rate, std::int64_t number) {
  const int index = require_index(optimizer_index(optimizer), "optimizer", optimizer);
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const OptimizerKernel<T>& kernel = kernels_of<T>(kernels()).optimizers[index];
    T scalars[kMostSettings] = {};
    kernel.prepare(settings.data(), rate, number, scalars);
    OptimizerStep<T> update{.parameter = step.parameter.mutable_data<T>(),
                            .gradient = step.gradient.data<T>(),
                            .size = step.parameter.size(),
                            .scalars = scalars};
    for (std::size_t i = 0; i < step.slots.size(); ++i)
      update.slot[i] = step.given[i] ? step.slots[i].mutable_data<T>() : nullptr;
    without_gil(static_cast<double>(update.size), [&] { kernel.update(update); });
  });
}

double share(const Arguments& arguments, const py::handle& value, const char* name, bool one_allowed) {
  const double number = arguments.not_negative(value, name);
  if (number > 1 || (number == 1 && !one_allowed))
    arguments.fail_value(std::string(name) + " must be in [0, 1" + (one_allowed ? "]" : ")") + "; got " +
                         py::str(value).cast<std::string>() + ".");
  return number;
}

void sgd_update(const py::handle& parameter, const py::handle& gradient, const py::handle& velocity,
                const py::handle& learning_rate, const py::handle& momentum, const py::handle& nesterov,
                const py::handle& weight_decay) {
  Arguments arguments("sgd_update");
  const StepArguments step = read_arrays(arguments, parameter, gradient, {{"velocity", velocity}});
  const double rate = arguments.not_negative(learning_rate, "learning_rate");
  const double mu = share(arguments, momentum, "momentum", true);
  const double decay = arguments.not_negative(weight_decay, "weight_decay");
  const bool look_ahead = arguments.flag(nesterov, "nesterov");
  if (mu > 0 && velocity.is_none())
    arguments.fail_value(
        "velocity must be given where momentum > 0; got None. It keeps the running step between calls; begin with "
        "zeros.");
  arguments.refuse_overlaps();
  take_step(arguments, "sgd", step, {mu, look_ahead ? 1.0 : 0.0, decay}, rate, 1);
}

void adam_update(const py::handle& parameter, const py::handle& gradient, const py::handle& mean,
                 const py::handle& variance, const py::handle& largest, std::int64_t number,
                 const py::handle& learning_rate, const py::handle& beta_1, const py::handle& beta_2,
                 const py::handle& epsilon, const py::handle& weight_decay) {
  Arguments arguments("adam_update");
  if (mean.is_none() || variance.is_none())
    arguments.fail_value(
        "m and v must be given; got None. They keep the running means between calls; begin with zeros.");
  const StepArguments step =
      read_arrays(arguments, parameter, gradient, {{"m", mean}, {"v", variance}, {"v_max", largest}});
  if (number < 1) arguments.fail_value("step must be >= 1, counting from 1; got " + std::to_string(number) + ".");
  const std::vector<double> settings{share(arguments, beta_1, "beta_1", false),
                                     share(arguments, beta_2, "beta_2", false),
                                     arguments.not_negative(epsilon, "epsilon"), largest.is_none() ? 0.0 : 1.0,
                                     arguments.not_negative(weight_decay, "weight_decay")};
  const double rate = arguments.not_negative(learning_rate, "learning_rate");
  arguments.refuse_overlaps();
  take_step(arguments, "adam", step, settings, rate, number);
}

// Returns Σ (l1 |w| + l2 w²) and adds its gradient to `gradient`.
double penalty(const py::handle& w, double l1, double l2, const py::handle& gradient) {
  Arguments arguments("penalty");
  const Argument values = arguments.input(w, "w"), slopes = arguments.in_place(gradient, "gradient");
  if (slopes.shape() != values.shape()) arguments.fail_value("gradient must have the shape of w.");
  return with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Kernels<T>& table = kernels_of<T>(kernels());
    table.add_penalty_gradient(values.data<T>(), slopes.mutable_data<T>(), static_cast<T>(l1), static_cast<T>(l2),
                               values.size());
    return table.penalty(values.data<T>(), l1, l2, values.size());
  });
}

// Applies a constraint to a matrix, in place.
void constrain(const py::handle& w, const std::string& kind, double least, double most, double rate) {
  Arguments arguments("constrain");
  const Argument values = arguments.in_place(w, "w");
  arguments.require_rank(values, 2, "(rows, columns)");
  const engine::ConstraintKind constraint = constraint_kind(kind);
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Kernels<T>& table = kernels_of<T>(kernels());
    const Matrix<T> m = mutable_matrix<T>(values);
    const Panels<T> panels{m.data, m.rows, m.cols, kPanelWidth<T>, m.stride};
    const std::ptrdiff_t count = panel_count(m.cols, kPanelWidth<T>);
    const NormBounds<T> bounds{static_cast<T>(least), static_cast<T>(most), static_cast<T>(rate)};
    switch (constraint) {
      case engine::ConstraintKind::none:
        return;
      case engine::ConstraintKind::not_negative:
        return table.bound_below_by_zero(panels, {0, count});
      case engine::ConstraintKind::column_norms:
        return table.bound_column_norms(panels, {0, count}, bounds);
      case engine::ConstraintKind::row_norms:
        return table.bound_row_norms(panels, {0, m.rows}, bounds);
    }
  });
}

// gradient = factor gradient, then kept within [-limit, limit].
void scale_and_clip(const py::handle& gradient, double factor, double limit) {
  Arguments arguments("scale_and_clip");
  const Argument g = arguments.in_place(gradient, "gradient");
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels_of<T>(kernels()).scale_and_clip(g.mutable_data<T>(), static_cast<T>(factor), static_cast<T>(limit),
                                            g.size());
  });
}

// to += from.
void add_to(const py::handle& from, const py::handle& to) {
  Arguments arguments("add_to");
  const Argument a = arguments.input(from, "from"), b = arguments.in_place(to, "to");
  if (a.shape() != b.shape()) arguments.fail_value("both must have the same shape.");
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels_of<T>(kernels()).add(a.data<T>(), b.mutable_data<T>(), a.size());
  });
}

}  // namespace

void register_optimizers(py::module_& module) {
  define(module, "sgd_update", sgd_update, py::arg("parameter"), py::arg("gradient"), py::arg("velocity"),
         py::arg("learning_rate"), py::arg("momentum"), py::arg("nesterov"), py::arg("weight_decay"));
  define(module, "adam_update", adam_update, py::arg("parameter"), py::arg("gradient"), py::arg("m"), py::arg("v"),
         py::arg("v_max"), py::arg("step"), py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"),
         py::arg("epsilon"), py::arg("weight_decay"));
  define(module, "penalty", penalty, py::arg("w"), py::arg("l1"), py::arg("l2"), py::arg("gradient"));
  define(module, "constrain", constrain, py::arg("w"), py::arg("kind"), py::arg("least"), py::arg("most"),
         py::arg("rate"));
  define(module, "scale_and_clip", scale_and_clip, py::arg("gradient"), py::arg("factor"), py::arg("limit"));
  define(module, "add_to", add_to, py::arg("from_"), py::arg("to"));
}

}  // namespace lamina::bindings
