// Collects the bodies into a kernel table. The lists below are where a new activation, loss or optimizer is registered;
// its index in the list is its number everywhere else.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/activations.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/dense.hpp"
#include "kernels/element_losses.hpp"
#include "kernels/gather.hpp"
#include "kernels/metrics.hpp"
#include "kernels/noise.hpp"
#include "kernels/normalization.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/panels.hpp"
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
                           LogCosh, Poisson, KullbackLeibler, Hinge, SquaredHinge, Quantile, SigmoidCrossEntropy,
                           BinaryCrossEntropy, BinaryFocalCrossEntropy>;
using RowLosses = List<L2Norm, CategoricalHinge, CosineSimilarity, SoftmaxCrossEntropy, CategoricalCrossEntropy,
                       CategoricalFocalCrossEntropy>;
using Optimizers = List<Sgd, Adam, Adamax, Nadam, RmsProp, Adagrad, Adadelta, Lion>;

template <class T, int N>
struct Array {
  T items[N];
};

template <class T, class... E, class... R>
constexpr Array<ActivationKernel<T>, sizeof...(E) + sizeof...(R)> make_activations(List<E...>, List<R...>) {
  return {{{E::info, activation_forward<E, T>, activation_backward<E, T>}...,
           {R::info, R::template forward<T>, R::template backward<T>}...}};
}

template <class T, class... E, class... R>
constexpr Array<LossKernel<T>, sizeof...(E) + sizeof...(R)> make_losses(List<E...>, List<R...>) {
  return {{{E::info, evaluate_elementwise<E, T>}..., {R::info, R::template evaluate<T>}...}};
}

template <class T, class... O>
constexpr Array<OptimizerKernel<T>, sizeof...(O)> make_optimizers(List<O...>) {
  return {{{O::info, O::template prepare<T>, optimizer_update<O, T>, O::adds_scaled_gradient}...}};
}

template <class T>
constexpr auto kActivations = make_activations<T>(ElementActivations{}, RowActivations{});
template <class T>
constexpr auto kLosses = make_losses<T>(ElementLosses{}, RowLosses{});

template <class T>
constexpr auto kOptimizers = make_optimizers<T>(Optimizers{});

// Twice as many independent chains as the longest latency needs; the sums converge and stay normal numbers.
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

template <class T>
constexpr Kernels<T> make_kernels() {
  return {kActivations<T>.items,
          kLosses<T>.items,
          dense_forward<T>,
          dense_backward<T>,
          kOptimizers<T>.items,
          panel_product<T>,
          panel_gradient<T>,
          panel_column_sums<T>,
          panel_transpose<T>,
          sparse_product<T>,
          sparse_gradient<T>,
          sparse_step<T>,
          gather<T>,
          scale_columns<T>,
          column_moments<T>,
          normalization_sums<T>,
          column_normalization_backward<T>,
          row_normalization<T>,
          row_normalization_backward<T>,
          prelu<T>,
          clipped_relu<T>,
          prelu_sums<T>,
          noise<T>,
          add<T>,
          penalty<T>,
          add_penalty_gradient<T>,
          scale_and_clip<T>,
          running_average<T>,
          bound_below_by_zero<T>,
          bound_column_norms<T>,
          bound_row_norms<T>,
          sum<T>,
          sparse_matches<T>,
          categorical_matches<T>,
          binary_matches<T>,
          equal_matches<T>,
          sparse_top_matches<T>,
          categorical_top_matches<T>,
          count_by_threshold<T>,
          column_products<T>,
          random_fill<T>};
}

constexpr KernelTable make_table(const char* isa) {
  return {isa,
          static_cast<int>(kVectorBytes),
          ElementActivations::size + RowActivations::size,
          ElementLosses::size + RowLosses::size,
          Optimizers::size,
          make_kernels<float>(),
          make_kernels<double>(),
          first_label_outside,
          permutation,
          multiply_add_peak};
}

}  // namespace lamina::LAMINA_ISA
