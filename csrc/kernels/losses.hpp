// Losses: the value of each row and its gradient in one pass over the row.
//
// The gradient is that of the reported value times gradient_scale. Neither is divided by the number of rows;
// both are multiplied by the row's sample weight. To add an elementwise loss: write the struct, add it to
// ElementLosses in kernels/table.hpp.
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

// Probabilities are kept this far from 0 and 1 before their logarithm is taken, as Keras does; beyond, the
// loss is constant and its gradient 0.
template <class T>
constexpr T kProbabilityMargin = T(1e-7);

// (p - t)².
struct SquaredError {
  static constexpr LossInfo info{"mse", false, nullptr, 0};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, T) {
    const Vec<T> d = p - t;
    return {d * d, d + d};
  }
};

// |p - t|; gradient sign(p - t), 0 at 0.
struct AbsoluteError {
  static constexpr LossInfo info{"mae", false, nullptr, 0};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, T) {
    const Vec<T> d = p - t;
    const Vec<T> one = copy_sign<T>(broadcast<T>(T(1)), d);
    return {abs<T>(d), d == T(0) ? Vec<T>{} : (d == d ? one : d)};
  }
};

// Binary cross-entropy of a logit z: log(1 + exp(-|z|)) + max(z, 0) - z t, gradient sigmoid(z) - t, with the target
// smoothed first: t (1 - s) + s / 2. An infinite logit that agrees with its target costs 0.
struct SigmoidCrossEntropy {
  static constexpr LossInfo info{"sigmoid_cross_entropy", false, "label_smoothing", 0};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> z, Vec<T> target, T smoothing) {
    const Vec<T> t = target * (T(1) - smoothing) + T(0.5) * smoothing;
    const Vec<T> e = exp<T>(-abs<T>(z));
    const Vec<T> probability = (z < T(0) ? e : broadcast<T>(T(1))) / (e + T(1));
    // z t, or z (1 - t) reflected, with 0 where the factor is 0 even if z is infinite.
    const Vec<T> factor = z > T(0) ? T(1) - t : -t;
    const Vec<T> linear = factor == T(0) ? Vec<T>{} : z * factor;
    return {unless_nan<T>(z, linear + log1p_unit<T>(e)), probability - t};
  }
};

// Binary cross-entropy of a probability p: -t log(p) - (1 - t) log(1 - p), p kept within the margin.
struct BinaryCrossEntropy {
  static constexpr LossInfo info{"binary_cross_entropy", false, "label_smoothing", 0};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> target, T smoothing) {
    const Vec<T> t = target * (T(1) - smoothing) + T(0.5) * smoothing;
    const Vec<T> q = clamp<T>(p, kProbabilityMargin<T>, T(1) - kProbabilityMargin<T>);
    const Vec<T> rest = T(1) - q;
    const Vec<T> value = -(t * log<T>(q) + (T(1) - t) * log<T>(rest));
    return {value, q == p ? (q - t) / (q * rest) : (p == p ? Vec<T>{} : p)};
  }
};

// Mean over the columns of an elementwise loss. One column is worked on down the rows.
template <class Loss, class T>
void evaluate_elementwise(const LossArguments<T>& a) {
  const std::ptrdiff_t n = a.predictions.rows, c = a.predictions.cols;
  const bool wants_gradient = a.gradient.data != nullptr;
  if (c == 1 && a.predictions.stride == 1 && a.targets.stride == 1 && (!wants_gradient || a.gradient.stride == 1)) {
    parallel_ranges(n, 4 * kLanes<T>, kElementNanoseconds, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
        const std::ptrdiff_t i = begin + offset;
        const Vec<T> p = load_lanes(a.predictions.data + i, count, T(0));
        ValueAndGradient<T> r = Loss::template evaluate<T>(p, load_lanes(a.targets.data + i, count, T(0)), a.parameter);
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
    const T share = (a.sample_weight == nullptr ? T(1) : a.sample_weight[i]) / static_cast<T>(c);
    const T slope = share * a.gradient_scale;
    Vec<T> sum{};
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> prediction = load_lanes(p + j, count, T(0)), target = load_lanes(t + j, count, T(0));
      const ValueAndGradient<T> r = Loss::template evaluate<T>(prediction, target, a.parameter);
      sum += count == kLanes<T> ? r.value : first_lanes_of<T>(r.value, count);
      if (wants_gradient) store_lanes(a.gradient.data + i * a.gradient.stride + j, Vec<T>(r.gradient * slope), count);
    });
    if (a.loss != nullptr) a.loss[i] = sum_lanes<T>(sum) * share;
  });
}

