// Losses that are computed from a whole row.
#pragma once

#include "kernels/losses.hpp"
#include "kernels/softmax.hpp"

namespace lamina::LAMINA_ISA {

// ‖p - t‖₂ of a row, gradient (p - t) / ‖p - t‖₂, 0 at 0. The differences are divided by the largest one, so that their
// squares neither overflow nor vanish.
struct L2Norm {
  static constexpr LossInfo info{.name = "l2_norm"};
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

// max(max_j((1 - t_j) p_j) - Σ t_j p_j + 1, 0). If several columns are largest, they share the gradient.
struct CategoricalHinge {
  static constexpr LossInfo info{.name = "categorical_hinge"};
  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      T right = T(0), wrong = (T(1) - t[0]) * p[0], ties = T(0);
      for (std::ptrdiff_t j = 0; j < c; ++j) {
        right += t[j] * p[j];
        const T value = (T(1) - t[j]) * p[j];
        wrong = value > wrong || value != value ? value : wrong;
      }
      for (std::ptrdiff_t j = 0; j < c; ++j) ties += (T(1) - t[j]) * p[j] == wrong ? T(1) : T(0);
      const T loss = wrong - right + T(1);
      const bool active = !(loss <= T(0));
      if (a.gradient.data != nullptr) {
        T* g = a.gradient.data + i * a.gradient.stride;
        const T slope = active ? weight * a.gradient_scale : T(0);
        for (std::ptrdiff_t j = 0; j < c; ++j) {
          const bool largest = (T(1) - t[j]) * p[j] == wrong;
          g[j] = loss != loss ? loss : slope * ((largest ? (T(1) - t[j]) / ties : T(0)) - t[j]);
        }
      }
      if (a.loss != nullptr) a.loss[i] = active ? loss * weight : T(0);
    });
  }
};

// ‖x‖₂ of a row; the row is divided by its largest element if the squares overflow or vanish.
template <class T>
T row_length(const T* x, std::ptrdiff_t c) {
  constexpr T huge = sizeof(T) == 4 ? T(1e30) : T(1e290), tiny = T(1) / huge;
  const T square = row_dot<T>(x, x, c);
  const auto root = [](T value) { return sqrt(broadcast<T>(value))[0]; };
  if (square > tiny && square < huge) return root(square);
  T largest = T(0), sum = T(0);
  for (std::ptrdiff_t j = 0; j < c; ++j) {
    const T size = x[j] < T(0) ? -x[j] : x[j];
    largest = size > largest || size != size ? size : largest;
  }
  if (!(largest > T(0) && largest < kInfinity<T>)) return largest;
  for (std::ptrdiff_t j = 0; j < c; ++j) sum += x[j] / largest * (x[j] / largest);
  return largest * root(sum);
}

// -cos of the angle between p and t. With n(x) = x / max(‖x‖, ε): L = -Σ n(t)_j n(p)_j, gradient
// -(n(t) + L n(p)) / ‖p‖.
struct CosineSimilarity {
  static constexpr LossInfo info{.name = "cosine_similarity"};
  template <class T>
  static void evaluate(const LossArguments<T>& a) {
    const std::ptrdiff_t c = a.predictions.cols;
    for_each_row(a.predictions.rows, c, [&](std::ptrdiff_t i) {
      const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
      const T weight = a.sample_weight == nullptr ? T(1) : a.sample_weight[i];
      const T least = kEpsilon<T>;
      const T p_length = row_length(p, c), t_length = row_length(t, c);
      const T p_unit = p_length < least ? least : p_length, t_unit = t_length < least ? least : t_length;
      Vec<T> products{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        products = fma(Vec<T>(load_lanes(p + j, count, T(0)) / p_unit), Vec<T>(load_lanes(t + j, count, T(0)) / t_unit),
                       products);
      });
      const T cosine = sum_lanes<T>(products);
      if (a.gradient.data != nullptr) {
        T* g = a.gradient.data + i * a.gradient.stride;
        const T slope = weight * a.gradient_scale / p_unit, along = p_length < least ? T(0) : cosine;
        for (std::ptrdiff_t j = 0; j < c; ++j) g[j] = slope * (p[j] / p_unit * along - t[j] / t_unit);
      }
      if (a.loss != nullptr) a.loss[i] = -cosine * weight;
    });
  }
};

}  // namespace lamina::LAMINA_ISA
