#include "engine/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/dispatch.hpp"

namespace lamina::engine {
namespace {

template <class T>
std::ptrdiff_t block_size(const Layout& layout) {
  if (layout.dense) return panel_count(layout.out(), kPanelWidth<T>) * (layout.in() + 1) * kPanelWidth<T>;
  std::ptrdiff_t size = 0;
  for (const Layout::Tensor& tensor : layout.tensors) size += tensor.size();
  return size;
}

// Where a tensor begins in a block.
std::ptrdiff_t begin_of(const Layout& layout, std::size_t tensor, std::ptrdiff_t panel_width) {
  if (layout.dense) return tensor == 0 ? 0 : layout.in() * panel_width;
  std::ptrdiff_t begin = 0;
  for (std::size_t i = 0; i < tensor; ++i) begin += layout.tensors[i].size();
  return begin;
}

// Calls copy(index in the block, index in the row-major tensor, count) for each contiguous run of a tensor within a
// part of the block.
template <class T, class Copy>
void for_each_run(const Layout& layout, int tensor, Range part, Copy&& copy) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const auto index = static_cast<std::size_t>(tensor);
  const Layout::Tensor& shape = layout.tensors[index];
  const std::ptrdiff_t begin = begin_of(layout, index, width), size = layout.dense ? shape.rows * width : shape.size();
  if (!layout.dense) {
    const std::ptrdiff_t first = std::max(part.begin, begin), last = std::min(part.end, begin + size);
    return copy(first, first - begin, last - first);
  }
  const std::ptrdiff_t stride = (layout.in() + 1) * width;
  for (std::ptrdiff_t panel = part.begin / stride; panel * width < shape.cols && panel * stride < part.end; ++panel) {
    const std::ptrdiff_t column = panel * width, count = std::min(width, shape.cols - column);
    const std::ptrdiff_t first = panel * stride + begin;
    const std::ptrdiff_t from = std::max(part.begin, first), to = std::min(part.end, first + size);
    for (std::ptrdiff_t place = from; place < to; place += width)
      copy(place, (place - first) / width * shape.cols + column, count);
  }
}

template <class T>
void copy_run(const T* from, T* to, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  if (count == width)
    std::memcpy(to, from, kPanelBytes);
  else
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
}

}  // namespace

bool Layout::operator==(const Layout& other) const {
  return dense == other.dense && tensors.size() == other.tensors.size() &&
         std::equal(tensors.begin(), tensors.end(), other.tensors.begin(),
                    [](const Tensor& a, const Tensor& b) { return a.rows == b.rows && a.cols == b.cols; });
}

template <class T>
Parameters<T>::Parameters(Layout layout)
    : layout_(std::move(layout)), values_(block_size<T>(layout_)), gate_(std::make_shared<Gate>()) {}

template <class T>
Parameters<T>::Parameters(const Parameters* owner)
    : layout_(owner->layout_), values_(block_size<T>(layout_)), gate_(owner->gate_) {}

template <class T>
Panels<T> Parameters<T>::tensor(int tensor) const {
  const auto index = static_cast<std::size_t>(tensor);
  const Layout::Tensor& shape = layout_.tensors[index];
  return {data() + begin_of(layout_, index, kPanelWidth<T>), shape.rows, shape.cols,
          layout_.dense ? panel_stride() : kPanelWidth<T>, layout_.dense ? kPanelWidth<T> : shape.cols};
}

template <class T>
void pack(const Layout& layout, int tensor, const T* from, T* block) {
  for_each_run<T>(layout, tensor, {0, block_size<T>(layout)},
                  [&](std::ptrdiff_t place, std::ptrdiff_t element, std::ptrdiff_t count) {
                    copy_run(from + element, block + place, count);
                  });
}

template <class T>
void unpack_part(const Layout& layout, int tensor, const T* from, Range part, T* to) {
  for_each_run<T>(layout, tensor, part, [&](std::ptrdiff_t place, std::ptrdiff_t element, std::ptrdiff_t count) {
    copy_run(from + (place - part.begin), to + element, count);
  });
}

template <class T>
void unpack(const Layout& layout, int tensor, const T* block, T* to) {
  unpack_part(layout, tensor, block, {0, block_size<T>(layout)}, to);
}

template <class T>
void Parameters<T>::read(int tensor, T* to) const {
  unpack(layout_, tensor, data(), to);
}

template <class T>
bool Parameters<T>::finite() const {
  // The sum of squares mostly says it; it may overflow for values that are finite.
  if (std::isfinite(kernels_of<T>(kernels()).penalty(data(), 0, 1, size()))) return true;
  return std::all_of(data(), data() + size(), [](T value) { return std::isfinite(value); });
}

template <class T>
void Parameters<T>::write(int tensor, const T* from) {
  pack(layout_, tensor, from, data());
  changed();
}

template void pack(const Layout&, int, const float*, float*);
template void pack(const Layout&, int, const double*, double*);
template void unpack(const Layout&, int, const float*, float*);
template void unpack(const Layout&, int, const double*, double*);
template void unpack_part(const Layout&, int, const float*, Range, float*);
template void unpack_part(const Layout&, int, const double*, Range, double*);
template class Parameters<float>;
template class Parameters<double>;

}  // namespace lamina::engine
