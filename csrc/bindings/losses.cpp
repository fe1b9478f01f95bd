#include <pybind11/stl.h>

#include <cmath>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/names.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

py::tuple evaluate_loss(const std::string& name, const py::handle& predictions, const py::handle& targets,
                        const py::handle& sample_weight, const py::dict& parameters, const py::handle& loss,
                        const py::handle& gradient, const py::handle& need, const std::vector<double>& columns) {
  Arguments arguments(name.c_str());
  const bool need_gradient = arguments.flag(need, "need_grad");
  const int index = loss_index(name);
  if (index < 0) arguments.fail_value("name must be one of " + loss_names() + "; got '" + name + "'.");
  const LossInfo& info = kernels().f32.losses[index].info;
  const char* prediction_name = info.takes_labels || name == "sigmoid_cross_entropy" ? "logits" : "y_pred";
  if (name == "categorical_cross_entropy") prediction_name = "y_pred";
  const Argument ps = arguments.input(predictions, prediction_name);
  arguments.require_rank(ps, 2, "(n, c)");
  const py::ssize_t n = ps.array.shape(0), c = ps.array.shape(1);
  if (c == 0)
    arguments.fail_value(std::string(prediction_name) + " must have at least one column; got " + describe(ps.shape()) +
                         ".");

  Labels labels{nullptr, 0, NumberType::int64};
  Argument ts{};
  const bool by_label =
      info.takes_labels && py::isinstance<py::array>(targets) && py::reinterpret_borrow<py::array>(targets).ndim() == 1;
  const std::vector<double> values =
      values_by_name(info.parameters, parameters, /*optional=*/true, info.default_parameter);
  const bool ignores = values.size() > 2 && values[1] != 0;  // this label need not be a class
  if (by_label && ignores) {
    labels = arguments.unchecked_labels(targets, "labels");
    if (labels.size != n) arguments.fail_value("labels must have shape (n,).");
  } else if (by_label) {
    labels = arguments.labels(targets, "labels", n, c);
  }
  if (!by_label)
    ts = arguments.input(targets,
                         info.takes_labels ? "labels" : (name == "sigmoid_cross_entropy" ? "targets" : "y_true"),
                         {n, c}, "(n, c)");
  if (!columns.empty() && (!info.by_column || static_cast<py::ssize_t>(columns.size()) != c))
    arguments.fail_value("there must be one " + std::string(info.by_column ? info.parameters : "parameter") +
                         (info.by_column ? ", or one for each of " + std::to_string(c) + " columns." : "."));
  Argument ws{};
  if (!sample_weight.is_none()) ws = arguments.input(sample_weight, "sample_weight", {n}, "(n,)");
  const Argument losses = arguments.output(loss, "loss", {n}, "(n,)");
  Argument gs{};
  if (need_gradient) gs = arguments.output(gradient, "grad", {n, c}, "(n, c)");
  arguments.refuse_overlaps({{prediction_name, "grad"}});
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    LossArguments<T> a{.predictions = {ps.data<T>(), n, c, c},
                       .targets = {by_label ? nullptr : ts.data<T>(), n, c, c},
                       .labels = labels,
                       .sample_weight = sample_weight.is_none() ? nullptr : ws.data<T>(),
                       .ignored_class = static_cast<std::int64_t>(ignores ? values[2] : 0),
                       .loss = losses.mutable_data<T>(),
                       .gradient = {need_gradient ? gs.mutable_data<T>() : nullptr, n, c, c}};
    const std::vector<T> numbers(columns.begin(), columns.end());
    a.columns = numbers.empty() ? nullptr : numbers.data();
    for (std::size_t i = 0; i < values.size(); ++i) a.parameters[i] = static_cast<T>(values[i]);
    without_gil(static_cast<double>(ps.size()), [&] { kernels_of<T>(kernels()).losses[index].evaluate(a); });
  });
  return py::make_tuple(losses.array, need_gradient ? py::object(gs.array) : py::none());
}

py::dict loss_table() {
  py::dict table;
  for (int i = 0; i < kernels().loss_count; ++i) {
    const LossInfo& info = kernels().f32.losses[i].info;
    py::dict row;
    row["takes_labels"] = info.takes_labels;
    row["parameters"] = info.parameters == nullptr ? py::str("") : py::str(info.parameters);
    table[info.name] = row;
  }
  return table;
}

}  // namespace

void register_losses(py::module_& module) {
  define(module, "evaluate_loss", evaluate_loss, py::arg("name"), py::arg("predictions"), py::arg("targets"),
         py::arg("sample_weight"), py::arg("parameters"), py::arg("loss"), py::arg("gradient"),
         py::arg("need_gradient"), py::arg("columns") = std::vector<double>());
  define(module, "loss_table", loss_table);
}

}  // namespace lamina::bindings
