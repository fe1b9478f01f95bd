#include "engine/segments.hpp"

namespace lamina::engine {
namespace {

// Whether `node` is the second of a pair whose first is `before`.
template <class T>
bool completes(const SegmentNode<T>& node, const SegmentNode<T>& before) {
  return (node.index & 1) != 0 && before.level == node.level;
}

template <class T>
void ascend(SegmentNode<T>& node) {
  ++node.level;
  node.index /= 2;
}

}  // namespace

template <class T>
void SegmentSums<T>::clear() {
  for (const SegmentNode<T>& node : nodes_) free_.push_back(node.sums);
  nodes_.clear();
}

template <class T>
Destination<T> SegmentSums<T>::open(std::ptrdiff_t segment) {
  added_ = (segment & 1) != 0 && !nodes_.empty() && nodes_.back().level == 0;
  if (added_) return {.sums = nodes_.back().sums, .add = true};
  if (free_.empty()) {
    buffers_.emplace_back(size_);
    free_.push_back(buffers_.back().data());
  }
  nodes_.push_back({0, segment, free_.back()});
  free_.pop_back();
  return {.sums = nodes_.back().sums};
}

template <class T>
void SegmentSums<T>::close() {
  if (!added_) return;
  ascend(nodes_.back());
  while (nodes_.size() > 1 && completes(nodes_.back(), nodes_[nodes_.size() - 2])) {
    T* done = nodes_.back().sums;
    nodes_.pop_back();
    kernels_.add(done, nodes_.back().sums, size_);
    free_.push_back(done);
    ascend(nodes_.back());
  }
}

template <class T>
void SegmentTree<T>::merge() {
  --depth_;
  kernels_.add(stack_[depth_].sums + range_.begin, stack_[depth_ - 1].sums + range_.begin, range_.size());
}

template <class T>
void SegmentTree<T>::add(const SegmentSums<T>& member) {
  for (const SegmentNode<T>& node : member.nodes()) {
    stack_[depth_++] = node;
    while (depth_ > 1 && completes(stack_[depth_ - 1], stack_[depth_ - 2])) {
      merge();
      ascend(stack_[depth_ - 1]);
    }
  }
}

template <class T>
T* SegmentTree<T>::finish() {
  while (depth_ > 1) merge();
  return stack_[0].sums;
}

template class SegmentSums<float>;
template class SegmentSums<double>;
template class SegmentTree<float>;
template class SegmentTree<double>;

}  // namespace lamina::engine
