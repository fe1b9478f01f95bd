// Losses: the value of each row and its gradient in one pass over the row.
//
// The gradient is the derivative of the reported value, times gradient_scale. Neither is divided by the number of rows;
// both are multiplied by the row's sample weight. To add an elementwise loss: write the struct in element_losses.hpp,
// add it to ElementLosses in kernels/table.hpp.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/activations.hpp"
#include "kernels/labels.hpp"
#include "kernels/parallel.hpp"
#include "kernels/softmax.hpp"
#include "simd/math.hpp"

namespace lamina::LAMINA_ISA {

template <class T>
struct ValueAndGradient {
  Vec<T> value, gradient;
};

// Keras's ε, which keeps probabilities away from 0 and 1, and denominators away from 0.
template <class T>
constexpr T kEpsilon = T(1e-7);

// Base of elementwise losses: the loss of a row is the mean over its columns.
struct MeanOfColumns {
  static constexpr bool sums = false;
};

// Load and store rows first … of a single column, which need not be contiguous.
template <class T>
[[gnu::noinline]] Vec<T> column_part(const Matrix<const T>& m, std::ptrdiff_t first, std::ptrdiff_t rows) {
  if (m.stride == 1) return load_lanes(m.data + first, rows, T(0));
  T numbers[kLanes<T>] = {};
  for (std::ptrdiff_t i = 0; i < rows; ++i) numbers[i] = m.data[(first + i) * m.stride];
  return load(numbers);
}
template <class T>
[[gnu::noinline]] void store_column_part(const Matrix<T>& m, std::ptrdiff_t first, std::ptrdiff_t rows, Vec<T> values) {
  if (m.stride == 1) return store_lanes(m.data + first, values, rows);
  T numbers[kLanes<T>];
  store(numbers, values);
  for (std::ptrdiff_t i = 0; i < rows; ++i) m.data[(first + i) * m.stride] = numbers[i];
}

// Value and gradient of a vector of predictions p and targets t, with the loss's parameters.
template <class T>
using ElementLoss = ValueAndGradient<T> (*)(Vec<T> p, Vec<T> t, const T* parameters);

// Losses that are evaluated by a function that is known where this is compiled, and whose code is inlined. `own`
// returns the lanes' own parameters, for a loss that has them by column.
template <class Loss, class T>
struct Inlined {
  static constexpr bool sums = Loss::sums;
  [[gnu::always_inline]] ValueAndGradient<T> operator()(const LossArguments<T>& a, Vec<T> p, Vec<T> t,
                                                        const auto& own) const {
    if constexpr (Loss::info.by_column) {
      return Loss::template evaluate<T>(p, t, a.columns == nullptr ? broadcast<T>(a.parameters[0]) : own());
    } else {
      return Loss::template evaluate<T>(p, t, a.parameters);
    }
  }
};

// Losses that are called, vector by vector: the loops around the call exist once for all of them.
template <class T>
struct Called {
  ElementLoss<T> element;
  bool sums;
  [[gnu::always_inline]] ValueAndGradient<T> operator()(const LossArguments<T>& a, Vec<T> p, Vec<T> t,
                                                        const auto&) const {
    return element(p, t, a.parameters);
  }
};

// Evaluates rows begin … end - 1 of a single column.
template <class T>
[[gnu::always_inline]] inline void evaluate_column(const LossArguments<T>& a, std::ptrdiff_t begin, std::ptrdiff_t end,
                                                   const auto& loss) {
  for (std::ptrdiff_t first = begin; first < end; first += kLanes<T>) {
    const std::ptrdiff_t rows = smaller(kLanes<T>, end - first);
    const Vec<T> p = column_part(a.predictions, first, rows), t = column_part(a.targets, first, rows);
    const ValueAndGradient<T> r = loss(a, p, t, [&] { return broadcast<T>(a.columns[0]); });
    const Vec<T> weight =
        a.sample_weight == nullptr ? broadcast<T>(T(1)) : Vec<T>(load_lanes(a.sample_weight + first, rows, T(0)));
    if (a.loss != nullptr) store_lanes(a.loss + first, Vec<T>(r.value * weight), rows);
    if (a.gradient.data != nullptr)
      store_column_part<T>(a.gradient, first, rows, Vec<T>(r.gradient * weight * a.gradient_scale));
  }
}

// Evaluates rows begin … end - 1, as many at a time as a vector has lanes: their lane sums are computed together.
template <class T>
[[gnu::always_inline]] inline void evaluate_rows(const LossArguments<T>& a, std::ptrdiff_t begin, std::ptrdiff_t end,
                                                 const auto& loss) {
  const std::ptrdiff_t c = a.predictions.cols;
  const T columns = loss.sums ? T(1) : static_cast<T>(c);
  for (std::ptrdiff_t first = begin; first < end; first += kLanes<T>) {
    const std::ptrdiff_t rows = smaller(kLanes<T>, end - first);
    const Vec<T> ones = broadcast<T>(T(1));
    const Vec<T> share =
        (a.sample_weight == nullptr ? ones : load_lanes(a.sample_weight + first, rows, T(0))) / columns;
    T slopes[kLanes<T>];
    store(slopes, Vec<T>(share * a.gradient_scale));
    Vec<T> values[kLanes<T>] = {};
    for (std::ptrdiff_t j = 0; j < c; j += kLanes<T>) {
      const std::ptrdiff_t count = smaller(kLanes<T>, c - j);
      const T *p = a.predictions.data + first * a.predictions.stride + j,
              *t = a.targets.data + first * a.targets.stride + j;
      T* gradient = a.gradient.data == nullptr ? nullptr : a.gradient.data + first * a.gradient.stride + j;
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        const ValueAndGradient<T> r = loss(a, load_lanes(p, count, T(0)), load_lanes(t, count, T(0)),
                                           [&] { return load_lanes(a.columns + j, count, T(0)); });
        values[i] += first_lanes_of<T>(r.value, count);
        p += a.predictions.stride;
        t += a.targets.stride;
        if (gradient == nullptr) continue;
        store_lanes(gradient, Vec<T>(r.gradient * slopes[i]), count);
        gradient += a.gradient.stride;
      }
    }
    if (a.loss != nullptr) store_lanes(a.loss + first, Vec<T>(sums_of_lanes<T>(values) * share), rows);
  }
}

