// Optimizer steps, in place, each element alone.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// θ ← θ - ηλθ (decoupled weight decay λ), then without momentum θ ← θ - ηg, else v ← μv - ηg and
// θ ← θ + v, or with Nesterov θ ← θ + μv - ηg. Sutskever et al. 2013, eqs. 1-4, as Keras writes them.
template <class T>
void sgd_update(const SgdUpdate<T>& u) {
  const Vec<T> rate = broadcast<T>(-u.learning_rate), momentum = broadcast<T>(u.momentum);
  const Vec<T> decay = broadcast<T>(-u.learning_rate * u.weight_decay);
  parallel_ranges(u.size, 4 * kLanes<T>, 0.2, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
      const std::ptrdiff_t i = begin + offset;
      const Vec<T> g = load_lanes(u.gradient + i, count, T(0));
      Vec<T> p = load_lanes(u.parameter + i, count, T(0));
      if (u.weight_decay != T(0)) p = fma(p, decay, p);
      if (u.velocity == nullptr) {
        p = fma(g, rate, p);
      } else {
        const Vec<T> v = fma(g, rate, Vec<T>(load_lanes(u.velocity + i, count, T(0)) * momentum));
        store_lanes(u.velocity + i, v, count);
        p = u.nesterov ? fma(g, rate, fma(v, momentum, p)) : p + v;
      }
      store_lanes(u.parameter + i, p, count);
    });
  });
}

}  // namespace lamina::LAMINA_ISA
