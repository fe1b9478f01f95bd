// Copies rows of user data, in any order, into panels and converts them to the model's dtype.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

template <class T, class S>
[[gnu::always_inline]] inline T converted(S value) {
  return static_cast<T>(value);
}
// The lower 15 bits of a Half, shifted to their place in a binary32, are its magnitude times 2^-112, exactly.
template <class T>
[[gnu::always_inline]] inline T converted(Half value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000) << 16, rest = value.bits & 0x7fff;
  const std::uint32_t scaled = rest << 13;
  float magnitude;
  __builtin_memcpy(&magnitude, &scaled, sizeof magnitude);
  magnitude *= 0x1p112f;
  std::uint32_t bits;
  __builtin_memcpy(&bits, &magnitude, sizeof bits);
  bits = (rest >= 0x7c00 ? (scaled | 0x7f800000u) : bits) | sign;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return static_cast<T>(result);
}

// Reads a number at any address, aligned or not.
template <class S>
[[gnu::always_inline]] inline S number_at(const char* address) {
  S value;
  __builtin_memcpy(&value, address, sizeof value);
  return value;
}

// Rows that are copied as a group, panel by panel: the writes are then contiguous. Shuffled rows are prefetched while
// the group before them is copied.
constexpr std::ptrdiff_t kRowsTogether = 8;

// Short rows in a random order are prefetched so many rows before they are copied: each is a cache line of its own.
constexpr std::ptrdiff_t kShortRowsAhead = 32;
template <class T>
[[gnu::always_inline]] inline void prefetch_short_row(const Gather<T>& g, std::ptrdiff_t i) {
  if (g.order == nullptr || i >= g.count) return;
  const char* row = static_cast<const char*>(g.source.base) + g.order[g.first + i] * g.source.row_bytes;
  __builtin_prefetch(row);
  if (g.source.row_bytes > kLineBytes) __builtin_prefetch(row + kLineBytes);
}

// Converts `count` numbers of a row, at most a panel's. They are contiguous, or at `offsets` (in bytes) if that is not
// null.
template <class T>
using Convert = void (*)(const char* from, const std::ptrdiff_t* offsets, std::ptrdiff_t count, T* to);

template <class T, class S>
void convert(const char* from, const std::ptrdiff_t* offsets, std::ptrdiff_t count, T* to) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, size = static_cast<std::ptrdiff_t>(sizeof(S));
  if (offsets != nullptr) {
    for (std::ptrdiff_t k = 0; k < count; ++k) to[k] = converted<T>(number_at<S>(from + offsets[k]));
  } else if (count == width) {  // a count that the compiler knows
// What is written is not read again, which the compiler need not find out.
#pragma GCC ivdep
    for (std::ptrdiff_t k = 0; k < width; ++k) to[k] = converted<T>(number_at<S>(from + k * size));
  } else {
    for (std::ptrdiff_t k = 0; k < count; ++k) to[k] = converted<T>(number_at<S>(from + k * size));
  }
}

// `copy(from, first, count, to)` writes numbers first … first + count - 1 of the row that begins at `from`.
template <class T, class Copy>
[[gnu::always_inline]] inline void gather_rows(const Gather<T>& g, std::ptrdiff_t size, Copy&& copy) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t cols = g.source.cols / g.factor;
  const auto row_at = [&](std::ptrdiff_t i) {
    const std::ptrdiff_t row = g.order == nullptr ? g.first + i : static_cast<std::ptrdiff_t>(g.order[g.first + i]);
    return static_cast<const char*>(g.source.base) + row * g.source.row_bytes;
  };
  for (std::ptrdiff_t group = 0; group < g.count; group += kRowsTogether) {
    const std::ptrdiff_t rows = smaller(kRowsTogether, g.count - group);
    if (g.order != nullptr && g.source.offsets == nullptr) {
      for (std::ptrdiff_t i = group + rows; i < smaller(g.count, group + 2 * rows); ++i)
        for (std::ptrdiff_t byte = 0; byte < g.source.cols * size; byte += 64)
          __builtin_prefetch(row_at(i) + byte, 0, 2);
    }
    for (std::ptrdiff_t part = 0; part < g.factor; ++part) {
      const char* from[kRowsTogether];
      for (std::ptrdiff_t i = 0; i < rows; ++i) from[i] = row_at(group + i);
      T* to = g.to.data + (g.to_begin + group * g.factor + part) * g.to.row_stride;
      for (std::ptrdiff_t begin = 0; begin < cols; begin += width, to += g.to.panel_stride) {
        const std::ptrdiff_t count = smaller(width, cols - begin);
        for (std::ptrdiff_t i = 0; i < rows; ++i)
          copy(from[i], part * cols + begin, count, to + i * g.factor * g.to.row_stride);
      }
    }
  }
}