// ‖p - t‖₂ of a row, gradient (p - t) / ‖p - t‖₂, 0 at 0. Scaled by the largest difference, so that squares
// neither overflow nor vanish.
struct L2Norm {
  static constexpr LossInfo info{"l2_norm", false, nullptr, 0};
  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      Vec<T> top{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        top = maximum(top, abs<T>(load_lanes(p + j, count, T(0)) - load_lanes(t + j, count, T(0))));
      });
      const T largest = maximum_lanes<T>(top);
      const T unit = largest > T(0) && largest < kInfinity<T> ? largest : T(1);
      Vec<T> squares{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> d = (load_lanes(p + j, count, T(0)) - load_lanes(t + j, count, T(0))) / unit;
        squares = fma(d, d, squares);
      });
      const T length = sqrt(broadcast<T>(sum_lanes<T>(squares)))[0];
      if (a.gradient.data != nullptr) {
        T* g = a.gradient.data + i * a.gradient.stride;
        const T slope = weight * a.gradient_scale;
        for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
          const Vec<T> d = (load_lanes(p + j, count, T(0)) - load_lanes(t + j, count, T(0))) / unit;
          store_lanes(g + j, length == T(0) ? Vec<T>{} : Vec<T>(d / length * slope), count);
        });
      }
      if (a.loss != nullptr) a.loss[i] = unit * length * weight;
    });
  }
};

// Cross-entropy of softmax(z) with a target distribution t, from the logits z:
//   L = Σ_j t_j (log Σ_k exp(z_k) - z_j),  dL/dz_j = softmax(z)_j Σ_k t_k - t_j,
// with t smoothed first: t (1 - s) + s / c. Integer labels stand for one-hot rows. A term with t_j = 0 is 0
// even where z_j = -inf.
struct SoftmaxCrossEntropy {
  static constexpr LossInfo info{"softmax_cross_entropy", true, "label_smoothing", 0};

