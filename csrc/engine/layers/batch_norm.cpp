#include "engine/layers/batch_norm.hpp"

#include <cmath>

namespace lamina::engine {

// Values that forward saves for each column. For backward, of the batch or running: the mean, 1 / deviation, and the
// rounding error of the mean in deviations. For the update of the running moments: the corrected mean and the variance.
constexpr int kMoments = 5;

template <class T>
void BatchNorm<T>::set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) {
  ElementwiseLayer<T>::set_boundaries(input, output, trained_below);
  output.column_notes = kMoments;
}

// y = γ (x - mean - rest) rate + β as one multiply-add: (x - mean) scale + shift. `rest` is the rounding error of the
// mean. For columns far from 0, x scale + shift would lose digits.
template <class T>
void BatchNorm<T>::forward(Pass<T>& pass, Range rows, Range panels) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
  const std::ptrdiff_t cols = input.value.cols, padded = panel_count(cols, width) * width;
  const T *gamma = tensor(tensors_.gamma), *beta = tensor(tensors_.beta);
  const T *running_mean = tensor(tensors_.mean), *running_variance = tensor(tensors_.variance);
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::ptrdiff_t first = panel * width, count = std::min(width, cols - first);
    T mean[width] = {}, rest[width] = {}, variance[width] = {}, rate[width] = {}, scale[width] = {}, shift[width] = {};
    if (by_batch(pass)) {
      pass.kernels.column_moments(input.value, panel, mean, rest, variance);
    } else {
      std::copy(running_mean + first, running_mean + first + count, mean);
      std::copy(running_variance + first, running_variance + first + count, variance);
    }
    for (std::ptrdiff_t j = 0; j < count; ++j) {
      const T deviation = std::sqrt(variance[j] + epsilon_);
      rate[j] = T(1) / (deviation < least_ ? least_ : deviation);
      scale[j] = gamma == nullptr ? rate[j] : rate[j] * gamma[first + j];
      shift[j] = (beta == nullptr ? T(0) : beta[first + j]) - rest[j] * scale[j];
    }
    T whole[width] = {};
    for (std::ptrdiff_t j = 0; j < count; ++j) whole[j] = mean[j] + rest[j];
    if (pass.training) {
      T* notes = output.column_notes + first;
      std::copy(mean, mean + count, notes);
      std::copy(rate, rate + count, notes + padded);
      for (std::ptrdiff_t j = 0; j < count; ++j) notes[2 * padded + j] = rest[j] * rate[j];
      std::copy(whole, whole + count, notes + 3 * padded);
      std::copy(variance, variance + count, notes + 4 * padded);
    } else if (by_batch(pass)) {
      take_in(whole, variance, first, count);
    }
    pass.kernels.scale_columns({.x = input.value,
                                .y = output.value,
                                .centre = mean,
                                .scale = scale,
                                .shift = shift,
                                .rows = rows,
                                .panels = {panel, panel + 1},
                                .first = first});
  }
}

template <class T>
void BatchNorm<T>::take_in(const T* mean, const T* variance, std::ptrdiff_t first, std::ptrdiff_t count) const {
  T *running_mean = tensor(tensors_.mean) + first, *running_variance = tensor(tensors_.variance) + first;
  for (std::ptrdiff_t j = 0; j < count; ++j) {
    running_mean[j] = running_mean[j] * keep_ + mean[j] * take_;
    running_variance[j] = running_variance[j] * keep_ + variance[j] * take_;
  }
}

template <class T>
void BatchNorm<T>::settle(Pass<T>& pass, Range panels) const {
  if (!by_batch(pass)) return;
  const Boundary<T>& output = pass.tape[this->at + 1];
  const std::ptrdiff_t cols = output.value.cols, padded = panel_count(cols, kPanelWidth<T>) * kPanelWidth<T>;
  const std::ptrdiff_t first = panels.begin * kPanelWidth<T>, end = std::min(cols, panels.end * kPanelWidth<T>);
  const T* notes = output.column_notes + first;
  if (first < end) take_in(notes + 3 * padded, notes + 4 * padded, first, end - first);
}

// A unit is a panel.
template <class T>
std::ptrdiff_t BatchNorm<T>::backward_units(const Tape<T>& tape) const {
  return this->panels_of(tape[this->at].value).end;
}

template <class T>
void BatchNorm<T>::backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
  const std::ptrdiff_t cols = input.value.cols, padded = panel_count(cols, width) * width, rows = input.value.rows;
  const T* gamma = tensor(tensors_.gamma);
  for (std::ptrdiff_t panel = units.begin; panel < units.end; ++panel) {
    const T *mean = output.column_notes + panel * width, *rate = mean + padded, *rest = rate + padded;
    NormalizationSums<T> call{
        .x = input.value, .dy = output.gradient, .centre = mean, .rate = rate, .rows = {0, rows}, .panel = panel};
    BlockSums<T> memory({pass.tape.rows(), rows}, 2 * width, pass.kernels.add);
    T* sums = memory.sum([&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
      std::fill(out, out + 2 * width, T(0));
      call.rows.begin = begin;
      call.rows.end = end;
      pass.kernels.normalization_sums(call, out);
    });
    for (std::ptrdiff_t j = 0; j < std::min(width, cols - panel * width); ++j) sums[j] -= rest[j] * sums[width + j];
    // dx comes first: it reads γ, which the sink may update.
    if (this->need_dx) {
      if (by_batch(pass)) {
        pass.kernels.column_normalization_backward(call, gamma, rest, sums, input.gradient);
      } else {
        T scale[width] = {};
        for (std::ptrdiff_t j = 0; j < std::min(width, cols - panel * width); ++j)
          scale[j] = gamma == nullptr ? rate[j] : rate[j] * gamma[panel * width + j];
        pass.kernels.scale_columns({.x = output.gradient,
                                    .y = input.gradient,
                                    .scale = scale,
                                    .rows = {0, rows},
                                    .panels = {panel, panel + 1},
                                    .first = panel * width});
      }
      if (below != nullptr) below->finish_gradient(pass, {0, rows}, {panel, panel + 1});
    }
    if (sink == nullptr) continue;
    if (tensors_.gamma >= 0) sink->column_sums(tensors_.gamma, panel, cols, sums);
    if (tensors_.beta >= 0) sink->column_sums(tensors_.beta, panel, cols, sums + width);
  }
}

template class BatchNorm<float>;
template class BatchNorm<double>;

}  // namespace lamina::engine
