#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/names.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

Argument scores_of(Arguments& arguments, const py::handle& scores) {
  const Argument s = arguments.input(scores, "y_pred");
  arguments.require_rank(s, 2, "(n, c)");
  if (s.array.shape(1) == 0)
    arguments.fail_value("y_pred must have at least one column; got " + describe(s.shape()) + ".");
  return s;
}

// The metric's value of each row, given predictions (n, c), and class labels (n,) or targets (n, c) as it requires.
py::object metric_values(const std::string& name, const py::handle& targets, const py::handle& predictions,
                         const py::dict& parameters, const py::handle& out) {
  const int number = require_index(metric_index(name), "metric", name);
  Arguments arguments(name.c_str());
  const Argument p = scores_of(arguments, predictions);
  Argument t{};
  Labels classes{};
  if (kernels().f32.metrics[number].info.takes_labels)
    classes = arguments.labels(targets, "y_true", p.array.shape(0), p.array.shape(1));
  else
    t = arguments.input(targets, "y_true", p.shape(), "(n, c)");
  const std::vector<double> given =
      values_by_name(kernels().f32.metrics[number].info.parameter, parameters, /*optional=*/false);
  const double parameter = given.empty() ? 0 : given.front();
  const Argument values = arguments.output(out, "out", {p.array.shape(0)}, "(n,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const MetricKernel<T>& kernel = kernels_of<T>(kernels()).metrics[number];
    const Matrix<const T> expected = kernel.info.takes_labels ? Matrix<const T>{} : matrix<T>(t);
    without_gil(static_cast<double>(p.size()), [&] {
      kernel.evaluate({.predictions = matrix<T>(p),
                       .targets = expected,
                       .labels = classes,
                       .parameter = parameter,
                       .values = values.mutable_data<T>()});
    });
  });
  return values.array;
}

// Adds to `counts` (2, c, thresholds + 1) the weights of negative targets, then of positive ones. The last index is the
// number of thresholds (ascending) that a target's score is above.
void count_by_threshold(const py::handle& targets, const py::handle& scores, const py::handle& weights,
                        const py::array_t<double, py::array::c_style>& thresholds,
                        py::array_t<double, py::array::c_style>& counts) {
  Arguments arguments("count_by_threshold");
  const Argument s = scores_of(arguments, scores);
  const Argument t = arguments.input(targets, "y_true", s.shape(), "(n, c)");
  Argument w{};
  if (!weights.is_none()) w = arguments.input(weights, "sample_weight", {s.array.shape(0)}, "(n,)");
  const py::ssize_t columns = s.array.shape(1), count = thresholds.size();
  if (counts.size() != 2 * columns * (count + 1)) arguments.fail_value("counts has the wrong size.");
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    double* negative = counts.mutable_data();
    const ThresholdCounts<T> call{.scores = matrix<T>(s),
                                  .targets = matrix<T>(t),
                                  .sample_weight = weights.is_none() ? nullptr : w.data<T>(),
                                  .thresholds = thresholds.data(),
                                  .count = count,
                                  .positive = negative + columns * (count + 1),
                                  .negative = negative};
    without_gil(static_cast<double>(s.size()) * 8, [&] { kernels_of<T>(kernels()).count_by_threshold(call); });
  });
}

// Σ_i w_i (a_ij - centre_j) (b_ij - centre_j) of each column.
py::array_t<double> column_products(const py::handle& a, const py::handle& b, const py::handle& weights,
                                    const std::optional<std::vector<double>>& centre) {
  Arguments arguments("column_products");
  const Argument left = scores_of(arguments, a);
  const Argument right = arguments.input(b, "b", left.shape(), "(n, c)");
  Argument w{};
  if (!weights.is_none()) w = arguments.input(weights, "sample_weight", {left.array.shape(0)}, "(n,)");
  if (centre && static_cast<py::ssize_t>(centre->size()) != left.array.shape(1))
    arguments.fail_value("centre must have a number for each column.");
  py::array_t<double> out(left.array.shape(1));
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    double* to = out.mutable_data();
    without_gil(static_cast<double>(left.size()), [&] {
      kernels_of<T>(kernels()).column_products(matrix<T>(left), matrix<T>(right),
                                               weights.is_none() ? nullptr : w.data<T>(),
                                               centre ? centre->data() : nullptr, to);
    });
  });
  return out;
}

// The first row whose label is not in [0, classes), or -1.
py::ssize_t first_label_outside(const py::handle& labels, py::ssize_t classes) {
  Arguments arguments("first_label_outside");
  const Labels ls = arguments.unchecked_labels(labels, "labels");
  py::ssize_t row = -1;
  without_gil(static_cast<double>(ls.size), [&] { row = kernels().first_label_outside(ls, classes); });
  return row;
}

double sum(const py::handle& values, const py::handle& weights) {
  Arguments arguments("sum");
  const Argument v = arguments.input(values, "values");
  Argument w{};
  if (!weights.is_none()) w = arguments.input(weights, "weights", v.shape(), nullptr);
  double total = 0;
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* weight = weights.is_none() ? nullptr : w.data<T>();
    without_gil(static_cast<double>(v.size()),
                [&] { total = kernels_of<T>(kernels()).sum(v.data<T>(), weight, v.size()); });
  });
  return total;
}

}  // namespace

void register_metrics(py::module_& module) {
  define(module, "metric_values", metric_values, py::arg("name"), py::arg("targets"), py::arg("predictions"),
         py::arg("parameters"), py::arg("out"));
  define(module, "count_by_threshold", count_by_threshold, py::arg("targets"), py::arg("scores"), py::arg("weights"),
         py::arg("thresholds"), py::arg("counts"));
  define(module, "column_products", column_products, py::arg("a"), py::arg("b"), py::arg("weights"),
         py::arg("centre") = py::none());
  define(module, "first_label_outside", first_label_outside, py::arg("labels"), py::arg("classes"));
  define(module, "sum", sum, py::arg("values"), py::arg("weights"));
}

}  // namespace lamina::bindings
