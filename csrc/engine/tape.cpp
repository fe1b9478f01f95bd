#include "engine/tape.hpp"

namespace lamina::engine {
namespace {

template <class T>
std::ptrdiff_t padded(std::ptrdiff_t size) {
  return panel_count(size, kPanelWidth<T>) * kPanelWidth<T>;
}

}  // namespace

template <class T>
Tape<T>::Tape(const std::vector<BoundaryPlan>& plan, std::ptrdiff_t capacity, bool training)
    : plan_(plan), memory_(plan.size()), views_(plan.size()), capacity_(capacity) {
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::ptrdiff_t size = padded<T>(capacity * plan[i].factor) * padded<T>(plan[i].width);
    if (!plan[i].sparse && (training || i + 1 < plan.size())) memory_[i].value = Buffer<T>(size);
    if (!training) continue;
    if (plan[i].row_notes > 0) memory_[i].row_notes = Buffer<T>(plan[i].row_notes * capacity * plan[i].factor);
    if (plan[i].column_notes > 0) memory_[i].column_notes = Buffer<T>(plan[i].column_notes * padded<T>(plan[i].width));
    if (plan[i].pre) memory_[i].pre = Buffer<T>(size);
    if (plan[i].has_gradient) memory_[i].gradient = Buffer<T>(size);
    if (plan[i].has_gradient && plan[i].row_major && plan[i].in_panels) memory_[i].in_panels = Buffer<T>(size);
    if (plan[i].has_gradient && plan[i].transposed) memory_[i].transposed = Buffer<T>(size);
  }
}

template <class T>
void Tape<T>::reserve_entries(std::ptrdiff_t entries) {
  if (starts_.size() != 0 && entries <= columns_.size()) return;
  starts_ = Buffer<std::ptrdiff_t>(capacity_ * plan_[0].factor + 1);
  columns_ = Buffer<std::int32_t>(entries);
  entry_values_ = Buffer<T>(entries);
  rows_ = -1;
}

template <class T>
void Tape<T>::set_rows(std::ptrdiff_t rows) {
  rows_ = rows;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const std::ptrdiff_t n = rows * plan_[i].factor, cols = plan_[i].width;
    const auto view = [&](const Buffer<T>& buffer) -> Panels<T> {
      if (plan_[i].row_major) return {buffer.data(), n, cols, width, padded<T>(cols)};
      return {buffer.data(), n, cols, padded<T>(n) * width, width};
    };
    const Memory& memory = memory_[i];
    views_[i] = {view(memory.value),
                 view(memory.pre),
                 view(memory.gradient),
                 {memory.transposed.data(), cols, n, cols * width, width},
                 {memory.in_panels.data(), n, cols, padded<T>(n) * width, width},
                 memory.row_notes.data(),
                 memory.column_notes.data(),
                 {}};
    if (plan_[i].sparse)
      views_[i].entries = {starts_.data(), columns_.data(), entry_values_.data(), n, columns_.size()};
  }
}

template <class T>
void Tape<T>::reserve_input(const Tape& other) {
  if (capacity_ >= other.capacity_) return;
  const BoundaryPlan& input = other.plan_[0];
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
