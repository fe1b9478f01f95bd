#include "engine/input.hpp"

#include <algorithm>
#include <cstring>

namespace lamina::engine {
namespace {

std::ptrdiff_t size_of(NumberType type) {
  switch (type) {
    case NumberType::int8:
    case NumberType::uint8:
      return 1;
    case NumberType::int16:
    case NumberType::uint16:
    case NumberType::float16:
      return 2;
    case NumberType::int32:
    case NumberType::uint32:
    case NumberType::float32:
      return 4;
    default:
      return 8;
  }
}

template <class Number>
std::int32_t index_at(const char* address) {
  Number value;
  std::memcpy(&value, address, sizeof value);
  return static_cast<std::int32_t>(value);
}

using IndexReader = std::int32_t (*)(const char*);

// Half-precision numbers are converted before they come here.
IndexReader index_reader(NumberType type) {
  switch (type) {
    case NumberType::int8:
      return index_at<std::int8_t>;
    case NumberType::int16:
      return index_at<std::int16_t>;
    case NumberType::int32:
      return index_at<std::int32_t>;
    case NumberType::uint8:
      return index_at<std::uint8_t>;
    case NumberType::uint16:
      return index_at<std::uint16_t>;
    case NumberType::uint32:
      return index_at<std::uint32_t>;
    case NumberType::uint64:
      return index_at<std::uint64_t>;
    case NumberType::float32:
      return index_at<float>;
    case NumberType::float64:
      return index_at<double>;
    default:
      return index_at<std::int64_t>;
  }
}

std::ptrdiff_t number_in(const void* data, bool wide, std::ptrdiff_t i) {
  return wide ? static_cast<std::ptrdiff_t>(static_cast<const std::int64_t*>(data)[i])
              : static_cast<std::ptrdiff_t>(static_cast<const std::int32_t*>(data)[i]);
}

template <class T>
void fetch_sparse(const Kernels<T>& kernels, const SparseRows& from, std::ptrdiff_t row, const SparseBatch<T>& to,
                  std::ptrdiff_t to_row) {
  const std::ptrdiff_t begin = number_in(from.starts, from.wide_starts, row);
  const std::ptrdiff_t count = number_in(from.starts, from.wide_starts, row + 1) - begin;
  to.counts[to_row] = static_cast<std::int32_t>(count);
  std::int32_t* columns = to.columns + to_row * to.stride;
  if (from.wide_columns)
    for (std::ptrdiff_t e = 0; e < count; ++e)
      columns[e] = static_cast<std::int32_t>(static_cast<const std::int64_t*>(from.columns)[begin + e]);
  else
    std::memcpy(columns, static_cast<const std::int32_t*>(from.columns) + begin,
                static_cast<std::size_t>(count) * sizeof(std::int32_t));
  const std::ptrdiff_t size = size_of(from.type);
  const Rows values{static_cast<const char*>(from.values) + begin * size, 1, count, count * size, nullptr, from.type};
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  kernels.gather({values, nullptr, 0, 1, {to.values + to_row * to.stride, 1, count, width, count}, 0, 1, 0});
}

template <class T>
void fetch_indices(const Rows& from, std::ptrdiff_t row, const SparseBatch<T>& to, std::ptrdiff_t to_row) {
  const char* base = static_cast<const char*>(from.base) + row * from.row_bytes;
  const std::ptrdiff_t size = size_of(from.type);
  const IndexReader read = index_reader(from.type);
  for (std::ptrdiff_t k = 0; k < from.cols; ++k) {
    const std::ptrdiff_t at = to_row + k;
    to.counts[at] = 1;
    to.columns[at * to.stride] = read(base + (from.offsets == nullptr ? k * size : from.offsets[k]));
    to.values[at * to.stride] = T(1);
  }
}

}  // namespace

Input Input::part(std::ptrdiff_t first, std::ptrdiff_t count) const {
  Input found = *this;
  if (kind == InputKind::sparse) {
    const std::ptrdiff_t bytes = sparse.wide_starts ? 8 : 4;
    found.sparse.starts = static_cast<const char*>(sparse.starts) + first * bytes;
    found.sparse.rows = count;
  } else {
    found.dense.base = static_cast<const char*>(dense.base) + first * dense.row_bytes;
    found.dense.rows = count;
  }
  return found;
}

std::ptrdiff_t Input::longest() const {
  if (kind != InputKind::sparse) return kind == InputKind::dense ? 0 : 1;
  std::ptrdiff_t most = 1;
  for (std::ptrdiff_t i = 0; i < sparse.rows; ++i)
    most = std::max(
        most, number_in(sparse.starts, sparse.wide_starts, i + 1) - number_in(sparse.starts, sparse.wide_starts, i));
  return most;
}

template <class T>
void fetch(const Kernels<T>& kernels, const Input& input, const std::int64_t* order, std::ptrdiff_t first,
           std::ptrdiff_t count, const Boundary<T>& to, std::ptrdiff_t to_begin, std::ptrdiff_t factor,
           std::ptrdiff_t ahead) {
  if (input.kind == InputKind::dense)
    return kernels.gather({input.dense, order, first, count, to.value, to_begin, factor, ahead});
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::ptrdiff_t row = order == nullptr ? first + i : static_cast<std::ptrdiff_t>(order[first + i]);
    if (input.kind == InputKind::sparse)
      fetch_sparse(kernels, input.sparse, row, to.entries, to_begin + i);
    else
      fetch_indices(input.dense, row, to.entries, to_begin + i * factor);
  }
}

template void fetch(const Kernels<float>&, const Input&, const std::int64_t*, std::ptrdiff_t, std::ptrdiff_t,
                    const Boundary<float>&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t);
template void fetch(const Kernels<double>&, const Input&, const std::int64_t*, std::ptrdiff_t, std::ptrdiff_t,
                    const Boundary<double>&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t);

}  // namespace lamina::engine
