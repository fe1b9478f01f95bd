// Optimizer steps, in place, for each parameter alone. To add an optimizer: write the struct, add it to Optimizers in
// table.hpp.
#pragma once

#include "core/kernel_table.hpp"
#include "core/nadam.hpp"
#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// The vectors that apply() reads and changes in one step.
template <class T>
struct OptimizerVectors {
  Vec<T> parameter, gradient, slot[kMostSlots];
};

// Decoupled weight decay: θ ← θ - ηλθ, given -ηλ.
template <class T>
[[gnu::always_inline]] inline void decay(OptimizerVectors<T>& v, T factor) {
  if (factor != T(0)) v.parameter = fma(v.parameter, broadcast<T>(factor), v.parameter);
}

// mean ← mean + share (value - mean).
template <class T>
[[gnu::always_inline]] inline void move(Vec<T>& mean, Vec<T> value, T share) {
  mean = fma(value - mean, broadcast<T>(share), mean);
}

// square ← square + share (g² - square). Once g² has overflowed, square stays infinite instead of becoming NaN.
template <class T>
[[gnu::always_inline]] inline void move_square(Vec<T>& square, Vec<T> gradient, T share) {
  const Vec<T> moved = fma(fma(gradient, gradient, -square), broadcast<T>(share), square);
  square = square < kInfinity<T> ? moved : square;
}

[[gnu::always_inline]] inline double power(double base, std::int64_t exponent) {
  return __builtin_pow(base, static_cast<double>(exponent));
}

// Base of the optimizers whose step is never just parameter += factor gradient: all but SGD.
struct NeverAddsScaledGradient {
  static bool adds_scaled_gradient(const double*) { return false; }
  template <class T>
  static bool only_adds(const T*) {
    return false;
  }
};

// θ ← θ - ηλθ (decoupled weight decay λ), then without momentum θ ← θ - ηg, else v ← μv - ηg and
// θ ← θ + v, or with Nesterov θ ← θ + μv - ηg. Sutskever et al. 2013, eqs. 1-4, as Keras writes them.
struct Sgd {
  static constexpr OptimizerInfo info{.name = "sgd", .slots = 1, .settings = "momentum nesterov weight_decay"};
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
    decay(v, scalars[3]);
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
struct Adam : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{
      .name = "adam", .slots = 3, .settings = "beta_1 beta_2 epsilon amsgrad weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t step, T* scalars) {
    const double first = 1 - power(settings[0], step), second = 1 - power(settings[1], step);
    scalars[0] = static_cast<T>(-rate * __builtin_sqrt(second) / first);
    scalars[1] = static_cast<T>(1 - settings[0]);
    scalars[2] = static_cast<T>(1 - settings[1]);
    scalars[3] = static_cast<T>(settings[2]);
    scalars[4] = static_cast<T>(settings[3]);
    scalars[5] = static_cast<T>(-rate * settings[4]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[5]);
    move(v.slot[0], v.gradient, scalars[1]);
    move_square(v.slot[1], v.gradient, scalars[2]);
    Vec<T> square = v.slot[1];
    if (scalars[4] != T(0)) square = v.slot[2] = maximum(v.slot[2], v.slot[1]);
    v.parameter = fma(v.slot[0] / (sqrt(square) + scalars[3]), broadcast<T>(scalars[0]), v.parameter);
  }
};

// θ ← θ - ηλθ, then m ← m + (1 - β₁)(g - m), u ← max(β₂ u, |g|), θ ← θ - η / (1 - β₁ᵗ) · m / (u + ε).
// Kingma & Ba 2015, algorithm 2.
struct Adamax : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{.name = "adamax", .slots = 2, .settings = "beta_1 beta_2 epsilon weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t step, T* scalars) {
    scalars[0] = static_cast<T>(-rate / (1 - power(settings[0], step)));
    scalars[1] = static_cast<T>(1 - settings[0]);
    scalars[2] = static_cast<T>(settings[1]);
    scalars[3] = static_cast<T>(settings[2]);
    scalars[4] = static_cast<T>(-rate * settings[3]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[4]);
    move(v.slot[0], v.gradient, scalars[1]);
    v.slot[1] = maximum(Vec<T>(v.slot[1] * scalars[2]), abs<T>(v.gradient));
    v.parameter = fma(v.slot[0] / (v.slot[1] + scalars[3]), broadcast<T>(scalars[0]), v.parameter);
  }
};