// The same with `to` transposed, as many rows at a time as a vector has lanes: whole vectors are written.
template <class T, class Copy>
[[gnu::always_inline]] inline void gather_transposed(const Gather<T>& g, Copy&& copy) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  const std::ptrdiff_t cols = g.source.cols;
  const auto row_at = [&](std::ptrdiff_t i) {
    const std::ptrdiff_t row = g.order == nullptr ? g.first + i : static_cast<std::ptrdiff_t>(g.order[g.first + i]);
    return static_cast<const char*>(g.source.base) + row * g.source.row_bytes;
  };
  for (std::ptrdiff_t group = 0; group < g.count; group += lanes) {
    const std::ptrdiff_t rows = smaller(lanes, g.count - group);
    const char* from[lanes];
    for (std::ptrdiff_t i = 0; i < lanes; ++i) {
      from[i] = row_at(group + smaller(i, rows - 1));
      prefetch_short_row(g, group + i + kShortRowsAhead);
    }
    T* to = g.to.data + group / width * g.to.panel_stride + group % width;
    for (std::ptrdiff_t first = 0; first < cols; first += lanes, to += lanes * width) {
      const std::ptrdiff_t count = smaller(lanes, cols - first);
      Vec<T> block[lanes];
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < lanes; ++i) block[i] = copy(from[i], first, count);
      transpose<T>(block);
      for (std::ptrdiff_t i = 0; i < count; ++i) store(to + i * width, block[i]);
    }
  }
}

// Rows of at most a vector of numbers of type T, aligned.
template <class T>
void gather_short_rows(const Gather<T>& g) {
  const std::ptrdiff_t cols = g.source.cols;
  T* to = g.to.data + g.to_begin * g.to.row_stride;
  for (std::ptrdiff_t i = 0; i < g.count; ++i, to += g.to.row_stride) {
    const std::ptrdiff_t row = g.order == nullptr ? g.first + i : static_cast<std::ptrdiff_t>(g.order[g.first + i]);
    const char* from = static_cast<const char*>(g.source.base) + row * g.source.row_bytes;
    prefetch_short_row(g, i + kShortRowsAhead);
    store_lanes(to, load_lanes(reinterpret_cast<const T*>(from), cols, T(0)), cols);
  }
}

template <class T>
void gather(const Gather<T>& g) {
  constexpr std::ptrdiff_t size = static_cast<std::ptrdiff_t>(sizeof(T));
  const bool aligned =
      g.source.row_bytes % size == 0 && reinterpret_cast<std::uintptr_t>(g.source.base) % sizeof(T) == 0;
  const bool direct = g.source.type == kNumberType<T> && g.source.offsets == nullptr && aligned;
  if (direct && g.transposed)
    return gather_transposed<T>(g, [](const char* from, std::ptrdiff_t first, std::ptrdiff_t count) -> Vec<T> {
      return load_lanes(reinterpret_cast<const T*>(from) + first, count, T(0));
    });
  if (direct && g.source.cols <= kLanes<T> && g.factor == 1) return gather_short_rows(g);
  if (direct)
    return gather_rows<T>(g, size, [](const char* from, std::ptrdiff_t first, std::ptrdiff_t count, T* to) {
      const T* numbers = reinterpret_cast<const T*>(from) + first;
      for_each_vector<T>(count, [&](std::ptrdiff_t k, std::ptrdiff_t lanes) {
        store_lanes(to + k, load_lanes(numbers + k, lanes, T(0)), lanes);
      });
    });
  const Convert<T> convert_row =
      with_number_type(g.source.type, [](auto tag) { return &convert<T, typename decltype(tag)::Number>; });
  const std::ptrdiff_t from_size = size_of(g.source.type);
  const std::ptrdiff_t* offsets = g.source.offsets;
  if (g.transposed)
    return gather_transposed<T>(g, [&](const char* from, std::ptrdiff_t first, std::ptrdiff_t count) -> Vec<T> {
      T numbers[kLanes<T>] = {};
      if (offsets != nullptr)
        convert_row(from, offsets + first, count, numbers);
      else
        convert_row(from + first * from_size, nullptr, count, numbers);
      return load(numbers);
    });
  gather_rows<T>(g, from_size, [&](const char* from, std::ptrdiff_t first, std::ptrdiff_t count, T* to) {
    if (offsets != nullptr)
      convert_row(from, offsets + first, count, to);
    else
      convert_row(from + first * from_size, nullptr, count, to);
  });
}

}  // namespace lamina::LAMINA_ISA
