// The parameters of one layer, or as much state beside them, in one block.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/matrix.hpp"
#include "core/memory.hpp"
#include "engine/gate.hpp"

namespace lamina::engine {

// How tensors lie in a block.
//
// A dense kernel (in, out) and its bias lie in panels [out / width][in + 1][width], the bias as each panel's last row,
// there also where the layer has none: the three products of the layer then read contiguous memory. Columns beyond
// `out` are padding, and zero. Other tensors lie one after the other, row-major.
struct Layout {
  struct Tensor {
    std::ptrdiff_t rows, cols;
    std::ptrdiff_t size() const { return rows * cols; }
  };
  bool dense;
  std::vector<Tensor> tensors;

  std::ptrdiff_t in() const { return tensors[0].rows; }
  std::ptrdiff_t out() const { return tensors[0].cols; }
  bool has_bias() const { return tensors.size() > 1; }
  bool operator==(const Layout& other) const;
};

// Copies a tensor, row-major, into the memory of a block of that layout, or out of it.
template <class T>
void pack(const Layout& layout, int tensor, const T* from, T* block);
template <class T>
void unpack(const Layout& layout, int tensor, const T* block, T* to);

template <class T>
class Parameters {
 public:
  explicit Parameters(Layout layout);
  // State beside other parameters, in their layout: whoever may touch those may touch it.
  explicit Parameters(const Parameters* owner);

  const Layout& layout() const { return layout_; }
  T* data() const { return values_.data(); }
  std::ptrdiff_t size() const { return values_.size(); }

  // A dense layer's parts.
  std::ptrdiff_t panel_stride() const { return (layout_.in() + 1) * kPanelWidth<T>; }
  Panels<T> kernel() const { return {data(), layout_.in(), layout_.out(), panel_stride(), kPanelWidth<T>}; }
  T* bias() const { return data() + layout_.in() * kPanelWidth<T>; }

  // A tensor where it lies.
  Panels<T> tensor(int tensor) const;

  // Copies a tensor out of the block or into it, row-major.
  void read(int tensor, T* to) const;
  void write(int tensor, const T* from);

  // Grows whenever values change: copies that were read at a version are good until it changes. -1 while a writer is at
  // work, who tells of its changes when it lets others in.
  std::int64_t version() const { return gate_->has_writer() ? -1 : version_.load(std::memory_order_acquire); }
  void changed() { version_.fetch_add(1, std::memory_order_release); }

  Gate& gate() const { return *gate_; }

 private:
  Layout layout_;
  Buffer<T> values_;
  std::atomic<std::int64_t> version_{0};
  std::shared_ptr<Gate> gate_;
};

extern template class Parameters<float>;
extern template class Parameters<double>;

}  // namespace lamina::engine
