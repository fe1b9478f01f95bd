#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "bindings/arguments.hpp"
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

// One value a row, given scores (n, c) and labels (n,) or targets (n, c): fill(kernels, scores, labels or targets,
// match).
template <class Fill>
py::object matches_of_labels(const char* name, const py::handle& labels, const py::handle& scores,
                             const py::handle& out, Fill&& fill) {
  Arguments arguments(name);
  const Argument s = scores_of(arguments, scores);
  const Labels ls = arguments.labels(labels, "y_true", s.array.shape(0), s.array.shape(1));
  const Argument match = arguments.output(out, "out", {s.array.shape(0)}, "(n,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    without_gil(static_cast<double>(s.size()),
                [&] { fill(kernels_of<T>(kernels()), matrix<T>(s), ls, match.mutable_data<T>()); });
  });
  return match.array;
}
template <class Fill>
py::object matches_of_targets(const char* name, const py::handle& targets, const py::handle& scores,
                              const py::handle& out, Fill&& fill) {
  Arguments arguments(name);
  const Argument s = scores_of(arguments, scores);
  const Argument t = arguments.input(targets, "y_true", s.shape(), "(n, c)");
  const Argument match = arguments.output(out, "out", {s.array.shape(0)}, "(n,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    without_gil(static_cast<double>(s.size()),
                [&] { fill(kernels_of<T>(kernels()), matrix<T>(s), matrix<T>(t), match.mutable_data<T>()); });
  });
  return match.array;
}

py::object sparse_matches(const py::handle& labels, const py::handle& scores, const py::handle& out) {
  return matches_of_labels("sparse_matches", labels, scores, out,
                           [](const auto& k, auto s, auto l, auto* match) { k.sparse_matches(s, l, match); });
}
py::object categorical_matches(const py::handle& targets, const py::handle& scores, const py::handle& out) {
  return matches_of_targets("categorical_matches", targets, scores, out,
                            [](const auto& k, auto s, auto t, auto* match) { k.categorical_matches(s, t, match); });
}
py::object equal_matches(const py::handle& targets, const py::handle& scores, const py::handle& out) {
  return matches_of_targets("equal_matches", targets, scores, out,
                            [](const auto& k, auto s, auto t, auto* match) { k.equal_matches(s, t, match); });
}
py::object binary_matches(const py::handle& targets, const py::handle& scores, double threshold,
                          const py::handle& out) {
  return matches_of_targets("binary_matches", targets, scores, out, [&](const auto& k, auto s, auto t, auto* match) {
    k.binary_matches(s, t, static_cast<std::remove_pointer_t<decltype(match)>>(threshold), match);
  });
}
py::object sparse_top_matches(const py::handle& labels, const py::handle& scores, std::ptrdiff_t places,
                              const py::handle& out) {
  return matches_of_labels("sparse_top_matches", labels, scores, out, [&](const auto& k, auto s, auto l, auto* match) {
    k.sparse_top_matches(s, l, places, match);
  });
}
py::object categorical_top_matches(const py::handle& targets, const py::handle& scores, std::ptrdiff_t places,
                                   const py::handle& out) {
  return matches_of_targets(
      "categorical_top_matches", targets, scores, out,
      [&](const auto& k, auto s, auto t, auto* match) { k.categorical_top_matches(s, t, places, match); });
}

// Adds to `counts` (2, c, thresholds + 1): the weights of negative and of positive targets, by how many of the
// ascending thresholds their scores are above.
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
    const ThresholdCounts<T> call{matrix<T>(s),      matrix<T>(t), weights.is_none() ? nullptr : w.data<T>(),
                                  thresholds.data(), count,        negative + columns * (count + 1),
                                  negative};
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
  define(module, "sparse_matches", sparse_matches, py::arg("labels"), py::arg("scores"), py::arg("out"));
  define(module, "categorical_matches", categorical_matches, py::arg("targets"), py::arg("scores"), py::arg("out"));
  define(module, "binary_matches", binary_matches, py::arg("targets"), py::arg("scores"), py::arg("threshold"),
         py::arg("out"));
  define(module, "equal_matches", equal_matches, py::arg("targets"), py::arg("scores"), py::arg("out"));
  define(module, "sparse_top_matches", sparse_top_matches, py::arg("labels"), py::arg("scores"), py::arg("places"),
         py::arg("out"));
  define(module, "categorical_top_matches", categorical_top_matches, py::arg("targets"), py::arg("scores"),
         py::arg("places"), py::arg("out"));
  define(module, "count_by_threshold", count_by_threshold, py::arg("targets"), py::arg("scores"), py::arg("weights"),
         py::arg("thresholds"), py::arg("counts"));
  define(module, "column_products", column_products, py::arg("a"), py::arg("b"), py::arg("weights"),
         py::arg("centre") = py::none());
  define(module, "first_label_outside", first_label_outside, py::arg("labels"), py::arg("classes"));
  define(module, "sum", sum, py::arg("values"), py::arg("weights"));
}

}  // namespace lamina::bindings
