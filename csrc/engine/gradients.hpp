// Where the gradients of parameters go: into the parameters at once, or into memory first.
#pragma once

#include <algorithm>

#include "core/kernel_table.hpp"
#include "engine/parameters.hpp"
#include "engine/tape.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

// Rows of a batch whose gradients are one sum each; the sums are added as a binary tree. A function of the batch
// alone, so that the gradient's bits do not depend on schedule or threads.
constexpr std::ptrdiff_t kGradientRows = 128;
constexpr std::ptrdiff_t kGradientGrain = 32;

inline std::ptrdiff_t gradient_segments(std::ptrdiff_t rows) {
  return rows <= kGradientRows ? 1 : (rows + kGradientRows - 1) / kGradientRows;
}
// Segments are of one size, at most kGradientRows; the last may be shorter.
inline std::ptrdiff_t gradient_segment_begin(std::ptrdiff_t rows, std::ptrdiff_t segment, std::ptrdiff_t segments) {
  const std::ptrdiff_t even = (rows + segments - 1) / segments;
  return std::min(rows, segment * ((even + kGradientGrain - 1) / kGradientGrain * kGradientGrain));
}

// Adds the sums of a batch's segments as a binary tree, in memory for one block.
template <class T>
class BlockSums {
 public:
  static constexpr std::ptrdiff_t kSize = kPanelWidth<T> * kPanelWidth<T>;

  // Calls evaluate(begin, end, out) for every segment of the rows; the result is their sum.
  template <class Evaluate>
  T* sum(std::ptrdiff_t rows, std::ptrdiff_t size, void (*add)(const T*, T*, std::ptrdiff_t), Evaluate&& evaluate) {
    const std::ptrdiff_t segments = gradient_segments(rows);
    int depth = 0;
    for (std::ptrdiff_t s = 0; s < segments; ++s) {
      evaluate(gradient_segment_begin(rows, s, segments), gradient_segment_begin(rows, s + 1, segments),
               levels_[depth++]);
      for (std::ptrdiff_t left = s; left & 1; left >>= 1, --depth) add(levels_[depth - 1], levels_[depth - 2], size);
    }
    for (; depth > 1; --depth) add(levels_[depth - 1], levels_[depth - 2], size);
    return levels_[0];
  }

 private:
  alignas(128) T levels_[32][kSize];
};

// Takes the gradient of one layer, piece by piece.
template <class T>
class GradientSink {
 public:
  // Of layer l. `stored`: gradients are written there in the block's layout, or added to what is there; null: they are
  // applied at once. `zeros`: memory for a whole gradient of a sparse layer, zero before and after, where `stored` is
  // null.
  GradientSink(const Kernels<T>& kernels, const Update<T>& update, std::ptrdiff_t l, T* stored, bool add, T* zeros)
      : kernels_(kernels), update_(update), layer_(update.layer(l)), stored_(stored), zeros_(zeros), add_(add) {}

  // xᵀ dz for a panel of x and panels of dz, the gradient of a dense kernel.
  void dense_kernel(Panels<const T> x, Panels<const T> dz, std::ptrdiff_t x_panel, Range panels) const;
  // The same for a sparse x, and all of its columns.
  void sparse_kernel(const SparseBatch<T>& x, Panels<const T> dz, Range panels) const;
  // Of a tensor that is one row: its columns of a panel, summed over all rows of the batch.
  void column_sums(int tensor, std::ptrdiff_t panel, std::ptrdiff_t cols, T* sums) const;
  // The gradient of all of the block.
  void whole(T* gradients) const;
  // Σ dz over the rows, the gradient of its bias.
  void dense_bias(Panels<const T> dz, Range panels) const;

 private:
  bool trained(int tensor) const { return layer_.rules[static_cast<std::size_t>(tensor)].trained; }
  void announce(std::ptrdiff_t begin, std::ptrdiff_t count) const;
  // Passes on a finished piece of the block.
  void take(int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count) const;

  const Kernels<T>& kernels_;
  const Update<T>& update_;
  const LayerUpdate<T>& layer_;
  T *stored_, *zeros_;
  bool add_;
};

extern template class GradientSink<float>;
extern template class GradientSink<double>;

}  // namespace lamina::engine