// Adam with Nesterov's momentum, which grows with the steps: μ_t = β₁ (1 - 0.96ᵗ / 2), M_t = Π_{i ≤ t} μ_i.
// m and v as in Adam; θ ← θ - η (μ_{t+1} m / (1 - M_{t+1}) + (1 - μ_t) g / (1 - M_t)) / (√(v / (1 - β₂ᵗ)) + ε).
// Dozat 2016, as Keras writes it.
struct Nadam : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{.name = "nadam", .slots = 2, .settings = "beta_1 beta_2 epsilon weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t step, T* scalars) {
    const auto share = [&](std::int64_t t) { return settings[0] * (1 - 0.5 * power(0.96, t)); };
    const auto product = [&](std::int64_t t) { return power(settings[0], t) * nadam_product(t); };
    scalars[0] = static_cast<T>(-rate * share(step + 1) / (1 - product(step + 1)));
    scalars[1] = static_cast<T>(-rate * (1 - share(step)) / (1 - product(step)));
    scalars[2] = static_cast<T>(1 - settings[0]);
    scalars[3] = static_cast<T>(1 - settings[1]);
    scalars[4] = static_cast<T>(1 / (1 - power(settings[1], step)));
    scalars[5] = static_cast<T>(settings[2]);
    scalars[6] = static_cast<T>(-rate * settings[3]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[6]);
    move(v.slot[0], v.gradient, scalars[2]);
    move_square(v.slot[1], v.gradient, scalars[3]);
    const Vec<T> ahead = fma(v.slot[0], broadcast<T>(scalars[0]), Vec<T>(v.gradient * scalars[1]));
    v.parameter += ahead / (sqrt(Vec<T>(v.slot[1] * scalars[4])) + scalars[5]);
  }
};

// θ ← θ - ηλθ, then v ← ρv + (1 - ρ)g², s = ηg / √(v + ε), or centered s = ηg / √(max(v - a², 0) + ε) with
// a ← ρa + (1 - ρ)g: rounding may make v - a² negative if gradients hardly change. Without momentum θ ← θ - s, else
// m ← μm + s, θ ← θ - m. Tieleman & Hinton 2012; Graves 2013 for the centered one.
struct RmsProp : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{
      .name = "rmsprop", .slots = 3, .settings = "rho momentum epsilon centered weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t, T* scalars) {
    scalars[0] = static_cast<T>(rate);
    scalars[1] = static_cast<T>(1 - settings[0]);
    scalars[2] = static_cast<T>(settings[1]);
    scalars[3] = static_cast<T>(settings[2]);
    scalars[4] = static_cast<T>(settings[3]);
    scalars[5] = static_cast<T>(-rate * settings[4]);
  }

  // slots: v, m, a
  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[5]);
    move_square(v.slot[0], v.gradient, scalars[1]);
    Vec<T> variance = v.slot[0];
    if (scalars[4] != T(0)) {
      move(v.slot[2], v.gradient, scalars[1]);
      variance = maximum(Vec<T>{}, Vec<T>(variance - v.slot[2] * v.slot[2]));
    }
    const Vec<T> step = v.gradient * scalars[0] / sqrt(Vec<T>(variance + scalars[3]));
    if (scalars[2] == T(0)) {
      v.parameter -= step;
      return;
    }
    v.slot[1] = fma(v.slot[1], broadcast<T>(scalars[2]), step);
    v.parameter -= v.slot[1];
  }
};

// θ ← θ - ηλθ, then a ← a + g², θ ← θ - ηg / √(a + ε). Duchi et al. 2011.
struct Adagrad : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{.name = "adagrad", .slots = 1, .settings = "epsilon weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t, T* scalars) {
    scalars[0] = static_cast<T>(rate);
    scalars[1] = static_cast<T>(settings[0]);
    scalars[2] = static_cast<T>(-rate * settings[1]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[2]);
    v.slot[0] = fma(v.gradient, v.gradient, v.slot[0]);
    v.parameter -= v.gradient * scalars[0] / sqrt(Vec<T>(v.slot[0] + scalars[1]));
  }
};

// θ ← θ - ηλθ, then a ← ρa + (1 - ρ)g², d = -g √(b + ε) / √(a + ε), b ← ρb + (1 - ρ)d², θ ← θ + ηd. Zeiler 2012.
struct Adadelta : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{.name = "adadelta", .slots = 2, .settings = "rho epsilon weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t, T* scalars) {
    scalars[0] = static_cast<T>(-rate);
    scalars[1] = static_cast<T>(1 - settings[0]);
    scalars[2] = static_cast<T>(settings[1]);
    scalars[3] = static_cast<T>(-rate * settings[2]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[3]);
    move_square(v.slot[0], v.gradient, scalars[1]);
    const Vec<T> step = v.gradient * sqrt(Vec<T>(v.slot[1] + scalars[2])) / sqrt(Vec<T>(v.slot[0] + scalars[2]));  // -d
    move_square(v.slot[1], step, scalars[1]);
    v.parameter = fma(step, broadcast<T>(scalars[0]), v.parameter);
  }
};

// θ ← θ - ηλθ, then θ ← θ - η sign(β₁m + (1 - β₁)g), m ← β₂m + (1 - β₂)g. Chen et al. 2023.
struct Lion : NeverAddsScaledGradient {
  static constexpr OptimizerInfo info{.name = "lion", .slots = 1, .settings = "beta_1 beta_2 weight_decay"};

