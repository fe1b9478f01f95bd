#include "engine/parameters.hpp"

#include <algorithm>
#include <cstring>

namespace lamina::engine {
namespace {

template <class T>
std::ptrdiff_t block_size(const Layout& layout) {
  if (layout.dense) return panel_count(layout.out(), kPanelWidth<T>) * (layout.in() + 1) * kPanelWidth<T>;
  std::ptrdiff_t size = 0;
  for (const Layout::Tensor& tensor : layout.tensors) size += tensor.rows * tensor.cols;
  return size;
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
  const Layout::Tensor& shape = layout_.tensors[static_cast<std::size_t>(tensor)];
  if (layout_.dense) return {tensor == 0 ? data() : bias(), shape.rows, shape.cols, panel_stride(), kPanelWidth<T>};
  T* begin = data();
  for (int i = 0; i < tensor; ++i)
    begin += layout_.tensors[static_cast<std::size_t>(i)].rows * layout_.tensors[static_cast<std::size_t>(i)].cols;
  return {begin, shape.rows, shape.cols, kPanelWidth<T>, shape.cols};
}

template <class T>
template <class Copy>
void Parameters<T>::for_each_run(int tensor, Copy&& copy) const {
  const Layout::Tensor& shape = layout_.tensors[static_cast<std::size_t>(tensor)];
  if (!layout_.dense) return copy(this->tensor(tensor).data - data(), std::ptrdiff_t{0}, shape.rows * shape.cols);
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t first = tensor == 0 ? 0 : layout_.in();
  for (std::ptrdiff_t column = 0; column < shape.cols; column += width)
    for (std::ptrdiff_t row = 0; row < shape.rows; ++row)
      copy(column / width * panel_stride() + (first + row) * width, row * shape.cols + column,
           std::min(width, shape.cols - column));
}

template <class T>
void Parameters<T>::read(int tensor, T* to) const {
  for_each_run(tensor, [&](std::ptrdiff_t place, std::ptrdiff_t element, std::ptrdiff_t count) {
    std::memcpy(to + element, data() + place, static_cast<std::size_t>(count) * sizeof(T));
  });
}

template <class T>
void Parameters<T>::write(int tensor, const T* from) {
  for_each_run(tensor, [&](std::ptrdiff_t place, std::ptrdiff_t element, std::ptrdiff_t count) {
    std::memcpy(data() + place, from + element, static_cast<std::size_t>(count) * sizeof(T));
  });
  changed();
}

template class Parameters<float>;
template class Parameters<double>;

}  // namespace lamina::engine
