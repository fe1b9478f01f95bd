#include "engine/narrow.hpp"

#include <algorithm>

namespace lamina::engine {
namespace {

// Rows of the panels of a boundary: its columns and the ones, up to the number that narrow_gradient reads.
std::ptrdiff_t padded_columns(std::ptrdiff_t width) {
  constexpr std::ptrdiff_t together = 4;
  return (width + together) / together * together;
}

// The distance of the rows of the row-major output: whole vectors of every instruction set.
template <class T>
std::ptrdiff_t output_stride(std::ptrdiff_t width) {
  constexpr std::ptrdiff_t line = 64 / static_cast<std::ptrdiff_t>(sizeof(T));
  return (width + line - 1) / line * line;
}

}  // namespace

template <class T>
NarrowTape<T>::NarrowTape(const std::vector<BoundaryShape>& boundaries, std::ptrdiff_t capacity, bool training)
    : memory_(boundaries.size()), views_(boundaries.size()), capacity_(capacity) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t panels = panel_count(capacity, width);
  for (std::size_t i = 0; i < boundaries.size(); ++i) {
    widths_.push_back(boundaries[i].width);
    const std::ptrdiff_t panel = padded_columns(widths_[i]) * width;
    memory_[i].value = Buffer<T>(panels * panel);
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      T* ones = memory_[i].value.data() + p * panel + widths_[i] * width;
      std::fill(ones, ones + width, T(1));
    }
    if (!training) continue;
    if (boundaries[i].pre) memory_[i].pre = Buffer<T>(panels * panel);
    if (boundaries[i].has_gradient) memory_[i].gradient = Buffer<T>(panels * panel);
  }
  const std::ptrdiff_t output = panels * width * output_stride<T>(widths_.back());
  output_value_ = Buffer<T>(output);
  if (training) output_gradient_ = Buffer<T>(output);
}

template <class T>
void NarrowTape<T>::set_rows(std::ptrdiff_t rows) {
  rows_ = rows;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::size_t i = 0; i < views_.size(); ++i) {
    const std::ptrdiff_t columns = widths_[i], panel = padded_columns(columns) * width;
    const auto view = [&](const Buffer<T>& buffer) -> Panels<T> {
      return {buffer.data(), columns, rows, panel, width};
    };
    views_[i] = {view(memory_[i].value), view(memory_[i].pre), view(memory_[i].gradient)};
  }
  const std::ptrdiff_t columns = widths_.back(), stride = output_stride<T>(columns);
  output_.value = {output_value_.data(), rows, columns, width, stride};
  output_.gradient = {output_gradient_.data(), rows, columns, width, stride};
}

template <class T>
void NarrowTape<T>::read_output(const Kernels<T>& kernels) const {
  const Panels<T>& value = views_.back().value;
  kernels.panel_transpose({.from = value, .to = output_.value, .rows = {0, value.rows}, .columns = {0, value.cols}});
}

template <class T>
void NarrowTape<T>::write_gradient(const Kernels<T>& kernels) const {
  const Panels<T>& from = output_.gradient;
  kernels.panel_transpose(
      {.from = from, .to = views_.back().gradient, .rows = {0, from.rows}, .columns = {0, from.cols}});
}

template class NarrowTape<float>;
template class NarrowTape<double>;

}  // namespace lamina::engine
