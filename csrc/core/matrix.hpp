// Views of memory that they do not own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/numbers.hpp"

namespace lamina {

// begin … end - 1.
struct Range {
  std::ptrdiff_t begin, end;
  [[gnu::always_inline]] constexpr std::ptrdiff_t size() const { return end - begin; }
};

// Row-major: element (i, j) is data[i * stride + j], stride >= cols.
template <class T>
struct Matrix {
  T* data;
  std::ptrdiff_t rows, cols, stride;
};

// A panel is this wide, whatever the instruction set: two cache lines.
constexpr std::ptrdiff_t kPanelBytes = 128;
template <class T>
constexpr std::ptrdiff_t kPanelWidth = kPanelBytes / static_cast<std::ptrdiff_t>(sizeof(T));

// A matrix cut into panels of kPanelWidth columns: element (i, j) is
// data[j / width * panel_stride + i * row_stride + j % width]. Contiguous panels have row_stride == width; a row-major
// matrix is the case panel_stride == width. If rows are read as whole vectors, the last panel is padded.
template <class T>
struct Panels {
  T* data;
  std::ptrdiff_t rows, cols, panel_stride, row_stride;

  operator Panels<const T>() const { return {data, rows, cols, panel_stride, row_stride}; }
};

// The sums of a product are cut into segments of this many terms (kernels/panels.hpp).
constexpr std::ptrdiff_t kSegment = 128;
constexpr std::ptrdiff_t segment_count(std::ptrdiff_t depth) {
  return depth < kSegment ? 1 : (depth + kSegment / 2) / kSegment;
}

constexpr std::ptrdiff_t panel_count(std::ptrdiff_t cols, std::ptrdiff_t width) { return (cols + width - 1) / width; }

// Reads an integer exactly once from memory that other threads may change: the value that is checked is then the one
// that is used.
template <class Whole>
inline std::int64_t read_once(const void* address) {
  Whole value;
  __builtin_memcpy(&value, address, sizeof value);
  auto number = static_cast<std::int64_t>(value);
  asm volatile("" : "+r"(number));  // keeps the compiler from reading the memory again
  return number;
}

// Rows of numbers of any type, read in place: element k of row i is at base + i * row_bytes + offsets[k], or
// + k * size of the type if offsets is null.
struct Rows {
  const void* base;
  std::ptrdiff_t rows, cols, row_bytes;
  const std::ptrdiff_t* offsets = nullptr;
  NumberType type;
};

// Rows of a CSR matrix, read in place. Its indptr, indices and data are starts, columns and values: the entries of row
// i are those from starts[i] to starts[i + 1] - 1.
struct SparseRows {
  const void *starts, *columns, *values;
  bool wide_starts, wide_columns;  // int64, else int32
  NumberType type;                 // of the values
  std::ptrdiff_t rows, cols, entries;
};

// A batch of sparse rows, gathered: the entries of row i are those from starts[i] to starts[i + 1] - 1.
template <class T>
struct SparseBatch {
  std::ptrdiff_t* starts;
  std::int32_t* columns;
  T* values;
  std::ptrdiff_t rows, capacity;  // of entries
};

// Integer class labels of any width, read in place.
struct Labels {
  const void* data;
  std::ptrdiff_t size;
  NumberType type;  // an integer
};

}  // namespace lamina
