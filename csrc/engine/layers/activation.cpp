#include "engine/layers/activation.hpp"

namespace lamina::engine {

template <class T>
void Activation<T>::set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) {
  output.width = input.width;
  output.factor = input.factor;
  if (rowwise_) input.row_major = output.row_major = true;
  this->need_dx = trained_below;
  work_ = 8 * static_cast<double>(input.width * input.factor);
}

template <class T>
void Activation<T>::forward(Pass<T>& pass, Range rows, Range panels) const {
  const Panels<T>&from = pass.tape[this->at].value, &to = pass.tape[this->at + 1].value;
  if (!rowwise_) return part_.forward(pass.kernels, from, to, rows, panels);
  part_.kernel(pass.kernels)
      .forward({from.data + rows.begin * from.row_stride, rows.size(), from.cols, from.row_stride},
               {to.data + rows.begin * to.row_stride, rows.size(), to.cols, to.row_stride}, part_.alpha);
}

// A unit is a panel's width of rows.
template <class T>
std::ptrdiff_t Activation<T>::backward_units(const Tape<T>& tape) const {
  return panel_count(tape[this->at].value.rows, kPanelWidth<T>);
}

template <class T>
void Activation<T>::backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const {
  if (!this->need_dx) return;
  const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
  const Range rows{units.begin * kPanelWidth<T>, std::min(input.value.rows, units.end * kPanelWidth<T>)};
  const Range panels{0, panel_count(input.value.cols, kPanelWidth<T>)};
  const Panels<T>& v = part_.from_input(pass.kernels) ? input.value : output.value;
  if (rowwise_) {
    const auto rows_of = [&](const Panels<T>& m) -> Matrix<T> {
      return {m.data + rows.begin * m.row_stride, rows.size(), m.cols, m.row_stride};
    };
    const Matrix<T> value = rows_of(v), dy = rows_of(output.gradient);
    part_.kernel(pass.kernels)
        .backward({value.data, value.rows, value.cols, value.stride}, {dy.data, dy.rows, dy.cols, dy.stride},
                  rows_of(input.gradient), part_.alpha);
  } else {
    part_.backward(pass.kernels, output, v, input.gradient, rows, panels);
  }
  if (below != nullptr) below->finish_gradient(pass, rows, panels);
}

template class Activation<float>;
template class Activation<double>;

}  // namespace lamina::engine
