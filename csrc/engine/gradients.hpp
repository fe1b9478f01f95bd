// The sink of a layer's gradients, which applies them to the parameters at once or stores them.
#pragma once

#include <algorithm>

#include "core/kernel_table.hpp"
#include "core/workspace.hpp"
#include "engine/parameters.hpp"
#include "engine/tape.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

// The order of the sums in a gradient. A batch is cut into segments of at most kGradientRows rows; the chunked schedule
// distributes these segments. If a row has several lines, the lines of a segment are cut again, into parts of at most
// kGradientRows lines. A part is one chain of additions; the parts of a segment are added as a binary tree, and so are
// the segments. This order depends on the numbers of rows and lines alone, so a gradient's bits depend neither on the
// schedule nor on the threads.
constexpr std::ptrdiff_t kGradientRows = 128;
constexpr std::ptrdiff_t kGradientGrain = 32;

inline std::ptrdiff_t gradient_segments(std::ptrdiff_t rows) {
  return rows <= kGradientRows ? 1 : (rows + kGradientRows - 1) / kGradientRows;
}
// All segments have one size, at most kGradientRows; the last may be shorter.
inline std::ptrdiff_t gradient_segment_begin(std::ptrdiff_t rows, std::ptrdiff_t segment, std::ptrdiff_t segments) {
  const std::ptrdiff_t even = (rows + segments - 1) / segments;
  return std::min(rows, segment * ((even + kGradientGrain - 1) / kGradientGrain * kGradientGrain));
}

// The number of rows of a batch (or of one segment) whose gradients are summed, and of their lines.
struct GradientRows {
  std::ptrdiff_t rows, lines;

  bool is_one_chain() const { return gradient_segments(rows) == 1 && gradient_segments(lines) == 1; }
  // The largest number of partial sums that exist at a time.
  int most_sums() const {
    const std::ptrdiff_t segments = gradient_segments(rows);
    const std::ptrdiff_t longest = gradient_segment_begin(rows, 1, segments) * (rows == 0 ? 0 : lines / rows);
    return bits_of(segments) + bits_of(gradient_segments(longest));
  }

 private:
  static int bits_of(std::ptrdiff_t number) {
    int bits = 0;
    for (; number > 0; number >>= 1) ++bits;
    return bits;
  }
};

// Sums vectors of `size` numbers over the lines of a batch, in the order above. The result lies in scratch memory of
// the calling thread and is valid until the thread's next sum.
template <class T>
class BlockSums {
 public:
  using Add = void (*)(const T* from, T* to, std::ptrdiff_t size);

  BlockSums(GradientRows of, std::ptrdiff_t size, Add add)
      : of_(of), size_(size), add_(add), memory_(static_cast<T*>(scratch(Scratch::sums, bytes(of, size)))) {}

  static std::size_t bytes(GradientRows of, std::ptrdiff_t size) {
    return static_cast<std::size_t>(of.most_sums() * stride(size)) * sizeof(T);
  }

  // Calls evaluate(begin, end, out), which writes the sum of lines begin … end - 1, for every part.
  template <class Evaluate>
  T* sum(Evaluate&& evaluate) {
    const std::ptrdiff_t segments = gradient_segments(of_.rows), factor = of_.rows == 0 ? 0 : of_.lines / of_.rows;
    for (std::ptrdiff_t s = 0; s < segments; ++s) {
      const std::ptrdiff_t first = gradient_segment_begin(of_.rows, s, segments) * factor;
      const std::ptrdiff_t lines = gradient_segment_begin(of_.rows, s + 1, segments) * factor - first;
      const std::ptrdiff_t parts = gradient_segments(lines);
      const int below = count_;
      for (std::ptrdiff_t p = 0; p < parts; ++p) {
        evaluate(first + gradient_segment_begin(lines, p, parts), first + gradient_segment_begin(lines, p + 1, parts),
                 level(count_++));
        add_pairs(p);
      }
      while (count_ > below + 1) add_last();
      add_pairs(s);
    }
    while (count_ > 1) add_last();
    return level(0);
  }

 private:
  static std::ptrdiff_t stride(std::ptrdiff_t size) { return panel_count(size, kPanelWidth<T>) * kPanelWidth<T>; }
  T* level(int number) const { return memory_ + number * stride(size_); }
  void add_last() {
    --count_;
    add_(level(count_), level(count_ - 1), size_);
  }
  // Called after sum `index` of its siblings in the tree: adds the pairs that end with it.
  void add_pairs(std::ptrdiff_t index) {
    for (; (index & 1) != 0; index >>= 1) add_last();
  }

  GradientRows of_;
  std::ptrdiff_t size_;
  Add add_;
  T* memory_;
  int count_ = 0;
};

// Takes the gradient of one layer, piece by piece.
template <class T>
class GradientSink {
 public:
  // The sink of layer l, for gradients that are sums over `rows` rows of the batch. `zeros`: memory for the whole
  // gradient of a sparse layer, needed if to.sums is null; it is zero before and after.
  GradientSink(const Kernels<T>& kernels, const Update<T>& update, std::ptrdiff_t l, std::ptrdiff_t rows,
               const Destination<T>& to, T* zeros)
      : kernels_(kernels),
        update_(update),
        layer_(update.layer(l)),
        rows_(rows),
        stored_(to.sums == nullptr ? nullptr : to.sums + update.offset(l)),
        vector_(to.vector),
        zeros_(zeros),
        add_(to.add) {}

  // xᵀ dz for a panel of x and panels of dz, the gradient of a dense kernel.
  void dense_kernel(Panels<const T> x, Panels<const T> dz, std::ptrdiff_t x_panel, Range panels) const;
  // The same for a sparse x and all of its columns.
  void sparse_kernel(const SparseBatch<T>& x, Panels<const T> dz, Range panels) const;
  // The gradient of a tensor with one row, for the columns of one panel: `sums` over all rows of the batch.
  void column_sums(int tensor, std::ptrdiff_t panel, std::ptrdiff_t cols, T* sums) const;
  // The gradient of the whole block, in its layout.
  void whole(T* gradients) const;
  // Σ dz over the rows, the gradient of a dense bias.
  void dense_bias(Panels<const T> dz, Range panels) const;

 private:
  const TensorRule<T>& rule(int tensor) const { return layer_.rules[static_cast<std::size_t>(tensor)]; }
  bool trained(int tensor) const { return rule(tensor).trained; }
  void announce(std::ptrdiff_t begin, std::ptrdiff_t count) const;
  // Stores, writes or applies the gradient of elements begin … begin + count - 1 of the block, which belong to one
  // tensor.
  void take(int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count) const;

  const Kernels<T>& kernels_;
  const Update<T>& update_;
  const LayerUpdate<T>& layer_;
  std::ptrdiff_t rows_;
  T *stored_, *vector_, *zeros_;
  bool add_;
};

extern template class GradientSink<float>;
extern template class GradientSink<double>;

}  // namespace lamina::engine
