#include "bindings/engine.hpp"

#include "bindings/names.hpp"

namespace lamina::bindings {
namespace {

NumberType require_number_type(const py::dtype& dtype, const char* name) {
  if (const std::optional<NumberType> found = number_type(dtype); found.has_value()) return *found;
  raise_type(std::string(name) + " must be of a native number type; got dtype " +
             py::str(static_cast<py::handle>(dtype)).cast<std::string>() + ".");
}

}  // namespace

ActivationChoice activation_choice(const py::handle& activation) {
  const auto name = attribute<std::string>(activation, "name");
  const int index = require_index(activation_index(name), "activation", name);
  const py::object alpha = activation.attr("alpha");
  return {index, alpha.is_none() ? kernels().f32.activations[index].info.default_alpha : alpha.cast<double>()};
}

RowsArgument rows_argument(const py::array& array, const char* name) {
  RowsArgument argument;
  argument.keep = array;
  if (array.ndim() < 1) raise_value(std::string(name) + " must have rows.");
  const auto dims = static_cast<std::size_t>(array.ndim());
  std::ptrdiff_t cols = 1;
  bool packed = true;
  for (std::size_t d = dims; d-- > 1;) {
    const auto axis = static_cast<py::ssize_t>(d);
    packed = packed && (array.shape(axis) == 1 || array.strides(axis) == cols * array.itemsize());
    cols *= array.shape(axis);
  }
  if (!packed) {
    argument.offsets.resize(static_cast<std::size_t>(cols));
    for (std::ptrdiff_t k = 0; k < cols; ++k) {
      std::ptrdiff_t rest = k, offset = 0;
      for (std::size_t d = dims; d-- > 1;) {
        const auto axis = static_cast<py::ssize_t>(d);
        offset += rest % array.shape(axis) * array.strides(axis);
        rest /= array.shape(axis);
      }
      argument.offsets[static_cast<std::size_t>(k)] = offset;
    }
  }
  argument.rows = {.base = array.data(),
                   .rows = array.shape(0),
                   .cols = cols,
                   .row_bytes = array.strides(0),
                   .offsets = packed ? nullptr : argument.offsets.data(),
                   .type = require_number_type(array.dtype(), name)};
  return argument;
}

InputArgument input_argument(const py::object& x, engine::InputKind kind, std::ptrdiff_t columns, const char* who) {
  InputArgument argument;
  if (kind != engine::InputKind::sparse) {
    if (!py::isinstance<py::array>(x)) raise_type(std::string(who) + ": x must be an array.");
    argument.rows = rows_argument(py::reinterpret_borrow<py::array>(x), "x");
    if (engine::is_indices(kind) && !is_integer(argument.rows.rows.type))
      raise_type(std::string(who) + ": x must hold integers.");
    if (argument.rows.rows.cols != columns)
      raise_value(std::string(who) + ": x must have " + std::to_string(columns) + " numbers in each row; got " +
                  std::to_string(argument.rows.rows.cols) + ".");
    argument.input = {kind, argument.rows.rows};
    return argument;
  }
  argument.keep = x.cast<py::tuple>();
  const auto flat = [&](std::size_t i, bool integers) {
    const auto array = argument.keep[i].cast<py::array>();
    const bool fits = array.ndim() == 1 && (array.flags() & py::array::c_style) != 0;
    const char kind_of = array.dtype().kind();
    if (!fits || (integers && (kind_of != 'i' || (array.itemsize() != 4 && array.itemsize() != 8))))
      raise_value(std::string(who) + ": sparse rows must be contiguous int32 or int64 indices and contiguous values.");
    return array;
  };
  const py::array starts = flat(0, true), columns_of = flat(1, true), values = flat(2, false);
  if (starts.size() < 1 || columns_of.size() != values.size())
    raise_value(std::string(who) + ": sparse rows do not fit.");
  argument.input = engine::Input(SparseRows{.starts = starts.data(),
                                            .columns = columns_of.data(),
                                            .values = values.data(),
                                            .wide_starts = starts.itemsize() == 8,
                                            .wide_columns = columns_of.itemsize() == 8,
                                            .type = require_number_type(values.dtype(), "x"),
                                            .rows = starts.size() - 1,
                                            .cols = columns,
                                            .entries = columns_of.size()});
  return argument;
}

// The first row with an entry out of bounds, or -1: `starts` must not decrease, columns must be in [0, count).
py::ssize_t first_bad_sparse_row(const py::array& starts, const py::array& columns, py::ssize_t count) {
  const auto checked = [&](auto start_zero, auto column_zero) -> py::ssize_t {
    const auto* start = static_cast<const decltype(start_zero)*>(starts.data());
    const auto* column = static_cast<const decltype(column_zero)*>(columns.data());
    const WithoutGil release;
    for (py::ssize_t i = 0; i + 1 < starts.size(); ++i) {
      if (start[i] < 0 || start[i + 1] < start[i] || start[i + 1] > columns.size()) return i;
      for (auto e = start[i]; e < start[i + 1]; ++e)
        if (column[e] < 0 || column[e] >= count) return i;
    }
    return -1;
  };
  const bool wide = starts.itemsize() == 8;
  if (columns.itemsize() == 8)
    return wide ? checked(std::int64_t{}, std::int64_t{}) : checked(std::int32_t{}, std::int64_t{});
  return wide ? checked(std::int64_t{}, std::int32_t{}) : checked(std::int32_t{}, std::int32_t{});
}

std::shared_ptr<py::object> kept(const py::object& object) {
  return {new py::object(object), [](py::object* held) {
            const WithGil gil;
            delete held;
          }};
}

}  // namespace lamina::bindings
