#include "engine/layers/row_norm.hpp"

namespace lamina::engine {

template <class T>
void RowNorm<T>::forward(Pass<T>& pass, Range rows, Range) const {
  const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
  const T* gamma = tensor(gamma_);
  T *centre = nullptr, *rate = nullptr;
  if (pass.training) {
    centre = output.row_notes;
    rate = centre + input.value.rows;
    if (gamma != nullptr && rows.begin == 0) std::copy(gamma, gamma + input.value.cols, output.column_notes);
  }
  pass.kernels.row_normalization({.x = this->constant(input.value),
                                  .y = this->matrix(output.value),
                                  .gamma = gamma,
                                  .beta = tensor(beta_),
                                  .centered = centered_,
                                  .epsilon = epsilon_,
                                  .centre = centre,
                                  .rate = rate,
                                  .rows = rows});
}

template <class T>
void RowNorm<T>::backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
  const std::ptrdiff_t blocks = this->row_units(pass.tape, this->at);
  T *centre = output.row_notes, *rate = centre + input.value.rows;
  if (units.begin < blocks && this->need_dx) {
    const Range rows = this->rows_of(input.value, {units.begin, std::min(blocks, units.end)});
    pass.kernels.row_normalization_backward({.x = this->constant(input.value),
                                             .gamma = gamma_ < 0 ? nullptr : output.column_notes,
                                             .centered = centered_,
                                             .epsilon = epsilon_,
                                             .centre = centre,
                                             .rate = rate,
                                             .rows = rows},
                                            this->constant(output.gradient), this->matrix(input.gradient));
    if (below != nullptr) below->finish_gradient(pass, rows, this->panels_of(input.value));
  }
  for (std::ptrdiff_t panel = std::max<std::ptrdiff_t>(0, units.begin - blocks);
       sink != nullptr && panel < units.end - blocks; ++panel) {
    BlockSums<T> memory({pass.tape.rows(), input.value.rows}, 2 * width, pass.kernels.add);
    T* sums = memory.sum([&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
      std::fill(out, out + 2 * width, T(0));
      pass.kernels.normalization_sums({.x = input.value,
                                       .dy = output.gradient,
                                       .by_rows = true,
                                       .centre = centre,
                                       .rate = rate,
                                       .rows = {begin, end},
                                       .panel = panel},
                                      out);
    });
    if (gamma_ >= 0) sink->column_sums(gamma_, panel, input.value.cols, sums);
    if (beta_ >= 0) sink->column_sums(beta_, panel, input.value.cols, sums + width);
  }
}

template class RowNorm<float>;
template class RowNorm<double>;

}  // namespace lamina::engine