  template <class T>
  static void prepare(const double* settings, double rate, std::int64_t, T* scalars) {
    scalars[0] = static_cast<T>(rate);
    scalars[1] = static_cast<T>(settings[0]);
    scalars[2] = static_cast<T>(1 - settings[0]);
    scalars[3] = static_cast<T>(settings[1]);
    scalars[4] = static_cast<T>(1 - settings[1]);
    scalars[5] = static_cast<T>(-rate * settings[2]);
  }

  template <class T>
  static void apply(OptimizerVectors<T>& v, const T* scalars) {
    decay(v, scalars[5]);
    const Vec<T> direction = fma(v.slot[0], broadcast<T>(scalars[1]), Vec<T>(v.gradient * scalars[2]));
    const Vec<T> step = copy_sign<T>(broadcast<T>(scalars[0]), direction);
    v.parameter -= direction == T(0) ? Vec<T>{} : (direction == direction ? step : direction);
    v.slot[0] = fma(v.slot[0], broadcast<T>(scalars[3]), Vec<T>(v.gradient * scalars[4]));
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

// Steps of `size` parameters on one thread. Pointers and scalars are copied first, because the compiler must assume
// that a store changes them. The last parameters go through the same loop, in vectors of their own.
template <class Optimizer, class T>
[[gnu::noinline]] void optimizer_steps(const OptimizerStep<T>& u, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr int slots = Optimizer::info.slots;
  constexpr std::ptrdiff_t lanes = kLanes<T>;
  T scalars[kMostSettings];
#pragma GCC unroll 8
  for (int i = 0; i < kMostSettings; ++i) scalars[i] = u.scalars[i];
  T last[2 + slots][lanes];
  const std::ptrdiff_t rest = (end - begin) % lanes, first_of_rest = end - rest;
  const T* gradient = u.gradient + begin;
  T *parameter = u.parameter + begin, *slot[slots];
#pragma GCC unroll 4
  for (int s = 0; s < slots; ++s) slot[s] = u.slot[s] == nullptr ? nullptr : u.slot[s] + begin;
  for (std::ptrdiff_t whole = end - begin - rest;;) {
    for (std::ptrdiff_t i = 0; i < whole; i += lanes) {
      OptimizerVectors<T> v;
      v.gradient = load(gradient + i);
      v.parameter = load(static_cast<const T*>(parameter) + i);
#pragma GCC unroll 4
      for (int s = 0; s < slots; ++s)
        v.slot[s] = slot[s] == nullptr ? Vec<T>{} : Vec<T>(load(static_cast<const T*>(slot[s]) + i));
      Optimizer::template apply<T>(v, scalars);
      store(parameter + i, v.parameter);
#pragma GCC unroll 4
      for (int s = 0; s < slots; ++s)
        if (slot[s] != nullptr) store(slot[s] + i, v.slot[s]);
    }
    if (rest == 0) return;
    if (parameter == last[0]) break;
    const auto copied = [&](const T* from, T* to) {
      store(to, Vec<T>(load_partial(from, rest, T(0))));
      return to;
    };
    parameter = copied(u.parameter + first_of_rest, last[0]);
    gradient = copied(u.gradient + first_of_rest, last[1]);
#pragma GCC unroll 4
    for (int s = 0; s < slots; ++s)
      if (slot[s] != nullptr) slot[s] = copied(u.slot[s] + first_of_rest, last[2 + s]);
    whole = lanes;
  }
  store_partial(u.parameter + first_of_rest, load(static_cast<const T*>(last[0])), rest);
#pragma GCC unroll 4
  for (int s = 0; s < slots; ++s)
    if (slot[s] != nullptr) store_partial(u.slot[s] + first_of_rest, load(static_cast<const T*>(last[2 + s])), rest);
}

template <class T>
[[gnu::noinline]] void optimizer_steps_in_parts(const OptimizerStep<T>& u,
                                                void (*steps)(const OptimizerStep<T>&, std::ptrdiff_t,
                                                              std::ptrdiff_t)) {
  parallel_ranges(u.size, 4 * kLanes<T>, 0.3, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { steps(u, begin, end); });
}

template <class Optimizer, class T>
void optimizer_update(const OptimizerStep<T>& u) {
  if (Optimizer::only_adds(u.scalars)) return add_scaled(u, u.scalars[0]);
  optimizer_steps_in_parts<T>(u, optimizer_steps<Optimizer, T>);
}

template <class T>
void add(const T* from, T* to, std::ptrdiff_t size) {
  for_each_vector<T>(size, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
    const Vec<T> sum = load_lanes(from + i, count, T(0)) + load_lanes(static_cast<const T*>(to) + i, count, T(0));
    store_lanes(to + i, sum, count);
  });
}

}  // namespace lamina::LAMINA_ISA
