// Views of memory that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina {

// Row-major: element (i, j) is data[i * stride + j], stride >= cols.
template <class T>
struct Matrix {
  T* data;
  std::ptrdiff_t rows, cols, stride;
};

// Integer class labels of any width, read where they are.
enum class LabelType : std::uint8_t { int8, int16, int32, int64, uint8, uint16, uint32, uint64 };

struct Labels {
  const void* data;
  std::ptrdiff_t size;
  LabelType type;
};

}  // namespace lamina
