#include "engine/layers/reshape.hpp"

namespace lamina::engine {
namespace {

// Fills the panels of `to` with the numbers of `from`, both read row by row.
template <class T>
void rearrange(const Panels<T>& from, const Panels<T>& to, Range panels) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t end = std::min(to.cols, panels.end * width);
  for (std::ptrdiff_t i = 0; i < to.rows; ++i)
    for (std::ptrdiff_t j = panels.begin * width; j < end; ++j) {
      const std::ptrdiff_t number = i * to.cols + j, row = number / from.cols, col = number % from.cols;
      to.data[j / width * to.panel_stride + i * to.row_stride + j % width] =
          from.data[col / width * from.panel_stride + row * from.row_stride + col % width];
    }
}

}  // namespace

template <class T>
void Reshape<T>::set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) {
  output.width = width_;
  output.factor = input.width * input.factor / width_;
  this->need_dx = trained_below;
}

template <class T>
void Reshape<T>::forward(Pass<T>& pass, Range, Range panels) const {
  rearrange(pass.tape[this->at].value, pass.tape[this->at + 1].value, panels);
}

template <class T>
std::ptrdiff_t Reshape<T>::backward_units(const Tape<T>& tape) const {
  return panel_count(tape[this->at].value.cols, kPanelWidth<T>);
}

template <class T>
void Reshape<T>::backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const {
  if (!this->need_dx) return;
  const Panels<T>& dx = pass.tape[this->at].gradient;
  rearrange(pass.tape[this->at + 1].gradient, dx, units);
  if (below != nullptr) below->finish_gradient(pass, {0, dx.rows}, units);
}

template class Reshape<float>;
template class Reshape<double>;

}  // namespace lamina::engine
