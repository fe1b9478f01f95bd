// The values between layers of one forward pass, and their gradients of the backward pass.
#pragma once

#include <algorithm>
#include <vector>

#include "core/matrix.hpp"
#include "core/memory.hpp"

namespace lamina::engine {

// Part `index` of `count` nearly equal parts of 0 … items - 1, beginning at multiples of `grain`.
inline Range share_of(std::ptrdiff_t items, std::ptrdiff_t grain, int index, int count) {
  const std::ptrdiff_t grains = (items + grain - 1) / grain;
  return {std::min(items, grains * index / count * grain), std::min(items, grains * (index + 1) / count * grain)};
}

// A boundary holds the values between two layers: boundary 0 is the input, boundary l the output of layer l - 1.
struct BoundaryShape {
  std::ptrdiff_t width;        // columns
  std::ptrdiff_t factor;       // rows for each row of the batch
  bool row_major = false;      // else in panels
  bool pre = false;            // the pre-activation is kept too
  bool transposed = false;     // the layer below reads the gradient's transpose
  bool has_gradient = true;    // something below is trained
  bool sparse = false;         // entries instead of values
  std::ptrdiff_t entries = 1;  // of indices: in each row
  bool in_panels = false;      // if row_major: the finished gradient is kept in panels too
  int row_notes = 0;           // numbers for each row that the layer below saves in forward for backward
  int column_notes = 0;        // the same for each column
};

template <class T>
struct Boundary {
  Panels<T> value, pre, gradient, transposed;
  Panels<T> in_panels;  // the gradient again, or data null
  T* row_notes;         // [note][row]
  T* column_notes;      // [note][padded column]
  SparseBatch<T> entries;
};

// Memory for up to `capacity` rows of a batch.
template <class T>
class Tape {
 public:
  Tape() = default;
  // Without `training` allocates values only, except those of the output, whose memory is the caller's.
  [[gnu::cold]] Tape(const std::vector<BoundaryShape>& boundaries, std::ptrdiff_t capacity, bool training);

  // Allocates memory for that many entries of a sparse input.
  void reserve_entries(std::ptrdiff_t entries);
  // Sets the views of the boundaries for a number of rows, at most the capacity.
  void set_rows(std::ptrdiff_t rows);

  // For a tape that shares `other`'s memory except for boundary 0: reserve_input() allocates the memory of boundary 0,
  // and follow() copies the views of the other boundaries after other.set_rows().
  void reserve_input(const Tape& other);
  void follow(const Tape& other);

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t capacity() const { return capacity_; }
  Boundary<T>& operator[](std::ptrdiff_t i) { return views_[static_cast<std::size_t>(i)]; }
  const Boundary<T>& operator[](std::ptrdiff_t i) const { return views_[static_cast<std::size_t>(i)]; }

 private:
  struct Memory {
    Buffer<T> value, pre, gradient, transposed, in_panels, row_notes, column_notes;
  };
  std::vector<BoundaryShape> boundaries_;
  std::vector<Memory> memory_;
  Buffer<std::ptrdiff_t> starts_;  // of a sparse input
  Buffer<std::int32_t> columns_;
  Buffer<T> entry_values_;
  std::vector<Boundary<T>> views_;
  std::ptrdiff_t capacity_ = 0, rows_ = -1;
};

extern template class Tape<float>;
extern template class Tape<double>;

}  // namespace lamina::engine
