// The tape of a network of narrow layers (kernels/narrow.hpp): values lie transposed, so that vectors run along the
// rows of the batch and few columns need no padding.
#pragma once

#include <vector>

#include "core/kernel_table.hpp"
#include "core/memory.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// The values between two layers. The panels' rows are columns of the layer, their columns rows of the batch.
// Activations read and write whole panels: what lies beyond the last row of the batch is ignored.
template <class T>
struct NarrowBoundary {
  Panels<T> value, pre, gradient;

  // The values, with a row of ones below them for the bias.
  Panels<T> with_ones() const { return {value.data, value.rows + 1, value.cols, value.panel_stride, value.row_stride}; }
};

// Memory for up to `capacity` rows of a batch.
template <class T>
class NarrowTape {
 public:
  NarrowTape() = default;
  // Without `training`, memory for values only.
  [[gnu::cold]] NarrowTape(const std::vector<BoundaryShape>& boundaries, std::ptrdiff_t capacity, bool training);

  void set_rows(std::ptrdiff_t rows);
  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t capacity() const { return capacity_; }
  const NarrowBoundary<T>& operator[](std::ptrdiff_t i) const { return views_[static_cast<std::size_t>(i)]; }

  // The last boundary's value and gradient, row-major, for the head. read_output() fills its value from the tape,
  // write_gradient() the tape's gradient from its own.
  const Boundary<T>& output() const { return output_; }
  void read_output(const Kernels<T>& kernels) const;
  void write_gradient(const Kernels<T>& kernels) const;

 private:
  struct Memory {
    Buffer<T> value, pre, gradient;
  };
  std::vector<std::ptrdiff_t> widths_;
  std::vector<Memory> memory_;
  std::vector<NarrowBoundary<T>> views_;
  Buffer<T> output_value_, output_gradient_;
  Boundary<T> output_{};
  std::ptrdiff_t capacity_ = 0, rows_ = -1;
};

// The arguments of one pass through a narrow layer.
template <class T>
struct NarrowPass {
  const Kernels<T>& kernels;
  const NarrowTape<T>& tape;
  bool training;  // backward will follow
};

extern template class NarrowTape<float>;
extern template class NarrowTape<double>;

}  // namespace lamina::engine
