// Collects the kernels into a kernel table. A new activation, loss, metric or optimizer is registered in the lists
// below. Its index in the table (elementwise ones first, then those of rows) identifies it everywhere else.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/activations.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/dense.hpp"
#include "kernels/element_losses.hpp"
#include "kernels/gather.hpp"
#include "kernels/metrics.hpp"
#include "kernels/narrow.hpp"
#include "kernels/noise.hpp"
#include "kernels/normalization.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/panels.hpp"
#include "kernels/pooling.hpp"
#include "kernels/random.hpp"
#include "kernels/row_losses.hpp"
#include "kernels/softmax.hpp"
#include "kernels/sparse.hpp"
#include "kernels/updates.hpp"

namespace lamina::LAMINA_ISA {

template <class... Items>
struct List {
  static constexpr int size = sizeof...(Items);
};

using ElementActivations = List<Linear, Relu, LeakyRelu, Relu6, Elu, Selu, Gelu, GeluTanh, Silu, Sigmoid, HardSigmoid,
                                Tanh, Softplus, Softsign, Exponential, Mish, Celu, HardTanh, HardSilu, LogSigmoid,
                                SoftShrink, HardShrink, TanhShrink, Squareplus, SparsePlus, SparseSigmoid>;
using RowActivations = List<Softmax, LogSoftmax>;
using ElementLosses = List<SquaredError, AbsoluteError, AbsolutePercentageError, SquaredLogarithmicError, Huber,
                           LogCosh, Poisson, PoissonDeviance, LogPoissonDeviance, KullbackLeibler, Hinge, SquaredHinge,
                           Quantile, SigmoidCrossEntropy, BinaryCrossEntropy, BinaryFocalCrossEntropy>;
using RowLosses = List<L2Norm, CategoricalHinge, CosineSimilarity, SoftmaxCrossEntropy, CategoricalCrossEntropy,
                       CategoricalFocalCrossEntropy>;
using Metrics =
    List<SparseMatches, CategoricalMatches, BinaryMatches, EqualMatches, SparseTopMatches, CategoricalTopMatches>;
using Optimizers = List<Sgd, Adam, Adamax, Nadam, RmsProp, Adagrad, Adadelta, Lion>;

// Seldom used. An instruction set that defines LAMINA_BORROWS before it includes this file has null pointers for them:
// those of the next narrower one take their place (core/dispatch.cpp), and the library is smaller.
using Seldom =
    List<Relu6, HardSigmoid, Softsign, Celu, HardTanh, HardSilu, LogSigmoid, SoftShrink, HardShrink, TanhShrink,
         Squareplus, SparsePlus, SparseSigmoid, AbsolutePercentageError, SquaredLogarithmicError, Poisson,
         PoissonDeviance, LogPoissonDeviance, KullbackLeibler, Hinge, SquaredHinge, Quantile, BinaryFocalCrossEntropy,
         L2Norm, CategoricalHinge, CosineSimilarity, CategoricalFocalCrossEntropy, Adamax, Nadam, Adagrad, Adadelta>;
#ifdef LAMINA_BORROWS
constexpr bool kBorrows = true;
#else
constexpr bool kBorrows = false;
#endif

// An instruction set that defines LAMINA_LACKS_NARROW has no narrow forms: its few users' networks are not treated as
// narrow, and the library is smaller.
#ifdef LAMINA_LACKS_NARROW
constexpr bool kHasNarrow = false;
#else
constexpr bool kHasNarrow = true;
#endif

template <class Item, class... Items>
constexpr bool contains(List<Items...>) {
  return (std::is_same_v<Item, Items> || ...);
}
template <class Item>
constexpr bool kBorrowed = kBorrows && contains<Item>(Seldom{});

template <class T, int N>
struct Array {
  T items[N];
};

template <class E, class T>
constexpr ActivationKernel<T> element_activation() {
  if constexpr (kBorrowed<E>)
    return {E::info, nullptr, nullptr};
  else
    return {E::info, activation_forward<E, T>, activation_backward<E, T>};
}

template <class T, class... E, class... R>
constexpr Array<ActivationKernel<T>, sizeof...(E) + sizeof...(R)> make_activations(List<E...>, List<R...>) {
  return {{element_activation<E, T>()..., {R::info, R::template forward<T>, R::template backward<T>}...}};
}

template <class Loss, class T>
constexpr auto narrow_row_loss() -> void (*)(const NarrowLoss<T>&) {
  if constexpr (kHasNarrow && requires { Loss::narrow; })
    return Loss::template evaluate_transposed<T>;
  else
    return nullptr;
}

template <class E, class T>
constexpr LossKernel<T> element_loss() {
  if constexpr (kBorrowed<E>)
    return {E::info, nullptr};
  else if constexpr (kHasNarrow)
    return {E::info, evaluate_elementwise<E, T>, kNarrowLoss<E, T>};
  else
    return {E::info, evaluate_elementwise<E, T>};
}

template <class R, class T>
constexpr LossKernel<T> row_loss() {
  if constexpr (kBorrowed<R>)
    return {R::info, nullptr};
  else
    return {R::info, R::template evaluate<T>, narrow_row_loss<R, T>()};
}

template <class T, class... E, class... R>
constexpr Array<LossKernel<T>, sizeof...(E) + sizeof...(R)> make_losses(List<E...>, List<R...>) {
  return {{element_loss<E, T>()..., row_loss<R, T>()...}};
}

template <class T, class... M>
constexpr Array<MetricKernel<T>, sizeof...(M)> make_metrics(List<M...>) {
  return {{{M::info, M::template evaluate<T>}...}};
}

template <class O, class T>
constexpr OptimizerKernel<T> optimizer() {
  if constexpr (kBorrowed<O>)
    return {O::info, O::template prepare<T>, nullptr, O::adds_scaled_gradient};
  else
    return {O::info, O::template prepare<T>, optimizer_update<O, T>, O::adds_scaled_gradient};
}

template <class T, class... O>
constexpr Array<OptimizerKernel<T>, sizeof...(O)> make_optimizers(List<O...>) {
  return {{optimizer<O, T>()...}};
}

template <class T>
constexpr auto kActivations = make_activations<T>(ElementActivations{}, RowActivations{});
template <class T>
constexpr auto kLosses = make_losses<T>(ElementLosses{}, RowLosses{});

template <class T>
constexpr auto kMetrics = make_metrics<T>(Metrics{});
template <class T>
constexpr auto kOptimizers = make_optimizers<T>(Optimizers{});

// More independent chains than the latency of a multiply-add needs; the sums converge to 1 and stay normal numbers.
inline double multiply_add_peak(std::int64_t iterations) {
  constexpr int chains = kVectorRegisters == 32 ? 24 : 12;
  Vec<float> sum[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) sum[i] = broadcast<float>(static_cast<float>(i));
  const Vec<float> half = broadcast<float>(0.5f);
  for (std::int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < chains; ++i) sum[i] = fma(sum[i], half, half);
  }
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) asm volatile("" : : "m"(sum[i]));
  return 2.0 * chains * static_cast<double>(kLanes<float>) * static_cast<double>(iterations);
}