  // Σ t_j (lse - z_j) and Σ t_j for smoothed targets of one row.
  template <class T>
  struct Sums {
    T loss, total;
  };
  template <class T>
  static Sums<T> weigh(const T* z, const T* t, std::ptrdiff_t c, T lse, T smoothing) {
    Vec<T> loss{}, total{};
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> smooth = load_lanes(t + j, count, T(0)) * (T(1) - smoothing) + smoothing / static_cast<T>(c);
      const Vec<T> target = count == kLanes<T> ? smooth : first_lanes_of<T>(smooth, count);
      const Vec<T> term = target * (lse - load_lanes(z + j, count, T(0)));
      loss += target == T(0) ? Vec<T>{} : term;
      total += target;
    });
    return {sum_lanes<T>(loss), sum_lanes<T>(total)};
  }

  // For a label that another thread has changed after it was checked: NaN, and nothing written beyond the row.
  template <class T>
  static void spoil_row(const LossArguments<T>& a, std::ptrdiff_t i) {
    const T nan = T(__builtin_nan(""));
    if (a.loss != nullptr) a.loss[i] = nan;
    if (a.gradient.data != nullptr)
      for (std::ptrdiff_t j = 0; j < a.predictions.cols; ++j) a.gradient.data[i * a.gradient.stride + j] = nan;
  }

  template <class T>
  static T label_loss(const T* z, std::ptrdiff_t label, std::ptrdiff_t c, T lse, T smoothing) {
    const T own = lse - z[label];
    if (smoothing == T(0)) return own;
    const T others = lse - row_dot<T>(z, nullptr, c) / static_cast<T>(c);
    return (T(1) - smoothing) * own + smoothing * others;
  }

  // Columns up to which labelled rows go a vector of rows at a time: a row's sums then run down the columns in order.
  static constexpr std::ptrdiff_t kFewColumns = 32;

  // Squares of a matrix of up to kFewColumns columns, rows in the lanes: square[j] holds column j of `rows` rows.
  // Columns that are not there are -inf, rows 0.
  template <class T>
  static void load_columns(const T* z, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t c, Vec<T>* columns) {
    constexpr std::ptrdiff_t lanes = kLanes<T>;
    for (std::ptrdiff_t j = 0; j < c; j += lanes) {
      const std::ptrdiff_t count = smaller(lanes, c - j);
      Vec<T> square[lanes];
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < lanes; ++i)
        square[i] = i < rows ? Vec<T>(load_lanes(z + i * stride + j, count, -kInfinity<T>)) : Vec<T>{};
      transpose<T>(square);
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < lanes; ++i) columns[j + i] = square[i];
    }
  }
  template <class T>
  static void store_columns(const Vec<T>* columns, std::ptrdiff_t rows, std::ptrdiff_t c, T* g, std::ptrdiff_t stride) {
    constexpr std::ptrdiff_t lanes = kLanes<T>;
    for (std::ptrdiff_t j = 0; j < c; j += lanes) {
      const std::ptrdiff_t count = smaller(lanes, c - j);
      Vec<T> square[lanes];
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < lanes; ++i) square[i] = columns[j + i];
      transpose<T>(square);
      for (std::ptrdiff_t i = 0; i < rows; ++i) store_lanes(g + i * stride + j, square[i], count);
    }
  }

  // `rows` labelled rows from row `first`, at most a vector of them.
  template <class T>
  static void evaluate_few_columns(const LossArguments<T>& a, std::ptrdiff_t first, std::ptrdiff_t rows) {
    const std::ptrdiff_t c = a.predictions.cols, stride = a.predictions.stride;
    const T* z = a.predictions.data + first * stride;
    const T smoothing = a.parameter;
    Vec<T> columns[kFewColumns];
    load_columns(z, stride, rows, c, columns);
    Vec<T> top = columns[0];
    for (std::ptrdiff_t j = 1; j < c; ++j) top = maximum(top, columns[j]);
    Vec<T> total{}, sum{};
    for (std::ptrdiff_t j = 0; j < c; ++j) {
      total += columns[j];
      columns[j] = exp<T>(columns[j] - top);
      sum += columns[j];
    }
    const Vec<T> lse = top + log<T>(sum);
    T own[kLanes<T>] = {}, weight[kLanes<T>] = {};
    std::ptrdiff_t label[kLanes<T>];
    bool inside = true;
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      label[i] = label_at(a.labels, first + i);
      const bool here = static_cast<std::size_t>(label[i]) < static_cast<std::size_t>(c);
      inside &= here;
      own[i] = here ? z[i * stride + label[i]] : T(0);
      weight[i] = a.sample_weight == nullptr ? T(1) : a.sample_weight[first + i];
    }
    const Vec<T> weights = load(weight);
    if (a.loss != nullptr) {
      Vec<T> loss = lse - load(own);
      if (smoothing != T(0)) loss = (T(1) - smoothing) * loss + smoothing * (lse - total / static_cast<T>(c));
      store_lanes(a.loss + first, Vec<T>(loss * weights), rows);
    }
    if (a.gradient.data != nullptr) {
      T* g = a.gradient.data + first * a.gradient.stride;
      const Vec<T> slope = weights * a.gradient_scale, scale = slope / sum;
      const Vec<T> base = slope * (smoothing / static_cast<T>(c));
      for (std::ptrdiff_t j = 0; j < c; ++j) columns[j] = columns[j] * scale - base;
      store_columns(columns, rows, c, g, a.gradient.stride);
      for (std::ptrdiff_t i = 0; i < rows; ++i)
        if (static_cast<std::size_t>(label[i]) < static_cast<std::size_t>(c))
          g[i * a.gradient.stride + label[i]] -= slope[i] * (T(1) - smoothing);
    }
    if (inside) return;
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      if (static_cast<std::size_t>(label[i]) >= static_cast<std::size_t>(c)) spoil_row(a, first + i);
  }

  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    const T smoothing = a.parameter;
    if (a.targets.data == nullptr && c <= kFewColumns && c > 0) {
      parallel_ranges(a.predictions.rows, kLanes<T>, 0.2 * static_cast<double>(c + 8),
                      [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                        for (std::ptrdiff_t i = begin; i < end; i += kLanes<T>)
                          evaluate_few_columns(a, i, smaller(kLanes<T>, end - i));
                      });
      return;
    }
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T* z = a.predictions.data + i * a.predictions.stride;
      const T* t = a.targets.data == nullptr ? nullptr : a.targets.data + i * a.targets.stride;
      T* g = a.gradient.data == nullptr ? nullptr : a.gradient.data + i * a.gradient.stride;
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      const T top = row_maximum(z, c);
      T sum;
      if (g == nullptr || g == z) {  // the logits are still needed for the loss
        Vec<T> partial{};
        for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
          partial += exp<T>(load_lanes(z + j, count, -kInfinity<T>) - top);
        });
        sum = sum_lanes<T>(partial);
      } else {
        sum = exponentials(z, top, g, c);
      }
      const T lse = top + log_of(sum);
      const std::ptrdiff_t label = t == nullptr ? label_at(a.labels, i) : 0;
      if (static_cast<std::size_t>(label) >= static_cast<std::size_t>(c)) return spoil_row(a, i);
      T loss, total = T(1);
      if (t == nullptr) {
        loss = label_loss(z, label, c, lse, smoothing);
      } else {
        const Sums<T> sums = weigh(z, t, c, lse, smoothing);
        loss = sums.loss;
        total = sums.total;
      }
      if (a.loss != nullptr) a.loss[i] = loss * weight;
      if (g == nullptr) return;
      if (g == z) exponentials(z, top, g, c);
      const T slope = weight * a.gradient_scale;
      const T scale = slope * total / sum;
      const T base = slope * smoothing / static_cast<T>(c);
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        Vec<T> d = load_lanes(g + j, count, T(0)) * scale - base;
        if (t != nullptr) d -= load_lanes(t + j, count, T(0)) * (slope * (T(1) - smoothing));
        store_lanes(g + j, d, count);
      });
      if (t == nullptr) g[label] -= slope * (T(1) - smoothing);
    });
  }
};

