#include "engine/parameters.hpp"

#include <algorithm>
#include <cstring>

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

// Calls copy(index in the block, index in the row-major tensor, count) for each contiguous run of a tensor.
template <class T, class Copy>
void for_each_run(const Layout& layout, int tensor, Copy&& copy) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const auto index = static_cast<std::size_t>(tensor);
  const Layout::Tensor& shape = layout.tensors[index];
  const std::ptrdiff_t begin = begin_of(layout, index, width);
  if (!layout.dense) return copy(begin, std::ptrdiff_t{0}, shape.size());
  const std::ptrdiff_t stride = (layout.in() + 1) * width;
  for (std::ptrdiff_t column = 0; column < shape.cols; column += width)
    for (std::ptrdiff_t row = 0; row < shape.rows; ++row)
      copy(column / width * stride + begin + row * width, row * shape.cols + column,
           std::min(width, shape.cols - column));
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
  for_each_run<T>(layout, tensor, [&](std::ptrdiff_t place, std::ptrdiff_t element, std::ptrdiff_t count) {
    std::memcpy(block + place, from + element, static_cast<std::size_t>(count) * sizeof(T));
  });
}

template <class T>
void unpack(const Layout& layout, int tensor, const T* block, T* to) {
  for_each_run<T>(layout, tensor, [&](std::ptrdiff_t place, std::ptrdiff_t element, std::ptrdiff_t count) {
    std::memcpy(to + element, block + place, static_cast<std::size_t>(count) * sizeof(T));
  });
}

template <class T>
void Parameters<T>::read(int tensor, T* to) const {
  unpack(layout_, tensor, data(), to);
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
template class Parameters<float>;
template class Parameters<double>;

}  // namespace lamina::engine
