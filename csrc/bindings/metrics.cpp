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

py::object sparse_matches(const py::handle& labels, const py::handle& scores, const py::handle& out) {
  Arguments arguments("sparse_matches");
  const Argument s = scores_of(arguments, scores);
  const Labels ls = arguments.labels(labels, "y_true", s.array.shape(0), s.array.shape(1));
  const Argument match = arguments.output(out, "out", {s.array.shape(0)}, "(n,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    without_gil(static_cast<double>(s.size()),
                [&] { kernels_of<T>(kernels()).sparse_matches(matrix<T>(s), ls, match.mutable_data<T>()); });
  });
  return match.array;
}

py::object categorical_matches(const py::handle& targets, const py::handle& scores, const py::handle& out) {
  Arguments arguments("categorical_matches");
  const Argument s = scores_of(arguments, scores);
  const Argument t = arguments.input(targets, "y_true", s.shape(), "(n, c)");
  const Argument match = arguments.output(out, "out", {s.array.shape(0)}, "(n,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    without_gil(static_cast<double>(s.size()), [&] {
      kernels_of<T>(kernels()).categorical_matches(matrix<T>(s), matrix<T>(t), match.mutable_data<T>());
    });
  });
  return match.array;
}

py::object binary_matches(const py::handle& targets, const py::handle& scores, double threshold,
                          const py::handle& out) {
  Arguments arguments("binary_matches");
  const Argument s = scores_of(arguments, scores);
  const Argument t = arguments.input(targets, "y_true", s.shape(), "(n, c)");
  const Argument match = arguments.output(out, "out", {s.array.shape(0)}, "(n,)");
  arguments.refuse_overlaps();
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    without_gil(static_cast<double>(s.size()), [&] {
      kernels_of<T>(kernels()).binary_matches(matrix<T>(s), matrix<T>(t), static_cast<T>(threshold),
                                              match.mutable_data<T>());
    });
  });
  return match.array;
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
  module.def("sparse_matches", sparse_matches, py::arg("labels"), py::arg("scores"), py::arg("out"));
  module.def("categorical_matches", categorical_matches, py::arg("targets"), py::arg("scores"), py::arg("out"));
  module.def("binary_matches", binary_matches, py::arg("targets"), py::arg("scores"), py::arg("threshold"),
             py::arg("out"));
  module.def("first_label_outside", first_label_outside, py::arg("labels"), py::arg("classes"));
  module.def("sum", sum, py::arg("values"), py::arg("weights"));
}

}  // namespace lamina::bindings
