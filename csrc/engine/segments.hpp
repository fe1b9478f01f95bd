// The gradients of a batch's segments of rows, added as a binary tree: segment 2 i to segment 2 i + 1, pairs to pairs,
// and so on, whoever computed them.
#pragma once

#include <vector>

#include "core/dispatch.hpp"
#include "core/memory.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// A complete subtree: segments index << level … ((index + 1) << level) - 1.
template <class T>
struct SegmentNode {
  int level;
  std::ptrdiff_t index;
  T* sums;
};

// What one member of a team adds up: the complete subtrees of its run of segments.
template <class T>
class SegmentSums {
 public:
  struct Place {
    T* sums;
    bool add;
  };

  SegmentSums(const Kernels<T>& kernels, std::ptrdiff_t size) : kernels_(kernels), size_(size) {}

  void clear();
  // Where the gradient of the next segment goes; the second of a pair is added to the first.
  Place open(std::ptrdiff_t segment);
  // That gradient is there.
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

// Adds what all members hold, in the order of their segments, for a range of the gradient.
template <class T>
class SegmentTree {
 public:
  SegmentTree(const Kernels<T>& kernels, Range range) : kernels_(kernels), range_(range) {}

  void add(const SegmentSums<T>& member);
  // The sums, in some member's memory.
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