// Filled by name, so that entries of one type cannot be swapped by accident.
template <class T>
constexpr Kernels<T> make_kernels() {
  Kernels<T> k{};
  k.activations = kActivations<T>.items;
  k.losses = kLosses<T>.items;
  k.metrics = kMetrics<T>.items;
  k.optimizers = kOptimizers<T>.items;
  k.dense_forward = dense_forward<T>;
  k.dense_backward = dense_backward<T>;
  k.panel_product = panel_product<T>;
  k.panel_gradient = panel_gradient<T>;
  k.panel_column_sums = panel_column_sums<T>;
  k.panel_transpose = panel_transpose<T>;
  if constexpr (kHasNarrow) {
    k.narrow_product = narrow_product<T>;
    k.narrow_gradient = narrow_gradient<T>;
  }
  k.sparse_product = sparse_product<T>;
  k.sparse_gradient = sparse_gradient<T>;
  k.sparse_step = sparse_step<T>;
  k.gather = gather<T>;
  k.scale_columns = scale_columns<T>;
  k.column_moments = column_moments<T>;
  k.normalization_sums = normalization_sums<T>;
  k.column_normalization_backward = column_normalization_backward<T>;
  k.row_normalization = row_normalization<T>;
  k.row_normalization_backward = row_normalization_backward<T>;
  k.prelu = prelu<T>;
  k.clipped_relu = clipped_relu<T>;
  k.prelu_sums = prelu_sums<T>;
  k.noise = noise<T>;
  k.pool_lines = pool_lines<T>;
  k.pool_lines_backward = pool_lines_backward<T>;
  k.add = add<T>;
  k.penalty = penalty<T>;
  k.add_penalty_gradient = add_penalty_gradient<T>;
  k.scale_and_clip = scale_and_clip<T>;
  k.running_average = running_average<T>;
  k.bound_below_by_zero = bound_below_by_zero<T>;
  k.bound_column_norms = bound_column_norms<T>;
  k.bound_row_norms = bound_row_norms<T>;
  k.sum = sum<T>;
  k.count_by_threshold = count_by_threshold<T>;
  k.column_products = column_products<T>;
  k.random_fill = random_fill<T>;
  return k;
}

// The kernels for float64 lie in a translation unit of their own, so that two cores can compile an instruction set.
constexpr KernelTable make_table(const char* isa, const Kernels<double>& float64) {
  return {.isa = isa,
          .vector_bytes = static_cast<int>(kVectorBytes),
          .activation_count = ElementActivations::size + RowActivations::size,
          .loss_count = ElementLosses::size + RowLosses::size,
          .metric_count = Metrics::size,
          .optimizer_count = Optimizers::size,
          .f32 = make_kernels<float>(),
          .f64 = float64,
          .first_label_outside = first_label_outside,
          .permutation = permutation,
          .multiply_add_peak = multiply_add_peak};
}

}  // namespace lamina::LAMINA_ISA
