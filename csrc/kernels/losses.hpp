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

// Losses and gradients of `size` elements that lie together; `sum` receives the sum of the losses, `each` each of them,
// where they are not null. Weights are those of the elements, or null. Not inlined: one copy of each loss's code will
// do.
template <class Loss, class T>
[[gnu::noinline]] void evaluate_run(const LossArguments<T>& a, const T* p, const T* t, T* gradient, std::ptrdiff_t size,
                                    T slope, const T* weights, T* each, T* sum) {
  Vec<T> total{};
  for_each_vector<T>(size, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
    ValueAndGradient<T> r =
        Loss::template evaluate<T>(load_lanes(p + j, count, T(0)), load_lanes(t + j, count, T(0)), a.parameters);
    if (weights != nullptr) {
      const Vec<T> weight = load_lanes(weights + j, count, T(0));
      r = {r.value * weight, r.gradient * weight};
    }
    total += count == kLanes<T> ? r.value : first_lanes_of<T>(r.value, count);
    if (gradient != nullptr) store_lanes(gradient + j, Vec<T>(r.gradient * slope), count);
    if (each != nullptr) store_lanes(each + j, r.value, count);
  });
  if (sum != nullptr) *sum = sum_lanes<T>(total);
}

// Mean over the columns of an elementwise loss, or sum where it says so. One column is worked on down the rows.
template <class Loss, class T>
void evaluate_elementwise(const LossArguments<T>& a) {
  const std::ptrdiff_t n = a.predictions.rows, c = a.predictions.cols;
  const bool wants_gradient = a.gradient.data != nullptr;
  if (c == 1 && a.predictions.stride == 1 && a.targets.stride == 1 && (!wants_gradient || a.gradient.stride == 1)) {
    parallel_ranges(n, 4 * kLanes<T>, kElementNanoseconds, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      evaluate_run<Loss, T>(a, a.predictions.data + begin, a.targets.data + begin,
                            wants_gradient ? a.gradient.data + begin : nullptr, end - begin, a.gradient_scale,
                            a.sample_weight == nullptr ? nullptr : a.sample_weight + begin,
                            a.loss == nullptr ? nullptr : a.loss + begin, nullptr);
    });
    return;
  }
  for_each_row(n, c, [&](std::ptrdiff_t i) {
    const T share = (a.sample_weight == nullptr ? T(1) : a.sample_weight[i]) / (Loss::sums ? T(1) : static_cast<T>(c));
    T sum;
    evaluate_run<Loss, T>(a, a.predictions.data + i * a.predictions.stride, a.targets.data + i * a.targets.stride,
                          wants_gradient ? a.gradient.data + i * a.gradient.stride : nullptr, c,
                          share * a.gradient_scale, nullptr, nullptr, &sum);
    if (a.loss != nullptr) a.loss[i] = sum * share;
  });
}

}  // namespace lamina::LAMINA_ISA
