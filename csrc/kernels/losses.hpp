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

// Rows begin … end - 1 of a single column: its numbers are brought together where they do not lie so.
template <class Loss, class T>
void evaluate_column(const LossArguments<T>& a, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr std::ptrdiff_t block = 128;
  T predictions[block], targets[block], slopes[block];
  const bool wants_gradient = a.gradient.data != nullptr;
  const auto together = [](const Matrix<const T>& m, std::ptrdiff_t first, std::ptrdiff_t rows, T* space) -> const T* {
    if (m.stride == 1) return m.data + first;
    for (std::ptrdiff_t i = 0; i < rows; ++i) space[i] = m.data[(first + i) * m.stride];
    return space;
  };
  for (std::ptrdiff_t first = begin; first < end; first += block) {
    const std::ptrdiff_t rows = smaller(block, end - first);
    evaluate_run<Loss, T>(a, together(a.predictions, first, rows, predictions),
                          together(a.targets, first, rows, targets), wants_gradient ? slopes : nullptr, rows,
                          a.gradient_scale, a.sample_weight == nullptr ? nullptr : a.sample_weight + first,
                          a.loss == nullptr ? nullptr : a.loss + first, nullptr);
    for (std::ptrdiff_t i = 0; wants_gradient && i < rows; ++i)
      a.gradient.data[(first + i) * a.gradient.stride] = slopes[i];
  }
}

// Rows begin … end - 1, none longer than a vector: the sums of as many rows as a vector has lanes are added together.
template <class Loss, class T>
[[gnu::noinline]] void evaluate_short_rows(const LossArguments<T>& a, std::ptrdiff_t begin, std::ptrdiff_t end) {
  const std::ptrdiff_t c = a.predictions.cols;
  const T columns = Loss::sums ? T(1) : static_cast<T>(c);
  for (std::ptrdiff_t first = begin; first < end; first += kLanes<T>) {
    const std::ptrdiff_t rows = smaller(kLanes<T>, end - first);
    const Vec<T> ones = broadcast<T>(T(1));
    const Vec<T> share =
        (a.sample_weight == nullptr ? ones : load_lanes(a.sample_weight + first, rows, T(0))) / columns;
    T slopes[kLanes<T>];
    store(slopes, Vec<T>(share * a.gradient_scale));
    Vec<T> values[kLanes<T>];
    for (std::ptrdiff_t i = rows; i < kLanes<T>; ++i) values[i] = Vec<T>{};
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      const Vec<T> p = load_lanes(a.predictions.data + (first + i) * a.predictions.stride, c, T(0));
      const Vec<T> t = load_lanes(a.targets.data + (first + i) * a.targets.stride, c, T(0));
      const ValueAndGradient<T> r = Loss::template evaluate<T>(p, t, a.parameters);
      values[i] = first_lanes_of<T>(r.value, c);
      if (a.gradient.data != nullptr)
        store_lanes(a.gradient.data + (first + i) * a.gradient.stride, Vec<T>(r.gradient * slopes[i]), c);
    }
    if (a.loss != nullptr) store_lanes(a.loss + first, Vec<T>(sums_of_lanes<T>(values) * share), rows);
  }
}

// Mean over the columns of an elementwise loss, or sum where it says so.
template <class Loss, class T>
void evaluate_elementwise(const LossArguments<T>& a) {
  const std::ptrdiff_t n = a.predictions.rows, c = a.predictions.cols;
  if (c == 1) {
    parallel_ranges(n, 4 * kLanes<T>, kElementNanoseconds,
                    [&](std::ptrdiff_t begin, std::ptrdiff_t end) { evaluate_column<Loss, T>(a, begin, end); });
    return;
  }
  if (c <= kLanes<T>) {
    parallel_ranges(n, kLanes<T>, kElementNanoseconds * static_cast<double>(c + 8),
                    [&](std::ptrdiff_t begin, std::ptrdiff_t end) { evaluate_short_rows<Loss, T>(a, begin, end); });
    return;
  }
  for_each_row(n, c, [&](std::ptrdiff_t i) {
    const T share = (a.sample_weight == nullptr ? T(1) : a.sample_weight[i]) / (Loss::sums ? T(1) : static_cast<T>(c));
    T sum;
    evaluate_run<Loss, T>(a, a.predictions.data + i * a.predictions.stride, a.targets.data + i * a.targets.stride,
                          a.gradient.data == nullptr ? nullptr : a.gradient.data + i * a.gradient.stride, c,
                          share * a.gradient_scale, nullptr, nullptr, &sum);
    if (a.loss != nullptr) a.loss[i] = sum * share;
  });
}

}  // namespace lamina::LAMINA_ISA
