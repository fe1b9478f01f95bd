// Optimizer steps, in place, each parameter alone. To add one: write the struct, add it to Optimizers in table.hpp.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// The vectors of one step: what apply() reads and changes.
template <class T>
struct OptimizerVectors {
  Vec<T> parameter, gradient, slot[kMostSlots];
};

// θ ← θ - ηλθ (decoupled weight decay λ), then without momentum θ ← θ - ηg, else v ← μv - ηg and
// θ ← θ + v, or with Nesterov θ ← θ + μv - ηg. Sutskever et al. 2013, eqs. 1-4, as Keras writes them.
struct Sgd {
  static constexpr OptimizerInfo info{"sgd", 1, "momentum nesterov weight_decay"};
  static bool adds_scaled_gradient(const double* settings) { return settings[0] == 0 && settings[2] == 0; }
  template <class T>
  static bool only_adds(const T* scalars) {
    return scalars[1] == T(0) && scalars[3] == T(0);
  }

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t, T* scalars) {
    scalars[0] = static_cast<T>(-rate);
    scalars[1] = static_cast<T>(settings[0]);
    scalars[2] = static_cast<T>(settings[1]);
    scalars[3] = -static_cast<T>(rate) * static_cast<T>(settings[2]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    const Vec<T> rate = broadcast<T>(scalars[0]), momentum = broadcast<T>(scalars[1]);
    if (scalars[3] != T(0)) v.parameter = fma(v.parameter, broadcast<T>(scalars[3]), v.parameter);
    if (scalars[1] == T(0)) {
      v.parameter = fma(v.gradient, rate, v.parameter);
      return;
    }
    v.slot[0] = fma(v.gradient, rate, Vec<T>(v.slot[0] * momentum));
    if (scalars[2] != T(0))
      v.parameter = fma(v.gradient, rate, fma(v.slot[0], momentum, v.parameter));
    else
      v.parameter += v.slot[0];
  }
};

// θ ← θ - ηλθ, then m ← m + (1 - β₁)(g - m), v ← v + (1 - β₂)(g² - v),
// θ ← θ - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε); with AMSGrad √v̂, v̂ ← max(v̂, v), instead of √v.
// Kingma & Ba 2015, algorithm 1 with the efficient order of its section 2, as Keras; Reddi et al. 2018.
struct Adam {
  static constexpr OptimizerInfo info{"adam", 3, "beta_1 beta_2 epsilon amsgrad weight_decay"};
  static bool adds_scaled_gradient(const double*) { return false; }
  template <class T>
  static bool only_adds(const T*) {
    return false;
  }

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t step, T* scalars) {
    const double first = 1 - __builtin_pow(settings[0], static_cast<double>(step));
    const double second = 1 - __builtin_pow(settings[1], static_cast<double>(step));
    scalars[0] = static_cast<T>(-rate * __builtin_sqrt(second) / first);
    scalars[1] = static_cast<T>(1 - settings[0]);
    scalars[2] = static_cast<T>(1 - settings[1]);
    scalars[3] = static_cast<T>(settings[2]);
    scalars[4] = static_cast<T>(settings[3]);
    scalars[5] = static_cast<T>(-rate * settings[4]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    if (scalars[5] != T(0)) v.parameter = fma(v.parameter, broadcast<T>(scalars[5]), v.parameter);
    v.slot[0] = fma(v.gradient - v.slot[0], broadcast<T>(scalars[1]), v.slot[0]);
    v.slot[1] = fma(fma(v.gradient, v.gradient, -v.slot[1]), broadcast<T>(scalars[2]), v.slot[1]);
    Vec<T> square = v.slot[1];
    if (scalars[4] != T(0)) square = v.slot[2] = maximum(v.slot[2], v.slot[1]);
    v.parameter = fma(v.slot[0] / (sqrt(square) + scalars[3]), broadcast<T>(scalars[0]), v.parameter);
  }
};

// parameter += factor gradient.
template <class T>
void add_scaled(const OptimizerStep<T>& u, T factor) {
  const Vec<T> times = broadcast<T>(factor);
  parallel_ranges(u.size, 4 * kLanes<T>, 0.15, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
      T* to = u.parameter + begin + offset;
      const Vec<T> gradient = load_lanes(u.gradient + begin + offset, count, T(0));
      store_lanes(to, fma(gradient, times, Vec<T>(load_lanes(static_cast<const T*>(to), count, T(0)))), count);
    });
  });
}

template <class Optimizer, class T>
void optimizer_update(const OptimizerStep<T>& u) {
  if (Optimizer::only_adds(u.scalars)) return add_scaled(u, u.scalars[0]);
  parallel_ranges(u.size, 4 * kLanes<T>, 0.3, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
      const std::ptrdiff_t i = begin + offset;
      OptimizerVectors<T> v;
      v.gradient = load_lanes(u.gradient + i, count, T(0));
      v.parameter = load_lanes(static_cast<const T*>(u.parameter) + i, count, T(0));
#pragma GCC unroll 4
      for (int s = 0; s < Optimizer::info.slots; ++s)
        v.slot[s] =
            u.slot[s] == nullptr ? Vec<T>{} : Vec<T>(load_lanes(static_cast<const T*>(u.slot[s]) + i, count, T(0)));
      Optimizer::template apply<T>(v, u.scalars);
      store_lanes(u.parameter + i, v.parameter, count);
#pragma GCC unroll 4
      for (int s = 0; s < Optimizer::info.slots; ++s)
        if (u.slot[s] != nullptr) store_lanes(u.slot[s] + i, v.slot[s], count);
    });
  });
}

template <class T>
void add(const T* from, T* to, std::ptrdiff_t size) {
  for_each_vector<T>(size, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
    const Vec<T> sum = load_lanes(from + i, count, T(0)) + load_lanes(static_cast<const T*>(to) + i, count, T(0));
    store_lanes(to + i, sum, count);
  });
}

}  // namespace lamina::LAMINA_ISA
