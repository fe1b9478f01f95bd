// Losses: the value of each row and its gradient in one pass over the row.
//
// The gradient is that of the reported value times gradient_scale. Neither is divided by the number of rows;
// both are multiplied by the row's sample weight. To add an elementwise loss: write the struct in element_losses.hpp,
// add it to ElementLosses in kernels/table.hpp.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/activations.hpp"
#include "kernels/parallel.hpp"
#include "simd/math.hpp"

namespace lamina::LAMINA_ISA {

template <class T>
struct ValueAndGradient {
  Vec<T> value, gradient;
};

// What Keras keeps probabilities away from 0 and 1 by, and denominators from 0.
template <class T>
constexpr T kEpsilon = T(1e-7);

// What elementwise losses of a row are: the mean over its columns.
struct MeanOfColumns {
  static constexpr bool sums = false;
};

// Mean over the columns of an elementwise loss, or sum where it says so. One column is worked on down the rows.
template <class Loss, class T>
void evaluate_elementwise(const LossArguments<T>& a) {
  const std::ptrdiff_t n = a.predictions.rows, c = a.predictions.cols;
  const bool wants_gradient = a.gradient.data != nullptr;
  if (c == 1 && a.predictions.stride == 1 && a.targets.stride == 1 && (!wants_gradient || a.gradient.stride == 1)) {
    parallel_ranges(n, 4 * kLanes<T>, kElementNanoseconds, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
        const std::ptrdiff_t i = begin + offset;
        const Vec<T> p = load_lanes(a.predictions.data + i, count, T(0));
        ValueAndGradient<T> r =
            Loss::template evaluate<T>(p, load_lanes(a.targets.data + i, count, T(0)), a.parameters);
        if (a.sample_weight != nullptr) {
          const Vec<T> weight = load_lanes(a.sample_weight + i, count, T(0));
          r = {r.value * weight, r.gradient * weight};
        }
        if (wants_gradient) store_lanes(a.gradient.data + i, Vec<T>(r.gradient * a.gradient_scale), count);
        if (a.loss != nullptr) store_lanes(a.loss + i, r.value, count);
      });
    });
    return;
  }
  for_each_row(n, c, [&](std::ptrdiff_t i) {
    const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
    const T share = (a.sample_weight == nullptr ? T(1) : a.sample_weight[i]) / (Loss::sums ? T(1) : static_cast<T>(c));
    const T slope = share * a.gradient_scale;
    Vec<T> sum{};
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> prediction = load_lanes(p + j, count, T(0)), target = load_lanes(t + j, count, T(0));
      const ValueAndGradient<T> r = Loss::template evaluate<T>(prediction, target, a.parameters);
      sum += count == kLanes<T> ? r.value : first_lanes_of<T>(r.value, count);
      if (wants_gradient) store_lanes(a.gradient.data + i * a.gradient.stride + j, Vec<T>(r.gradient * slope), count);
    });
    if (a.loss != nullptr) a.loss[i] = sum_lanes<T>(sum) * share;
  });
}

}  // namespace lamina::LAMINA_ISA
