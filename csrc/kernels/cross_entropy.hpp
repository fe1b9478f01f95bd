// Cross-entropy losses, from logits and from probabilities, and their focal forms.
#pragma once

#include "kernels/labels.hpp"
#include "kernels/losses.hpp"
#include "kernels/softmax.hpp"

namespace lamina::LAMINA_ISA {

// Binary cross-entropy of a logit z: log(1 + exp(-|z|)) + max(z, 0) - z t, gradient sigmoid(z) - t, with the target
// smoothed first: t (1 - s) + s / 2. The loss is 0 if an infinite logit agrees with its target. For z >= 0 the gradient
// is computed as (1 - t) - sigmoid(-z): sigmoid(z) near 1 loses the digits of its difference from 1.
struct SigmoidCrossEntropy : MeanOfColumns {
  static constexpr LossInfo info{.name = "sigmoid_cross_entropy", .parameters = "label_smoothing"};
  static constexpr bool narrow = true;
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> z, Vec<T> target, const T* parameters) {
    const T smoothing = parameters[0];
    const Vec<T> t = target * (T(1) - smoothing) + T(0.5) * smoothing;
    const Vec<T> e = exp<T>(-abs<T>(z));
    const Vec<T> far = e / (e + T(1));  // sigmoid(-|z|)
    // max(z, 0) - z t as z times a factor; 0 if the factor is 0, even for an infinite z.
    const Vec<T> factor = z > T(0) ? T(1) - t : -t;
    const Vec<T> linear = factor == T(0) ? Vec<T>{} : z * factor;
    return {unless_nan<T>(z, linear + log1p_unit<T>(e)), z < T(0) ? far - t : (T(1) - t) - far};
  }
};

// Binary cross-entropy of a probability p: -t log(p) - (1 - t) log(1 - p), with p clamped to [ε, 1 - ε].
struct BinaryCrossEntropy : MeanOfColumns {
  static constexpr LossInfo info{.name = "binary_cross_entropy", .parameters = "label_smoothing"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> target, const T* parameters) {
    const T smoothing = parameters[0];
    const Vec<T> t = target * (T(1) - smoothing) + T(0.5) * smoothing;
    const Vec<T> q = clamp<T>(p, kEpsilon<T>, T(1) - kEpsilon<T>);
    const Vec<T> rest = T(1) - q;
    const Vec<T> value = -(t * log<T>(q) + (T(1) - t) * log<T>(rest));
    return {value, q == p ? (q - t) / (q * rest) : (p == p ? Vec<T>{} : p)};
  }
};

// x^γ for x in [0, 1].
template <class T>
[[gnu::always_inline]] inline Vec<T> power_of_unit(Vec<T> x, T exponent) {
  const Vec<T> one = broadcast<T>(T(1));
  if (exponent == T(0)) return one;
  const Vec<T> found = exp<T>(exponent * log<T>(x));
  return x <= T(0) ? Vec<T>{} : (x >= T(1) ? one : found);
}

