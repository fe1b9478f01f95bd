#include "engine/input.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <vector>

namespace lamina::engine {
namespace {

std::ptrdiff_t number_in(const void* data, bool wide, std::ptrdiff_t i) {
  return static_cast<std::ptrdiff_t>(wide ? read_once<std::int64_t>(static_cast<const std::int64_t*>(data) + i)
                                          : read_once<std::int32_t>(static_cast<const std::int32_t*>(data) + i));
}

[[noreturn]] void changed() {
  throw std::invalid_argument("x must stay as it is while it is read: an index is out of bounds now.");
}

// Entries of row i.
std::ptrdiff_t length_of(const SparseRows& rows, std::ptrdiff_t i) {
  const std::ptrdiff_t begin = number_in(rows.starts, rows.wide_starts, i),
                       end = number_in(rows.starts, rows.wide_starts, i + 1);
  if (begin < 0 || end < begin || end > rows.entries) changed();
  return end - begin;
}

// Copies a sparse row to row `to_row` of the batch, from its entry `at` on; returns the entry after the last one.
template <class T>
std::ptrdiff_t fetch_sparse(const Kernels<T>& kernels, const SparseRows& from, std::ptrdiff_t row,
                            const SparseBatch<T>& to, std::ptrdiff_t to_row, std::ptrdiff_t at, std::ptrdiff_t cols) {
  const std::ptrdiff_t begin = number_in(from.starts, from.wide_starts, row), count = length_of(from, row);
  if (begin < 0 || begin > from.entries - count || count > to.capacity - at) changed();
  to.starts[to_row] = at;
  std::int32_t* columns = to.columns + at;
  for (std::ptrdiff_t e = 0; e < count; ++e) {
    const std::ptrdiff_t column = number_in(from.columns, from.wide_columns, begin + e);
    if (column < 0 || column >= cols) changed();
    columns[e] = static_cast<std::int32_t>(column);
  }
  const std::ptrdiff_t size = size_of(from.type);
  const Rows values{.base = static_cast<const char*>(from.values) + begin * size,
                    .rows = 1,
                    .cols = count,
                    .row_bytes = count * size,
                    .type = from.type};
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  kernels.gather({.source = values, .count = 1, .to = {to.values + at, 1, count, width, count}});
  return at + count;
}

// Makes an entry of value 1 of each index of a row, from entry `at` on. Returns how many are not 0.
template <class T>
std::ptrdiff_t fetch_indices(const Rows& from, std::ptrdiff_t row, const SparseBatch<T>& to, std::ptrdiff_t at,
                             std::ptrdiff_t cols) {
  const char* base = static_cast<const char*>(from.base) + row * from.row_bytes;
  const std::ptrdiff_t size = size_of(from.type);
  // Floating-point numbers are converted before they come here.
  return with_integer_type(from.type, [&](auto tag) {
    std::ptrdiff_t others = 0;
    for (std::ptrdiff_t k = 0; k < from.cols; ++k) {
      const std::int64_t index =
          read_once<typename decltype(tag)::Number>(base + (from.offsets == nullptr ? k * size : from.offsets[k]));
      if (index < 0 || index >= cols) changed();
      to.columns[at + k] = static_cast<std::int32_t>(index);
      to.values[at + k] = T(1);
      others += index != 0;
    }
    return others;
  });
}

// Makes the entries of a row add up to 1. In a masked bag of zeros only, they are NaN, as the mean of no values is.
template <class T>
void fetch_bag(const Rows& from, std::ptrdiff_t row, const SparseBatch<T>& to, std::ptrdiff_t at, std::ptrdiff_t cols,
               bool masked) {
  const std::ptrdiff_t others = fetch_indices(from, row, to, at, cols);
  const T share = T(1) / static_cast<T>(masked ? others : from.cols), masked_share = others == 0 ? T(NAN) : T(0);
  for (std::ptrdiff_t e = at; e < at + from.cols; ++e)
    to.values[e] = masked && to.columns[e] == 0 ? masked_share : share;
}

}  // namespace

std::ptrdiff_t Input::rows() const {
  switch (kind) {
    case InputKind::sparse:
      return sparse.rows;
    case InputKind::dense:
    case InputKind::indices:
    case InputKind::bags:
    case InputKind::masked_bags:
      return dense.rows;
  }
  __builtin_unreachable();
}

Input Input::part(std::ptrdiff_t first, std::ptrdiff_t count) const {
  Input found = *this;
  switch (kind) {
    case InputKind::dense:
    case InputKind::indices:
    case InputKind::bags:
    case InputKind::masked_bags:
      found.dense.base = static_cast<const char*>(dense.base) + first * dense.row_bytes;
      found.dense.rows = count;
      break;
    case InputKind::sparse:
      found.sparse.starts = static_cast<const char*>(sparse.starts) + first * (sparse.wide_starts ? 8 : 4);
      found.sparse.rows = count;
      break;
  }
  return found;
}

std::ptrdiff_t Input::most_entries(std::ptrdiff_t size) const {
  switch (kind) {
    case InputKind::dense:
      return 0;
    case InputKind::indices:
    case InputKind::bags:
    case InputKind::masked_bags:
      return size * dense.cols;
    case InputKind::sparse:
      break;
  }
  std::vector<std::ptrdiff_t> lengths(static_cast<std::size_t>(sparse.rows));
  for (std::ptrdiff_t i = 0; i < sparse.rows; ++i) lengths[static_cast<std::size_t>(i)] = length_of(sparse, i);
  const auto middle = lengths.begin() + std::min(size, sparse.rows);
  if (middle != lengths.end()) std::nth_element(lengths.begin(), middle, lengths.end(), std::greater<>());
  std::ptrdiff_t most = 0;
  for (auto length = lengths.begin(); length != middle; ++length) most += *length;
  return most;
}

Ahead::Ahead(const Input& input, const std::int64_t* order, std::ptrdiff_t first, Range rows, std::ptrdiff_t calls) {
  constexpr std::ptrdiff_t most_bytes = 256 << 10;
  if (input.kind != InputKind::dense || input.dense.offsets != nullptr || calls <= 0) return;
  base_ = static_cast<const char*>(input.dense.base);
  order_ = order == nullptr ? nullptr : order + first + rows.begin;
  first_ = first + rows.begin;
  stride_ = input.dense.row_bytes;
  row_bytes_ = input.dense.cols * size_of(input.dense.type);
  if (row_bytes_ <= 0) return;
  rows_ = std::min(rows.size(), most_bytes / row_bytes_);
  lines_ = (rows_ * ((row_bytes_ + kLine - 1) / kLine) + calls - 1) / calls;
}

template <class T>
void fetch(const Kernels<T>& kernels, const Input& input, const std::int64_t* order, std::ptrdiff_t first, Range rows,
           const Boundary<T>& to, std::ptrdiff_t factor) {
  if (input.kind == InputKind::dense)
    return kernels.gather({.source = input.dense,
                           .order = order,
                           .first = first + rows.begin,
                           .count = rows.size(),
                           .to = to.value,
                           .to_begin = rows.begin * factor,
                           .factor = factor});
  const auto row_of = [&](std::ptrdiff_t i) {
    return order == nullptr ? first + i : static_cast<std::ptrdiff_t>(order[first + i]);
  };
  const std::ptrdiff_t cols = to.value.cols;
  if (is_indices(input.kind)) {
    const std::ptrdiff_t in_row = input.dense.cols, in_line = in_row / factor;
    for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i) {
      if (is_bags(input.kind))
        fetch_bag(input.dense, row_of(i), to.entries, i * in_row, cols, input.kind == InputKind::masked_bags);
      else
        fetch_indices(input.dense, row_of(i), to.entries, i * in_row, cols);
    }
    // The last starts are those of the lines after this part, or the end of all.
    for (std::ptrdiff_t line = rows.begin * factor; line < rows.end * factor; ++line)
      to.entries.starts[line] = line * in_line;
    if (rows.end * factor == to.entries.rows) to.entries.starts[to.entries.rows] = to.entries.rows * in_line;
    return;
  }
  std::ptrdiff_t at = 0;
  for (std::ptrdiff_t i = 0; i < rows.begin; ++i) at += length_of(input.sparse, row_of(i));
  for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i)
    at = fetch_sparse(kernels, input.sparse, row_of(i), to.entries, i, at, cols);
  if (rows.end == to.entries.rows) to.entries.starts[rows.end] = at;  // else the next member writes it
}

template void fetch(const Kernels<float>&, const Input&, const std::int64_t*, std::ptrdiff_t, Range,
                    const Boundary<float>&, std::ptrdiff_t);
template void fetch(const Kernels<double>&, const Input&, const std::int64_t*, std::ptrdiff_t, Range,
                    const Boundary<double>&, std::ptrdiff_t);

}  // namespace lamina::engine
