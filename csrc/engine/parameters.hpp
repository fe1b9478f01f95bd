// A block: the parameters of one layer, or optimizer state of the same layout.
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
// A dense kernel (in, out) and its bias lie in panels [out / width][in + 1][width], so that the three products of the
// layer read contiguous memory. Each panel's last row is the bias; it exists even if the layer has none. Columns beyond
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

// Copy a row-major tensor into a block of that layout, or out of it.
template <class T>
void pack(const Layout& layout, int tensor, const T* from, T* block);
template <class T>
void unpack(const Layout& layout, int tensor, const T* block, T* to);
// The same for elements part.begin … part.end - 1 of the block alone, whole rows of panels: they lie at `from`.
template <class T>
void unpack_part(const Layout& layout, int tensor, const T* from, Range part, T* to);

template <class T>
class Parameters {
 public:
  explicit Parameters(Layout layout);
  // State for the parameters `owner`, with their layout and their gate.
  explicit Parameters(const Parameters* owner);

  const Layout& layout() const { return layout_; }
  T* data() const { return values_.data(); }
  std::ptrdiff_t size() const { return values_.size(); }

  // Parts of a dense layer's block.
  std::ptrdiff_t panel_stride() const { return (layout_.in() + 1) * kPanelWidth<T>; }
  Panels<T> kernel() const { return {data(), layout_.in(), layout_.out(), panel_stride(), kPanelWidth<T>}; }
  T* bias() const { return data() + layout_.in() * kPanelWidth<T>; }

  // A view of a tensor in the block.
  Panels<T> tensor(int tensor) const;

  // Copies a tensor out of the block or into it, row-major.
  void read(int tensor, T* to) const;
  void write(int tensor, const T* from);
  // Whether no value is NaN or infinite.
  bool finite() const;

  // Grows when values change: a copy is valid while the version is the one at which it was read. -1 while a writer
  // holds the gate; it calls changed() before it lets others in.
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