// w (1 - p_t)^γ BCE(p, t), with p_t = t p + (1 - t)(1 - p), t smoothed, and w = 1, or balanced t α + (1 - t)(1 - α).
// For logits z, p = sigmoid(z) is not clamped, and dL/dz is
// w ((1 - p_t)^γ (p - t) + γ (1 - p_t)^(γ - 1) (1 - 2 t) p (1 - p) BCE). Lin et al. 2017.
struct BinaryFocalCrossEntropy : MeanOfColumns {
  static constexpr LossInfo info{.name = "binary_focal_cross_entropy",
                                 .parameters = "label_smoothing gamma alpha from_logits"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> given, Vec<T> target, const T* parameters) {
    const T gamma = parameters[1], alpha = parameters[2];  // alpha < 0: not balanced
    const bool logits = parameters[3] != T(0);
    const Vec<T> p = logits ? sigmoid<T>(given) : given, rest = logits ? sigmoid<T>(-given) : Vec<T>(T(1) - given);
    const ValueAndGradient<T> entropy = logits ? SigmoidCrossEntropy::evaluate<T>(given, target, parameters)
                                               : BinaryCrossEntropy::evaluate<T>(given, target, parameters);
    const Vec<T> t = target * (T(1) - parameters[0]) + T(0.5) * parameters[0];
    const Vec<T> missed = t * rest + (T(1) - t) * p;
    const Vec<T> factor = power_of_unit<T>(missed, gamma);
    const Vec<T> bend =
        gamma == T(0) ? Vec<T>{} : Vec<T>(gamma * power_of_unit<T>(missed, gamma - T(1)) * (T(1) - T(2) * t));
    const Vec<T> weight = alpha < T(0) ? broadcast<T>(T(1)) : t * alpha + (T(1) - t) * (T(1) - alpha);
    const Vec<T> inner =
        logits ? Vec<T>(p * rest) : broadcast<T>(T(1));  // 0 for an infinite logit, whose entropy may be infinite
    const Vec<T> bent = inner == T(0) ? Vec<T>{} : bend * inner * entropy.value;
    return {factor == T(0) ? Vec<T>{} : weight * factor * entropy.value,
            unless_nan<T>(given, weight * (factor * entropy.gradient + bent))};
  }
};

// True for a row of the ignored class, which does not count: skip_row() sets its loss and gradient to 0.
template <class T>
[[gnu::always_inline]] inline bool ignored(const LossArguments<T>& a, std::ptrdiff_t label) {
  return a.parameters[1] != T(0) && label == static_cast<std::ptrdiff_t>(a.ignored_class);
}
template <class T>
void skip_row(const LossArguments<T>& a, std::ptrdiff_t i) {
  if (a.loss != nullptr) a.loss[i] = T(0);
  if (a.gradient.data != nullptr)
    for (std::ptrdiff_t j = 0; j < a.predictions.cols; ++j) a.gradient.data[i * a.gradient.stride + j] = T(0);
}

// Cross-entropy of softmax(z) with a target distribution t, from the logits z:
//   L = Σ_j t_j (log Σ_k exp(z_k) - z_j),  dL/dz_j = softmax(z)_j Σ_k t_k - t_j,
// with t smoothed first: t (1 - s) + s / c. Integer labels stand for one-hot rows. A term with t_j = 0 is 0
// even where z_j = -inf.
struct SoftmaxCrossEntropy {
  static constexpr LossInfo info{
      .name = "softmax_cross_entropy", .takes_labels = true, .parameters = "label_smoothing ignores ignored_class"};

  // The logarithm of a probability is computed as (z_j - top) - rest, with rest = log Σ_k exp(z_k - top): if rest were
  // added to a large top first, it would lose its digits.

