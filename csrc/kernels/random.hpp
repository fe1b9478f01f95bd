// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
// Element i of a stream is a function of (key, counter, i), in whatever order the elements are computed.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/math.hpp"

namespace lamina::LAMINA_ISA {

struct PhiloxBlock {
  std::uint32_t word[4];
};

// Block `index` of the stream: four 32-bit words.
[[gnu::always_inline]] inline PhiloxBlock philox(RandomStream stream, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream.counter), c3 = static_cast<std::uint32_t>(stream.counter >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(stream.key), k1 = static_cast<std::uint32_t>(stream.key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0, p1 = std::uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// Computes blocks index, index + 1, …: lane i of c[w] is word w of block index + i.
[[gnu::always_inline]] inline void philox_blocks(RandomStream stream, std::uint64_t index, WideVec* c) {
  constexpr std::uint64_t low = 0xffffffff;
  WideVec c0{}, c1{}, c2{}, c3{};
  for (std::ptrdiff_t i = 0; i < kWideLanes; ++i) {
    const std::uint64_t block = index + static_cast<std::uint64_t>(i);
    c0[i] = block & low;
    c1[i] = block >> 32;
  }
  c2 += stream.counter & low;
  c3 += stream.counter >> 32;
  std::uint64_t k0 = stream.key & low, k1 = stream.key >> 32;
  for (int round = 0; round < 10; ++round) {
    const WideVec p0 = multiply_lower_halves(c0, WideVec{} + 0xD2511F53),
                  p1 = multiply_lower_halves(c2, WideVec{} + 0xCD9E8D57);
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c1 = p1 & low;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c3 = p0 & low;
    k0 = (k0 + 0x9E3779B9) & low;
    k1 = (k1 + 0xBB67AE85) & low;
  }
  c[0] = c0;
  c[1] = c1;
  c[2] = c2;
  c[3] = c3;
}

// Lane i holds the first 64 bits of block index + i.
[[gnu::always_inline]] inline WideVec philox_words(RandomStream stream, std::uint64_t index) {
  WideVec c[4];
  philox_blocks(stream, index, c);
  return c[0] | c[1] << 32;
}

[[gnu::always_inline]] inline std::uint64_t wide_word(const PhiloxBlock& block, std::ptrdiff_t half) {
  return block.word[2 * half] | static_cast<std::uint64_t>(block.word[2 * half + 1]) << 32;
}

// Φ⁻¹(u) for 0 < u < 1, relative error below 1e-8. The results for u and 1 - u are exactly opposite.
[[gnu::always_inline]] inline Vec<double> normal_quantile(Vec<double> u) {
  const Vec<double> q = u + u - 1.0;
  const Vec<double> w = -log<double>(4.0 * u * (1.0 - u));
  const Vec<double> positive = maximum(Vec<double>{}, w);
  const Vec<double> centre = polynomial<double>(coefficients::Table<double>::quantile_centre, positive - 3.0);
  const Vec<double> tail = polynomial<double>(coefficients::Table<double>::quantile_tail, sqrt(positive) - 4.5);
  return q * (w < 6.0 ? centre : tail);
}

// Uniform on (0, 1), never 0 or 1: 32 bits for float32, 52 for float64.
template <class T>
[[gnu::always_inline]] inline double open_unit(const PhiloxBlock& block, std::ptrdiff_t within) {
  if (sizeof(T) == 4) return (static_cast<double>(block.word[within]) + 0.5) * 0x1p-32;
  return (static_cast<double>(wide_word(block, within) >> 12) + 0.5) * 0x1p-52;
}

template <class T>
[[gnu::cold]] void random_fill(Distribution distribution, RandomStream stream, T a, T b, T* out, std::ptrdiff_t size) {
  constexpr std::ptrdiff_t per_block = 16 / static_cast<std::ptrdiff_t>(sizeof(T));
  constexpr std::ptrdiff_t chunk = larger(per_block, kLanes<double>);
  constexpr double kTailBelow = 0.022750131948179207;  // Φ(-2)
  parallel_ranges(size, chunk, 8, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (std::ptrdiff_t i = begin; i < end; i += chunk) {
      double u[chunk];
      for (std::ptrdiff_t block = 0; block < chunk / per_block; ++block) {
        const PhiloxBlock words = philox(stream, static_cast<std::uint64_t>(i / per_block + block));
        for (std::ptrdiff_t k = 0; k < per_block; ++k) u[block * per_block + k] = open_unit<T>(words, k);
      }
      for (std::ptrdiff_t k = 0; k < chunk; k += kLanes<double>) {
        Vec<double> v = load(u + k);
        if (distribution == Distribution::truncated_normal) v = v * (1.0 - 2.0 * kTailBelow) + kTailBelow;
        if (distribution != Distribution::uniform) v = normal_quantile(v);
        store(u + k, v);
      }
      for (std::ptrdiff_t k = 0; k < chunk && i + k < end; ++k) {
        if (distribution == Distribution::uniform) {
          const T value =
              static_cast<T>(static_cast<double>(a) + u[k] * (static_cast<double>(b) - static_cast<double>(a)));
          out[i + k] = value < b || a == b ? value : a;  // rounding may reach b, which the interval excludes
        } else {
          out[i + k] = static_cast<T>(static_cast<double>(a) + u[k] * static_cast<double>(b));
        }
      }
    }
  });
}

// Fisher-Yates shuffle; position i draws from block i.
inline void permutation(RandomStream stream, std::int64_t* out, std::ptrdiff_t size) {
  for (std::ptrdiff_t i = 0; i < size; ++i) out[i] = i;
  for (std::ptrdiff_t end = size; end > 1;) {
    const std::ptrdiff_t begin = (end - 1) / kWideLanes * kWideLanes;
    const WideVec words = philox_words(stream, static_cast<std::uint64_t>(begin));
    for (std::ptrdiff_t i = end - 1; i >= begin && i > 0; --i) {
      const auto product = static_cast<unsigned __int128>(words[i - begin]) * static_cast<std::uint64_t>(i + 1);
      const auto j = static_cast<std::ptrdiff_t>(product >> 64);
      const std::int64_t swapped = out[i];
      out[i] = out[j];
      out[j] = swapped;
    }
    end = begin;
  }
}

}  // namespace lamina::LAMINA_ISA
