#include <cmath>

#include "bindings/arguments.hpp"
#include "bindings/register.hpp"

namespace lamina::bindings {
namespace {

void random_fill(const std::string& distribution, std::uint64_t key, std::uint64_t counter, double a, double b,
                 const py::handle& out) {
  Arguments arguments("random_fill");
  const Argument values = arguments.in_place(out, "out");
  Distribution kind = Distribution::uniform;
  if (distribution == "normal")
    kind = Distribution::normal;
  else if (distribution == "truncated_normal")
    kind = Distribution::truncated_normal;
  else if (distribution != "uniform")
    arguments.fail_value("distribution must be 'uniform', 'normal' or 'truncated_normal'; got '" + distribution + "'.");
  with_dtype(arguments.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (!std::isfinite(static_cast<T>(a)) || !std::isfinite(static_cast<T>(b)) ||
        (kind == Distribution::uniform && !std::isfinite(static_cast<T>(b) - static_cast<T>(a))))
      arguments.fail_value(
          "a and b must be finite in the dtype of out, and so must the range of a uniform distribution.");
    without_gil(8.0 * static_cast<double>(values.size()), [&] {
      kernels_of<T>(kernels()).random_fill(kind, {key, counter}, static_cast<T>(a), static_cast<T>(b),
                                           values.mutable_data<T>(), values.size());
    });
  });
}

py::array permutation(std::uint64_t key, std::uint64_t counter, py::ssize_t size) {
  if (size < 0) raise_value("permutation: size must be >= 0; got " + std::to_string(size) + ".");
  py::array_t<std::int64_t> order(size);
  std::int64_t* data = order.mutable_data();
  without_gil(16.0 * static_cast<double>(size), [&] { kernels().permutation({key, counter}, data, size); });
  return order;
}

}  // namespace

void register_random(py::module_& module) {
  define(module, "random_fill", random_fill, py::arg("distribution"), py::arg("key"), py::arg("counter"), py::arg("a"),
         py::arg("b"), py::arg("out"));
  define(module, "permutation", permutation, py::arg("key"), py::arg("counter"), py::arg("size"));
}

}  // namespace lamina::bindings