// Cross-entropy of given probabilities p with a target distribution t, for outputs that are not known to
// come from a softmax: q = p / Σ p, kept within the margin, L = -Σ_j t_j log(q_j). As Keras.
// With s = Σ p and h_j = t_j / q_j where q_j is inside the margin, else 0: dL/dp_j = (Σ_k h_k q_k - h_j) / s.
struct CategoricalCrossEntropy {
  static constexpr LossInfo info{"categorical_cross_entropy", true, "label_smoothing", 0};

  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    const T on = T(1) - a.parameter, floor = a.parameter / static_cast<T>(c);
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T* p = a.predictions.data + i * a.predictions.stride;
      const T* t = a.targets.data == nullptr ? nullptr : a.targets.data + i * a.targets.stride;
      const std::ptrdiff_t label = t == nullptr ? label_at(a.labels, i) : -1;
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      const T sum = row_dot<T>(p, nullptr, c);
      const auto target_at = [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> raw = t == nullptr ? one_hot_lanes<T>(label - j) : Vec<T>(load_lanes(t + j, count, T(0)));
        return first_lanes_of<T>(raw * on + floor, count);
      };
      const auto inside = [&](Vec<T> q) { return clamp<T>(q, kProbabilityMargin<T>, T(1) - kProbabilityMargin<T>); };
      Vec<T> loss{}, pull{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> raw = load_lanes(p + j, count, T(0)) / sum, q = inside(raw), target = target_at(j, count);
        loss -= target == T(0) ? Vec<T>{} : target * log<T>(q);
        pull += q == raw ? target : Vec<T>{};
      });
      if (a.gradient.data != nullptr) {
        T* g = a.gradient.data + i * a.gradient.stride;
        const T total = sum_lanes<T>(pull), slope = weight * a.gradient_scale / sum;
        for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
          const Vec<T> raw = load_lanes(p + j, count, T(0)) / sum, q = inside(raw);
          const Vec<T> h = q == raw ? target_at(j, count) / q : (raw == raw ? Vec<T>{} : raw);
          store_lanes(g + j, Vec<T>((total - h) * slope), count);
        });
      }
      if (a.loss != nullptr) a.loss[i] = sum_lanes<T>(loss) * weight;
    });
  }
};

}  // namespace lamina::LAMINA_ISA
