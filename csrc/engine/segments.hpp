// Adds the gradients of a batch's segments of rows as a binary tree: segment 2 i and segment 2 i + 1, pairs and pairs,
// and so on. The tree does not depend on which member computed a segment.
#pragma once

#include <vector>

#include "core/dispatch.hpp"
#include "core/memory.hpp"
#include "engine/tape.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

// A complete subtree: segments index << level … ((index + 1) << level) - 1.
template <class T>
struct SegmentNode {
  int level;
  std::ptrdiff_t index;
  T* sums;
};

// The partial sums of one member of a team: the complete subtrees of its range of segments.
template <class T>
class SegmentSums {
 public:
  SegmentSums(const Kernels<T>& kernels, std::ptrdiff_t size) : kernels_(kernels), size_(size) {}

  void clear();
  // Returns the memory for the next segment's gradient; the second of a pair must be added to the first.
  Destination<T> open(std::ptrdiff_t segment);
  // Called when that gradient is complete.
  void close();
  const std::vector<SegmentNode<T>>& nodes() const { return nodes_; }

 private:
  const Kernels<T>& kernels_;
  std::ptrdiff_t size_;
  std::vector<Buffer<T>> buffers_;
  std::vector<T*> free_;
  std::vector<SegmentNode<T>> nodes_;
  bool added_ = false;
};

// Adds the partial sums of all members, in the order of their segments, for a range of the gradient's elements.
template <class T>
class SegmentTree {
 public:
  SegmentTree(const Kernels<T>& kernels, Range range) : kernels_(kernels), range_(range) {}

  void add(const SegmentSums<T>& member);
  // The total, in the memory of one of the members.
  T* finish();

 private:
  void merge();

  const Kernels<T>& kernels_;
  Range range_;
  SegmentNode<T> stack_[64];
  int depth_ = 0;
};

extern template class SegmentSums<float>;
extern template class SegmentSums<double>;
extern template class SegmentTree<float>;
extern template class SegmentTree<double>;

}  // namespace lamina::engine