// Evaluates transposed rows: vectors run along them. The sum over a row's columns is one chain.
template <class Loss, class T>
void evaluate_narrow(const NarrowLoss<T>& a) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  const std::ptrdiff_t n = a.predictions.cols, c = a.predictions.rows;
  const T columns = Loss::sums ? T(1) : static_cast<T>(c);
  for (std::ptrdiff_t first = 0; first < n; first += lanes) {
    const std::ptrdiff_t rows = smaller(lanes, n - first);
    const auto place = [&](const auto& m) { return m.data + first / width * m.panel_stride + first % width; };
    const T *p = place(a.predictions), *t = place(a.targets);
    T* gradient = a.gradient.data == nullptr ? nullptr : place(a.gradient);
    const Vec<T> ones = broadcast<T>(T(1));
    const Vec<T> share =
        (a.sample_weight == nullptr ? ones : Vec<T>(load_lanes(a.sample_weight + first, rows, T(0)))) / columns;
    const Vec<T> slope = share * a.gradient_scale;
    Vec<T> total{};
    for (std::ptrdiff_t j = 0; j < c; ++j) {
      const ValueAndGradient<T> r = Loss::template evaluate<T>(load(p + j * width), load(t + j * width), a.parameters);
      total += r.value;
      if (gradient != nullptr) store(gradient + j * width, Vec<T>(r.gradient * slope));
    }
    store_lanes(a.loss + first, Vec<T>(total * share), rows);
  }
}

// Losses that are often used in narrow networks have this form; each more would enlarge the library.
template <class Loss, class T>
constexpr auto kNarrowLoss = static_cast<void (*)(const NarrowLoss<T>&)>(nullptr);
template <class Loss, class T>
  requires(Loss::narrow)
constexpr auto kNarrowLoss<Loss, T> = &evaluate_narrow<Loss, T>;

// Both, not inlined, so that the code exists once.
template <class Loss, class T>
[[gnu::noinline]] void evaluate_inlined(const LossArguments<T>& a, std::ptrdiff_t begin, std::ptrdiff_t end,
                                        const Called<T>&) {
  constexpr Inlined<Loss, T> loss;
  if (a.predictions.cols == 1) return evaluate_column<T>(a, begin, end, loss);
  evaluate_rows<T>(a, begin, end, loss);
}
template <class T>
[[gnu::noinline]] void evaluate_called(const LossArguments<T>& a, std::ptrdiff_t begin, std::ptrdiff_t end,
                                       const Called<T>& loss) {
  if (a.predictions.cols == 1) return evaluate_column<T>(a, begin, end, loss);
  evaluate_rows<T>(a, begin, end, loss);
}

// The division among threads exists once for all losses.
template <class T>
[[gnu::noinline]] void evaluate_in_parts(const LossArguments<T>& a,
                                         void (*evaluate_part)(const LossArguments<T>&, std::ptrdiff_t, std::ptrdiff_t,
                                                               const Called<T>&),
                                         const Called<T>& loss) {
  const std::ptrdiff_t c = a.predictions.cols;
  const double elements = static_cast<double>(c == 1 ? 1 : c + 8);
  parallel_ranges(a.predictions.rows, c <= kLanes<T> ? 4 * kLanes<T> : 1, kSoftmaxNanoseconds * elements,
                  [&](std::ptrdiff_t begin, std::ptrdiff_t end) { evaluate_part(a, begin, end, loss); });
}

// Evaluates an elementwise loss: the mean over the columns of a row, or the sum if Loss::sums. The code of losses that
// are often used, and of those with parameters by column, is inlined: a call for each vector takes half as long again
// for losses of a few instructions, and makes no difference for those with logarithms.
template <class Loss, class T>
void evaluate_elementwise(const LossArguments<T>& a) {
  if constexpr (requires { Loss::narrow; } || requires { Loss::often; } || Loss::info.by_column) {
    evaluate_in_parts<T>(a, evaluate_inlined<Loss, T>, {});
  } else {
    evaluate_in_parts<T>(a, evaluate_called<T>, {Loss::template evaluate<T>, Loss::sums});
  }
}

}  // namespace lamina::LAMINA_ISA
