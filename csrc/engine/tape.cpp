#include "engine/tape.hpp"

namespace lamina::engine {
namespace {

template <class T>
std::ptrdiff_t padded(std::ptrdiff_t size) {
  return panel_count(size, kPanelWidth<T>) * kPanelWidth<T>;
}

}  // namespace

template <class T>
Tape<T>::Tape(const std::vector<BoundaryShape>& boundaries, std::ptrdiff_t capacity, bool training)
    : boundaries_(boundaries), memory_(boundaries.size()), views_(boundaries.size()), capacity_(capacity) {
  for (std::size_t i = 0; i < boundaries.size(); ++i) {
    const std::ptrdiff_t size = padded<T>(capacity * boundaries[i].factor) * padded<T>(boundaries[i].width);
    if (!boundaries[i].sparse && (training || i + 1 < boundaries.size())) memory_[i].value = Buffer<T>(size);
    if (!training) continue;
    if (boundaries[i].row_notes > 0)
      memory_[i].row_notes = Buffer<T>(boundaries[i].row_notes * capacity * boundaries[i].factor);
    if (boundaries[i].column_notes > 0)
      memory_[i].column_notes = Buffer<T>(boundaries[i].column_notes * padded<T>(boundaries[i].width));
    if (boundaries[i].pre) memory_[i].pre = Buffer<T>(size);
    if (boundaries[i].has_gradient) memory_[i].gradient = Buffer<T>(size);
    if (boundaries[i].has_gradient && boundaries[i].row_major && boundaries[i].in_panels)
      memory_[i].in_panels = Buffer<T>(size);
    if (boundaries[i].has_gradient && boundaries[i].transposed) memory_[i].transposed = Buffer<T>(size);
  }
}

template <class T>
void Tape<T>::reserve_entries(std::ptrdiff_t entries) {
  if (starts_.size() != 0 && entries <= columns_.size()) return;
  starts_ = Buffer<std::ptrdiff_t>(capacity_ * boundaries_[0].factor + 1);
  columns_ = Buffer<std::int32_t>(entries);
  entry_values_ = Buffer<T>(entries);
  rows_ = -1;
}

template <class T>
void Tape<T>::set_rows(std::ptrdiff_t rows) {
  rows_ = rows;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::size_t i = 0; i < boundaries_.size(); ++i) {
    const std::ptrdiff_t n = rows * boundaries_[i].factor, cols = boundaries_[i].width;
    const auto view = [&](const Buffer<T>& buffer) -> Panels<T> {
      if (boundaries_[i].row_major) return {buffer.data(), n, cols, width, padded<T>(cols)};
      return {buffer.data(), n, cols, padded<T>(n) * width, width};
    };
    const Memory& memory = memory_[i];
    views_[i] = {.value = view(memory.value),
                 .pre = view(memory.pre),
                 .gradient = view(memory.gradient),
                 .transposed = {memory.transposed.data(), cols, n, cols * width, width},
                 .in_panels = {memory.in_panels.data(), n, cols, padded<T>(n) * width, width},
                 .row_notes = memory.row_notes.data(),
                 .column_notes = memory.column_notes.data(),
                 .entries = {}};
    if (boundaries_[i].sparse)
      views_[i].entries = {starts_.data(), columns_.data(), entry_values_.data(), n, columns_.size()};
  }
}

template <class T>
void Tape<T>::reserve_input(const Tape& other) {
  if (capacity_ >= other.capacity_) return;
  const BoundaryShape& input = other.boundaries_[0];
  capacity_ = other.capacity_;
  memory_.resize(1);
  memory_[0].value = Buffer<T>(padded<T>(capacity_ * input.factor) * padded<T>(input.width));
}

template <class T>
void Tape<T>::follow(const Tape& other) {
  rows_ = other.rows_;
  views_ = other.views_;
  views_[0].value.data = memory_[0].value.data();
}

template class Tape<float>;
template class Tape<double>;

}  // namespace lamina::engine
