// The interface between the arithmetic and everything else: a table of functions for one instruction set.
//
// csrc/isa/*.cpp fill one table each; core/dispatch.cpp picks one; bindings and engine call through it. All functions
// take checked arguments, allocate nothing in steady state, throw nothing but std::bad_alloc from scratch memory, and
// return the same bits for any number of threads. "rows" are independent of each other unless said otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/matrix.hpp"

namespace lamina {

// What the derivative of an activation is computed from.
enum class DerivativeOf : std::uint8_t { output, input };

// A position in a stream of random numbers: element i of a call is a function of (key, counter, i).
struct RandomStream {
  std::uint64_t key, counter;
};

// One activation. A `rowwise` one (softmax) works along the last axis, any other on each element alone.
struct ActivationInfo {
  const char* name;
  bool rowwise = false;
  DerivativeOf derivative_of = DerivativeOf::output;
  bool has_alpha = false;
  double default_alpha = 0;
};

template <class T>
struct ActivationKernel {
  ActivationInfo info;
  // y = f(x); y may be x. Elements beyond `cols` of a row are not touched.
  void (*forward)(Matrix<const T> x, Matrix<T> y, T alpha);
  // dx = dL/dx from dy = dL/dy and v, which is the output or the input (info.derivative_of); dx may be dy.
  void (*backward)(Matrix<const T> v, Matrix<const T> dy, Matrix<T> dx, T alpha);
};

constexpr int kMostLossParameters = 4;

// Arguments of a loss, which is computed for each row of predictions and its targets or label.
template <class T>
struct LossArguments {
  Matrix<const T> predictions;             // (n, c)
  Matrix<const T> targets{};               // (n, c); data is null if labels are given
  Labels labels{};                         // (n,); data is null if targets are given
  const T* sample_weight = nullptr;        // (n,) or null
  T parameters[kMostLossParameters] = {};  // named in LossInfo
  std::int64_t ignored_class = 0;          // used if the parameter `ignores` is not 0
  T gradient_scale = 1;                    // multiplies the gradient only: 1 / n gives the gradient of the mean
  T* loss = nullptr;                       // (n,), or null
  Matrix<T> gradient{};                    // (n, c), or data null; may be the predictions
  const T* columns = nullptr;              // (c,), the parameter of each column instead of the first one, or null
};

struct LossInfo {
  const char* name;
  bool takes_labels = false;         // integer class labels beside (n, c) targets
  const char* parameters = nullptr;  // names, in their order, separated by blanks; null if there are none
  double default_parameter = 0;      // default of the first parameter; the others default to 0
  bool by_column = false;            // the first parameter may be another one for each column
};

// The same for transposed values (NarrowProduct). Whole vectors of rows are read and written.
template <class T>
struct NarrowLoss {
  Panels<const T> predictions;  // (c, n)
  Panels<const T> targets{};    // (c, n); data is null if labels are given
  Labels labels{};
  const T* sample_weight = nullptr;
  T parameters[kMostLossParameters] = {};
  std::int64_t ignored_class = 0;
  T gradient_scale = 1;
  T* loss;
  Panels<T> gradient{};  // or data null
};

template <class T>
struct LossKernel {
  LossInfo info;
  // loss[i] = weight[i] L(predictions[i], targets[i]), gradient[i] = gradient_scale times its derivative.
  void (*evaluate)(const LossArguments<T>&);
  // Null if the loss has none. `takes_labels` ones take labels only.
  void (*evaluate_narrow)(const NarrowLoss<T>&) = nullptr;
};

// Arguments of a metric, which has one value for each row.
template <class T>
struct MetricArguments {
  Matrix<const T> predictions;  // (n, c)
  Matrix<const T> targets;      // (n, c); data is null if labels are given
  Labels labels;                // (n,); data is null if targets are given
  double parameter = 0;         // named in MetricInfo
  T* values;                    // (n,)
};

struct MetricInfo {
  const char* name;
  bool takes_labels = false;        // integer class labels; else targets of the predictions' shape
  bool of_order = false;            // depends only on the order of a row's predictions, so logits give the same values
  const char* parameter = nullptr;  // its name, or null
};

template <class T>
struct MetricKernel {
  MetricInfo info;
  void (*evaluate)(const MetricArguments<T>&);
};

// y = f(x w + b), and pre = x w + b if `pre` has data.
template <class T>
struct DenseForward {
  Matrix<const T> x;  // (n, in)
  Matrix<const T> w;  // (in, out)
  const T* b;         // (out,) or null
  Matrix<T> y;        // (n, out)
  Matrix<T> pre;      // (n, out), or data null
  const ActivationKernel<T>* activation;
  T alpha;
};

// Gradients of a dense layer from dy = dL/dy: dz = dy f'(v), dw = xᵀ dz, db = Σ_rows dz, dx = dz wᵀ.
template <class T>
struct DenseBackward {
  Matrix<const T> x;   // (n, in)
  Matrix<const T> w;   // (in, out)
  Matrix<const T> dy;  // (n, out)
  Matrix<const T> v;   // (n, out): output or pre-activation, as the activation needs; data null for linear
  Matrix<T> dx;        // (n, in), or data null
  Matrix<T> dw;        // (in, out), or data null
  T* db;               // (out,), or null
  const ActivationKernel<T>* activation;
  T alpha;
};

// The products of a dense layer on panels, on the calling thread. The order of a sum depends on its length alone
// (kernels/panels.hpp).

// Memory that is read soon and therefore prefetched: `rows` rows of `bytes` bytes.
struct Upcoming {
  const void* data = nullptr;
  std::ptrdiff_t rows = 0, bytes = 0, row_bytes = 0;  // row_bytes: from row to row
};

// c = a b (+ bias) for rows and panels of c.
template <class T>
struct PanelProduct {
  Panels<const T> a;        // (m, k)
  Panels<const T> b;        // (k, n), last panel padded
  Panels<T> c;              // (m, n); not written beyond n
  const T* bias = nullptr;  // of column j at bias[j / width * bias_panel + j % width], or null
  std::ptrdiff_t bias_panel = 0;
  Range rows, panels;
  bool clamp = false;  // c = max(c, floor)
  T floor = 0;
  // The segments of the sums to compute; c already holds the sum of those before them. end == -1: all from begin on.
  Range segments{0, -1};
  // The segment at which the data of a and b begins; a.cols is still the length of the whole sum.
  std::ptrdiff_t data_segment = 0;
  // What is read after each segment of b; without data: the next segment, which follows in memory.
  Upcoming next{};
};

enum class GradientEnd : std::uint8_t { store, add, add_scaled };

// Computes a block of dw = xᵀ dz, dw += xᵀ dz or dw += factor xᵀ dz: its rows are the columns of x in `x_panels`, its
// columns those of dz in `panels`, and sums run over `rows`. dw.data points at row dw_x_panel * width and panel
// dw_panel.
template <class T>
struct PanelGradient {
  Panels<const T> x;   // (n, in)
  Panels<const T> dz;  // (n, out), last panel padded
  Panels<T> dw;        // (in, out)
  Range rows, x_panels, panels;
  std::ptrdiff_t dw_x_panel = 0, dw_panel = 0;
  GradientEnd end = GradientEnd::store;
  T factor = 0;
};

// z = x w + b for a sparse x, as PanelProduct.
template <class T>
struct SparseProduct {
  SparseBatch<T> x;   // (n, in)
  Panels<const T> w;  // (in, out), last panel padded
  Panels<T> z;        // (n, out)
  const T* bias;      // as in PanelProduct
  std::ptrdiff_t bias_panel;
  Range rows, panels;
  bool clamp = false;  // z = max(z, floor)
  T floor = 0;
};

// to = fromᵀ for a rectangle of `from`.
template <class T>
struct PanelTranspose {
  Panels<const T> from;
  Panels<T> to;
  Range rows, columns;
};

// The products of narrow layers (kernels/narrow.hpp). Values lie transposed, in panels of rows of the batch: column c
// of row r at data[r / width * panel_stride + c * width + r % width], so that Panels::rows are a layer's columns.

// z = wᵀ x if `transposed`, else z = w x. w lies in one panel: its elements (i, j) at w[i * width + j].
template <class T>
struct NarrowProduct {
  const T* w;
  bool transposed;
  Panels<const T> x;   // (k, n)
  Panels<T> z;         // (m, n); whole vectors are written
  bool clamp = false;  // z = max(z, 0)
};

// dw = x dzᵀ, or dw += x dzᵀ.
template <class T>
struct NarrowGradient {
  Panels<const T> x;   // (k, n)
  Panels<const T> dz;  // (m, n); rows up to a multiple of 4 are read
  Panels<T> dw;        // (k, m), one panel
  bool add;
};

// y = (x - centre_j) scale_j + shift_j for rows and panels. A null centre, scale or shift stands for 0, 1 or 0.
template <class T>
struct ColumnScale {
  Panels<const T> x;
  Panels<T> y;
  const T *centre = nullptr, *scale = nullptr, *shift = nullptr;  // of column j at [j - first]
  Range rows, panels;
  std::ptrdiff_t first = 0;
};

// y = x above the threshold, clamped to [0, most] if most is finite, and slope (x - threshold) below. If dy has data,
// y becomes dx.
template <class T>
struct ClippedRelu {
  Panels<const T> x;
  Panels<const T> dy{};  // data is null in the forward pass
  Panels<T> y;
  T slope, most, threshold;
  Range rows, panels;
};

// Some rows of one panel: the input x of a normalization x̂ = (x - centre) rate, and the gradient dy of its output.
template <class T>
struct NormalizationSums {
  Panels<const T> x, dy;
  bool by_rows = false;  // centre and rate hold a value for each row; else for each of the panel's columns
  const T *centre = nullptr, *rate = nullptr;
  Range rows;
  std::ptrdiff_t panel;
};

template <class T>
struct RowNormalization {
  Matrix<const T> x;
  Matrix<T> y{};                              // forward
  const T *gamma = nullptr, *beta = nullptr;  // of columns, or null
  bool centered;
  T epsilon;
  T *centre, *rate;  // of rows: stored for the backward pass, or null
  Range rows;
};

enum class NoiseKind : std::uint8_t { dropout, alpha_dropout, gaussian, gaussian_dropout };

template <class T>
struct Noise {
  NoiseKind kind;
  RandomStream stream;
  double rate;    // share that is dropped; for gaussian noise its standard deviation
  bool backward;  // x and y are gradients
  Panels<const T> x;
  Panels<T> y;
  std::ptrdiff_t first_row;  // the row of the batch that row 0 of x is
  std::ptrdiff_t alike = 1;  // so many rows in succession get the same noise
  Range rows, panels;
};

enum class PoolKind : std::uint8_t { mean, maximum };

// Row r of y is pooled, column by column, from `lines` rows of x, its lines, that begin with r * lines.
template <class T>
struct LinePool {
  PoolKind kind;
  Panels<const T> x;
  Panels<T> y;
  std::ptrdiff_t lines;
  const std::int32_t* keys = nullptr;  // of the rows of x: those of key 0 are left out of the mean; null: none are
  Range rows, panels;                  // of y
};

// Copies rows `order[first] …` (or first … if order is null) of the source to rows to_begin … of `to` and converts
// them. A row of the source becomes `factor` rows of `to`. If `transposed`, `to` is laid out as in NarrowProduct;
// factor is 1 then, to_begin 0, and there is at most one panel's width of columns.
template <class T>
struct Gather {
  Rows source;
  const std::int64_t* order = nullptr;
  std::ptrdiff_t first = 0, count;
  Panels<T> to;
  std::ptrdiff_t to_begin = 0, factor = 1;
  bool transposed = false;
};

constexpr int kMostSlots = 3;
constexpr int kMostSettings = 8;

struct OptimizerInfo {
  const char* name;
  int slots;             // arrays of state for each parameter; those that the settings do not need may be null
  const char* settings;  // names of the settings, in their order, separated by blanks
};

// One optimizer step on `size` parameters, each computed alone.
template <class T>
struct OptimizerStep {
  T* parameter;
  const T* gradient;
  T* slot[kMostSlots] = {};
  std::ptrdiff_t size;
  const T* scalars;  // from prepare
};

template <class T>
struct OptimizerKernel {
  OptimizerInfo info;
  // Computes the scalars that all parameters share in step number `step` (from 1).
  void (*prepare)(const double* settings, double learning_rate, std::int64_t step, T* scalars);
  void (*update)(const OptimizerStep<T>&);
  // Whether a step is parameter += scalars[0] gradient and nothing else.
  bool (*adds_scaled_gradient)(const double* settings);
};

// Bounds of a norm: it is moved to [least, most], all the way for rate 1, part of the way for less.
template <class T>
struct NormBounds {
  T least, most, rate;
};

// Adds up the weights of positive and negative targets by the number of thresholds below their scores
// (kernels/metrics.hpp).
template <class T>
struct ThresholdCounts {
  Matrix<const T> scores, targets;
  const T* sample_weight;    // or null
  const double* thresholds;  // ascending
  std::ptrdiff_t count;
  double *positive, *negative;  // (cols, count + 1)
};

enum class Distribution : std::uint8_t { uniform, normal, truncated_normal };

template <class T>
struct Kernels {
  const ActivationKernel<T>* activations;
  const LossKernel<T>* losses;
  const MetricKernel<T>* metrics;
  void (*dense_forward)(const DenseForward<T>&);
  void (*dense_backward)(const DenseBackward<T>&);
  const OptimizerKernel<T>* optimizers;
  void (*panel_product)(const PanelProduct<T>&);
  void (*panel_gradient)(const PanelGradient<T>&);
  // sums[j] = Σ dz[i][j] over the rows, for the columns of one panel.
  void (*panel_column_sums)(Panels<const T> dz, Range rows, std::ptrdiff_t panel, T* sums);
  void (*panel_transpose)(const PanelTranspose<T>&);
  void (*narrow_product)(const NarrowProduct<T>&);  // null, as the next one, if the instruction set has no narrow forms
  void (*narrow_gradient)(const NarrowGradient<T>&);
  // kernels/sparse.hpp
  void (*sparse_product)(const SparseProduct<T>&);
  void (*sparse_gradient)(SparseBatch<T> x, Panels<const T> dz, Panels<T> gradient, Range panels);
  void (*sparse_step)(SparseBatch<T> x, Panels<T> gradient, Panels<T> w, T factor, Range panels);
  void (*gather)(const Gather<T>&);
  // kernels/normalization.hpp
  void (*scale_columns)(const ColumnScale<T>&);
  void (*column_moments)(Panels<const T> x, std::ptrdiff_t panel, T* mean, T* rest, T* variance);
  void (*normalization_sums)(const NormalizationSums<T>&, T* sums);
  void (*column_normalization_backward)(const NormalizationSums<T>&, const T* gamma, const T* rest, const T* sums,
                                        Panels<T> dx);
  void (*row_normalization)(const RowNormalization<T>&);
  void (*row_normalization_backward)(const RowNormalization<T>&, Matrix<const T> dy, Matrix<T> dx);
  void (*prelu)(const ColumnScale<T>&, const Panels<const T>* dy);
  void (*clipped_relu)(const ClippedRelu<T>&);
  void (*prelu_sums)(const NormalizationSums<T>&, T* sums);
  void (*noise)(const Noise<T>&);
  // kernels/pooling.hpp
  void (*pool_lines)(const LinePool<T>&);
  void (*pool_lines_backward)(const LinePool<T>&, Panels<const T> dy, Panels<T> dx);
  // to[i] += from[i].
  void (*add)(const T* from, T* to, std::ptrdiff_t size);
  // Changes to gradients and parameters other than the optimizer's step (kernels/updates.hpp).
  double (*penalty)(const T* w, double l1, double l2, std::ptrdiff_t size);
  void (*add_penalty_gradient)(const T* w, T* gradient, T l1, T l2, std::ptrdiff_t size);
  void (*scale_and_clip)(T* gradient, T factor, T limit, std::ptrdiff_t size);
  void (*running_average)(const T* w, T* mean, double momentum, std::ptrdiff_t size);
  void (*bound_below_by_zero)(Panels<T> w, Range panels);
  void (*bound_column_norms)(Panels<T> w, Range panels, NormBounds<T>);
  void (*bound_row_norms)(Panels<T> w, Range rows, NormBounds<T>);
  // Σ values, or Σ values weights if weights are given, in float64, as a tree that depends on the size alone.
  double (*sum)(const T* values, const T* weights, std::ptrdiff_t size);
  void (*count_by_threshold)(const ThresholdCounts<T>&);
  void (*column_products)(Matrix<const T> a, Matrix<const T> b, const T* weights, const double* centre, double* out);
  // uniform: [a, b); normal: mean a, deviation b; truncated_normal: the same, redrawn beyond 2 b.
  void (*random_fill)(Distribution, RandomStream, T a, T b, T* out, std::ptrdiff_t size);
};

struct KernelTable {
  const char* isa;
  int vector_bytes;
  int activation_count, loss_count, metric_count, optimizer_count;
  Kernels<float> f32;
  const Kernels<double>& f64;
  // The first row whose label is not in [0, classes), or -1.
  std::ptrdiff_t (*first_label_outside)(Labels labels, std::ptrdiff_t classes);
  // A uniformly random order of 0 … size - 1.
  void (*permutation)(RandomStream, std::int64_t* out, std::ptrdiff_t size);
  // Runs `iterations` rounds of independent float32 multiply-adds in registers on the calling thread and returns the
  // number of floating-point operations. A benchmark times it to measure the machine's peak.
  double (*multiply_add_peak)(std::int64_t iterations);
};

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table) {
  return table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table) {
  return table.f64;
}

}  // namespace lamina