  // Σ t_j (rest - (z_j - top)) and Σ t_j for smoothed targets of one row.
  template <class T>
  struct Sums {
    T loss, total;
  };
  template <class T>
  static Sums<T> weigh(const T* z, const T* t, std::ptrdiff_t c, T top, T rest, T smoothing) {
    Vec<T> loss{}, total{};
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> smooth = load_lanes(t + j, count, T(0)) * (T(1) - smoothing) + smoothing / static_cast<T>(c);
      const Vec<T> target = count == kLanes<T> ? smooth : first_lanes_of<T>(smooth, count);
      const Vec<T> term = target * (rest - (load_lanes(z + j, count, T(0)) - top));
      loss += target == T(0) ? Vec<T>{} : term;
      total += target;
    });
    return {sum_lanes<T>(loss), sum_lanes<T>(total)};
  }

  // Sets loss and gradient of a row to NaN: another thread has changed its label after the check.
  template <class T>
  static void spoil_row(const LossArguments<T>& a, std::ptrdiff_t i) {
    const T nan = T(__builtin_nan(""));
    if (a.loss != nullptr) a.loss[i] = nan;
    if (a.gradient.data != nullptr)
      for (std::ptrdiff_t j = 0; j < a.predictions.cols; ++j) a.gradient.data[i * a.gradient.stride + j] = nan;
  }

  template <class T>
  static T label_loss(const T* z, std::ptrdiff_t label, std::ptrdiff_t c, T top, T rest, T smoothing) {
    const T own = rest - (z[label] - top);
    if (smoothing == T(0)) return own;
    Vec<T> below{};
    for_each_vector<T>(c,
                       [&](std::ptrdiff_t j, std::ptrdiff_t count) { below += load_lanes(z + j, count, top) - top; });
    const T others = rest - sum_lanes<T>(below) / static_cast<T>(c);
    return (T(1) - smoothing) * own + smoothing * others;
  }

  // With labels and at most this many columns, a vector of rows is computed at a time, each row in a lane: a row's sums
  // then run over the columns in order.
  static constexpr std::ptrdiff_t kFewColumns = 32;

  // Transposes rows of up to kFewColumns columns: columns[j] holds column j, each of the `rows` rows in a lane. Missing
  // columns are -inf, missing rows 0.
  template <class T>
  [[gnu::always_inline]] static void load_columns(const T* z, std::ptrdiff_t stride, std::ptrdiff_t rows,
                                                  std::ptrdiff_t c, Vec<T>* columns) {
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
  [[gnu::always_inline]] static void store_columns(const Vec<T>* columns, std::ptrdiff_t rows, std::ptrdiff_t c, T* g,
                                                   std::ptrdiff_t stride) {
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

  // Evaluates `rows` rows with labels, from row `first` on, at most as many as a vector has lanes. columns[j] holds
  // column j of the logits, and receives that of the gradient. `a` is a LossArguments or a NarrowLoss.
  template <class T, class Arguments>
  [[gnu::always_inline]] static void evaluate_columns(const Arguments& a, std::ptrdiff_t first, std::ptrdiff_t rows,
                                                      std::ptrdiff_t c, Vec<T>* columns) {
    using Bits = typename VectorTraits<T>::Bits;
    const T smoothing = a.parameters[0];
    const bool ignores = a.parameters[1] != T(0);
    // The classes in lanes; -1 for a row of the ignored class, whose loss and gradient are 0, and -2 for a label that
    // another thread has changed after the check: NaN.
    Bits chosen_lanes[kLanes<T>];
    bool all = true;
    for (std::ptrdiff_t i = 0; i < kLanes<T>; ++i) {
      const std::ptrdiff_t label = i < rows ? label_at(a.labels, first + i) : 0;
      const bool skipped = ignores && label == static_cast<std::ptrdiff_t>(a.ignored_class);
      const bool here = static_cast<std::size_t>(label) < static_cast<std::size_t>(c) && !skipped;
      chosen_lanes[i] = here ? static_cast<Bits>(label) : Bits(skipped ? -1 : -2);
      all &= here;
    }
    IntVec<T> chosen;
    __builtin_memcpy(&chosen, chosen_lanes, sizeof chosen);
    Vec<T> top = columns[0];
    for (std::ptrdiff_t j = 1; j < c; ++j) top = maximum(top, columns[j]);
    Vec<T> total{}, sum{}, own{};
    for (std::ptrdiff_t j = 0; j < c; ++j) {
      columns[j] -= top;
      own = chosen == static_cast<Bits>(j) ? columns[j] : own;
      total += columns[j];
      columns[j] = exp<T>(columns[j]);
      sum += columns[j];
    }
    const Vec<T> rest = log<T>(sum);
    const Vec<T> weights =
        a.sample_weight == nullptr ? broadcast<T>(T(1)) : Vec<T>(load_lanes(a.sample_weight + first, rows, T(0)));
    const Vec<T> none = chosen == Bits(-1) ? Vec<T>{} : broadcast<T>(T(__builtin_nan("")));
    if (a.loss != nullptr) {
      Vec<T> loss = rest - own;
      if (smoothing != T(0)) loss = (T(1) - smoothing) * loss + smoothing * (rest - total / static_cast<T>(c));
      loss *= weights;
      store_lanes(a.loss + first, Vec<T>(chosen < Bits(0) ? none : loss), rows);
    }
    if (a.gradient.data == nullptr) return;
    const Vec<T> slope = weights * a.gradient_scale, scale = slope / sum;
    const Vec<T> base = slope * (smoothing / static_cast<T>(c)), hit = slope * (T(1) - smoothing);
    for (std::ptrdiff_t j = 0; j < c; ++j)
      columns[j] = columns[j] * scale - base - (chosen == static_cast<Bits>(j) ? hit : Vec<T>{});
    if (all) return;
    for (std::ptrdiff_t j = 0; j < c; ++j) columns[j] = chosen < Bits(0) ? none : columns[j];
  }

  template <class T>
  static void evaluate_few_columns(const LossArguments<T>& a, std::ptrdiff_t first, std::ptrdiff_t rows) {
    const std::ptrdiff_t c = a.predictions.cols, stride = a.predictions.stride;
    Vec<T> columns[kFewColumns];
    load_columns(a.predictions.data + first * stride, stride, rows, c, columns);
    evaluate_columns<T>(a, first, rows, c, columns);
    if (a.gradient.data != nullptr)
      store_columns(columns, rows, c, a.gradient.data + first * a.gradient.stride, a.gradient.stride);
  }

  static constexpr bool narrow = true;
  template <class T>
  static void evaluate_transposed(const NarrowLoss<T>& a) {
    constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
    const std::ptrdiff_t n = a.predictions.cols, c = a.predictions.rows;
    for (std::ptrdiff_t first = 0; first < n; first += lanes) {
      const auto place = [&](const auto& m) { return m.data + first / width * m.panel_stride + first % width; };
      Vec<T> columns[kFewColumns];
      for (std::ptrdiff_t j = 0; j < c; ++j) columns[j] = load(place(a.predictions) + j * width);
      evaluate_columns<T>(a, first, smaller(lanes, n - first), c, columns);
      if (a.gradient.data == nullptr) continue;
      for (std::ptrdiff_t j = 0; j < c; ++j) store(place(a.gradient) + j * width, columns[j]);
    }
  }

  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    const T smoothing = a.parameters[0];
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
      const std::ptrdiff_t label = t == nullptr ? label_at(a.labels, i) : 0;
      if (static_cast<std::size_t>(label) >= static_cast<std::size_t>(c) || a.parameters[1] != T(0)) {
        if (t == nullptr && ignored(a, label)) return skip_row(a, i);
        if (static_cast<std::size_t>(label) >= static_cast<std::size_t>(c)) return spoil_row(a, i);
      }
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
      const T rest = log_of(sum);
      T loss, total = T(1);
      if (t == nullptr) {
        loss = label_loss(z, label, c, top, rest, smoothing);
      } else {
        const Sums<T> sums = weigh(z, t, c, top, rest, smoothing);
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

// Cross-entropy of given probabilities p with a target distribution t, for outputs that are not known to come from a
// softmax: L = -Σ_j t_j log(q_j), with q = p / Σ p clamped to [ε, 1 - ε]. As Keras.
// With s = Σ p and h_j = t_j / q_j, or 0 if q_j was clamped: dL/dp_j = (Σ_k h_k q_k - h_j) / s.
struct CategoricalCrossEntropy {
  static constexpr LossInfo info{
      .name = "categorical_cross_entropy", .takes_labels = true, .parameters = "label_smoothing ignores ignored_class"};

  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    const T on = T(1) - a.parameters[0], floor = a.parameters[0] / static_cast<T>(c);
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T* p = a.predictions.data + i * a.predictions.stride;
      const T* t = a.targets.data == nullptr ? nullptr : a.targets.data + i * a.targets.stride;
      const std::ptrdiff_t label = t == nullptr ? label_at(a.labels, i) : -1;
      if (t == nullptr && ignored(a, label)) return skip_row(a, i);
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      const T sum = row_dot<T>(p, nullptr, c);
      const auto target_at = [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> raw = t == nullptr ? one_hot_lanes<T>(label - j) : Vec<T>(load_lanes(t + j, count, T(0)));
        return first_lanes_of<T>(raw * on + floor, count);
      };
      const auto inside = [&](Vec<T> q) { return clamp<T>(q, kEpsilon<T>, T(1) - kEpsilon<T>); };
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

// -Σ_j α (1 - q_j)^γ t_j log(q_j), t smoothed, with q = p / Σ p clamped to [ε, 1 - ε], or, for logits z,
// q = softmax(z), not clamped. Lin et al. 2017. With h_j = α t_j (γ (1 - q_j)^(γ - 1) log(q_j) - (1 - q_j)^γ / q_j):
// dL/dp_j = (h_j - Σ_k h_k q_k) / Σ p, dL/dz_j = h_j q_j - q_j Σ_k h_k q_k.
struct CategoricalFocalCrossEntropy {
  static constexpr LossInfo info{.name = "categorical_focal_cross_entropy",
                                 .parameters = "label_smoothing gamma alpha from_logits"};
  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    const T on = T(1) - a.parameters[0], floor = a.parameters[0] / static_cast<T>(c);
    const T gamma = a.parameters[1], alpha = a.parameters[2];
    const bool from_logits = a.parameters[3] != T(0);
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T *given = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      const T top = from_logits ? row_maximum(given, c) : T(0);
      const auto raw_at = [&](std::ptrdiff_t j, std::ptrdiff_t count) -> Vec<T> {
        if (from_logits) return exp<T>(load_lanes(given + j, count, -kInfinity<T>) - top);
        return load_lanes(given + j, count, T(0));
      };
      Vec<T> partial{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) { partial += raw_at(j, count); });
      const T sum = sum_lanes<T>(partial), rest = log<T>(broadcast<T>(sum))[0];
      struct Terms {
        Vec<T> loss, slope, pull, q;  // pull: slope q
      };
      const auto terms_at = [&](std::ptrdiff_t j, std::ptrdiff_t count) -> Terms {
        const Vec<T> raw = raw_at(j, count) / sum;
        const Vec<T> q = from_logits ? raw : clamp<T>(raw, kEpsilon<T>, T(1) - kEpsilon<T>);
        const Vec<T> logarithm = from_logits ? Vec<T>((load_lanes(given + j, count, T(0)) - top) - rest) : log<T>(q);
        const Vec<T> target = first_lanes_of<T>(load_lanes(t + j, count, T(0)) * on + floor, count) * alpha;
        const Vec<T> missed = T(1) - q, factor = power_of_unit<T>(missed, gamma);
        const Vec<T> bend =
            gamma == T(0) ? Vec<T>{} : Vec<T>(gamma * power_of_unit<T>(missed, gamma - T(1)) * logarithm);
        const Vec<T> bent = q == T(0) ? Vec<T>{} : bend * q;  // q log q
        const Vec<T> slope = target * (bend - factor / q), pull = target * (bent - factor);
        const auto counted = [&](Vec<T> value) {
          return unless_nan<T>(raw, q == raw && target != T(0) ? value : Vec<T>{});
        };
        return {target == T(0) || factor == T(0) ? Vec<T>{} : -target * factor * logarithm, counted(slope),
                counted(pull), raw};
      };
      Vec<T> loss{}, pull{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Terms terms = terms_at(j, count);
        loss += terms.loss;
        pull += first_lanes_of<T>(terms.pull, count);
      });
      if (a.gradient.data != nullptr) {
        T* g = a.gradient.data + i * a.gradient.stride;
        const T total = sum_lanes<T>(pull), slope = weight * a.gradient_scale;
        for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
          const Terms terms = terms_at(j, count);
          const Vec<T> found = from_logits ? Vec<T>(terms.pull - total * terms.q) : Vec<T>((terms.slope - total) / sum);
          store_lanes(g + j, Vec<T>(found * slope), count);
        });
      }
      if (a.loss != nullptr) a.loss[i] = sum_lanes<T>(loss) * weight;
    });
  }
};

}  // namespace lamina::LAMINA_ISA
