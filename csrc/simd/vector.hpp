// One portable vector type and the operations on it that C++ operators do not give.
//
// Vec<T> is a GCC/Clang vector of kVectorBytes, so +, -, *, /, comparisons and `mask ? a : b` are the
// language's own. What needs an instruction by name (fused multiply-add, IEEE minimum, masked access)
// stands here once for each instruction set. Included only by csrc/isa/*.cpp, inside their namespace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef LAMINA_ISA
#error "include this from csrc/isa/*.cpp, which name the instruction set"
#endif

namespace lamina::LAMINA_ISA {

#if defined(__AVX512F__)
constexpr std::ptrdiff_t kVectorBytes = 64;
constexpr int kVectorRegisters = 32;
#elif defined(__AVX2__)
constexpr std::ptrdiff_t kVectorBytes = 32;
constexpr int kVectorRegisters = 16;
#elif defined(__aarch64__)
constexpr std::ptrdiff_t kVectorBytes = 16;
constexpr int kVectorRegisters = 32;
#else
constexpr std::ptrdiff_t kVectorBytes = 16;
constexpr int kVectorRegisters = 16;
#endif

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFusedMultiplyAdd = true;
#else
constexpr bool kFusedMultiplyAdd = false;
#endif

template <class T>
struct VectorTraits;
template <>
struct VectorTraits<float> {
  typedef float Real __attribute__((vector_size(kVectorBytes)));
  typedef std::int32_t Integer __attribute__((vector_size(kVectorBytes)));
  using Bits = std::int32_t;
  static constexpr int kMantissa = 23, kBias = 127;
};
template <>
struct VectorTraits<double> {
  typedef double Real __attribute__((vector_size(kVectorBytes)));
  typedef std::int64_t Integer __attribute__((vector_size(kVectorBytes)));
  using Bits = std::int64_t;
  static constexpr int kMantissa = 52, kBias = 1023;
};

template <class T>
using Vec = typename VectorTraits<T>::Real;
template <class T>
using IntVec = typename VectorTraits<T>::Integer;
template <class T>
constexpr std::ptrdiff_t kLanes = kVectorBytes / static_cast<std::ptrdiff_t>(sizeof(T));

template <class T>
[[gnu::always_inline]] inline Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
[[gnu::always_inline]] inline void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class T>
[[gnu::always_inline]] inline Vec<T> broadcast(T value) {
  return value - Vec<T>{};
}

template <class T>
[[gnu::always_inline]] inline IntVec<T> bits_of(Vec<T> v) {
  return reinterpret_cast<IntVec<T>>(v);
}

template <class T>
[[gnu::always_inline]] inline Vec<T> from_bits(IntVec<T> v) {
  return reinterpret_cast<Vec<T>>(v);
}

template <class T>
[[gnu::always_inline]] inline Vec<T> abs(Vec<T> v) {
  constexpr auto mask = static_cast<typename VectorTraits<T>::Bits>(~(std::uint64_t{1} << (8 * sizeof(T) - 1)));
  return from_bits<T>(bits_of<T>(v) & mask);
}

template <class T>
[[gnu::always_inline]] inline Vec<T> copy_sign(Vec<T> magnitude, Vec<T> sign) {
  constexpr auto mask = static_cast<typename VectorTraits<T>::Bits>(~(std::uint64_t{1} << (8 * sizeof(T) - 1)));
  return from_bits<T>((bits_of<T>(magnitude) & mask) | (bits_of<T>(sign) & ~mask));
}

// The same for a magnitude that is not negative.
template <class T>
[[gnu::always_inline]] inline Vec<T> with_sign(Vec<T> magnitude, Vec<T> sign) {
  constexpr auto mask = static_cast<typename VectorTraits<T>::Bits>(~(std::uint64_t{1} << (8 * sizeof(T) - 1)));
  return from_bits<T>(bits_of<T>(magnitude) | (bits_of<T>(sign) & ~mask));
}

template <class T>
constexpr T kInfinity = T(__builtin_inf());

// a * b + c in one rounding where the instruction set has it; in two on the x86-64-v2 baseline.
// minimum(a, b) and maximum(a, b) return b where either is NaN, so that the data goes second.
// load_partial reads the first `count` lanes (0 <= count < lanes) and fills the others; store_partial
// writes only those lanes. Neither touches memory beyond them.
#if defined(__AVX512F__)

[[gnu::always_inline]] inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
[[gnu::always_inline]] inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
[[gnu::always_inline]] inline Vec<float> minimum(Vec<float> a, Vec<float> b) { return _mm512_min_ps(a, b); }
[[gnu::always_inline]] inline Vec<double> minimum(Vec<double> a, Vec<double> b) { return _mm512_min_pd(a, b); }
[[gnu::always_inline]] inline Vec<float> maximum(Vec<float> a, Vec<float> b) { return _mm512_max_ps(a, b); }
[[gnu::always_inline]] inline Vec<double> maximum(Vec<double> a, Vec<double> b) { return _mm512_max_pd(a, b); }
[[gnu::always_inline]] inline Vec<float> sqrt(Vec<float> v) { return _mm512_sqrt_ps(v); }
[[gnu::always_inline]] inline Vec<double> sqrt(Vec<double> v) { return _mm512_sqrt_pd(v); }
[[gnu::always_inline]] inline Vec<float> load_partial(const float* p, std::ptrdiff_t count, float fill) {
  return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), static_cast<__mmask16>((1u << count) - 1), p);
}
[[gnu::always_inline]] inline Vec<double> load_partial(const double* p, std::ptrdiff_t count, double fill) {
  return _mm512_mask_loadu_pd(_mm512_set1_pd(fill), static_cast<__mmask8>((1u << count) - 1), p);
}
[[gnu::always_inline]] inline void store_partial(float* p, Vec<float> v, std::ptrdiff_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
}
[[gnu::always_inline]] inline void store_partial(double* p, Vec<double> v, std::ptrdiff_t count) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << count) - 1), v);
}

#elif defined(__AVX2__)

[[gnu::always_inline]] inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
[[gnu::always_inline]] inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
[[gnu::always_inline]] inline Vec<float> minimum(Vec<float> a, Vec<float> b) { return _mm256_min_ps(a, b); }
[[gnu::always_inline]] inline Vec<double> minimum(Vec<double> a, Vec<double> b) { return _mm256_min_pd(a, b); }
[[gnu::always_inline]] inline Vec<float> maximum(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a, b); }
[[gnu::always_inline]] inline Vec<double> maximum(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a, b); }
[[gnu::always_inline]] inline Vec<float> sqrt(Vec<float> v) { return _mm256_sqrt_ps(v); }
[[gnu::always_inline]] inline Vec<double> sqrt(Vec<double> v) { return _mm256_sqrt_pd(v); }
[[gnu::always_inline]] inline __m256i first_lanes(float, std::ptrdiff_t count) {
  const IntVec<float> lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return reinterpret_cast<__m256i>(lane < static_cast<std::int32_t>(count));
}
[[gnu::always_inline]] inline __m256i first_lanes(double, std::ptrdiff_t count) {
  const IntVec<double> lane = {0, 1, 2, 3};
  return reinterpret_cast<__m256i>(lane < static_cast<std::int64_t>(count));
}
[[gnu::always_inline]] inline Vec<float> load_partial(const float* p, std::ptrdiff_t count, float fill) {
  const __m256i mask = first_lanes(0.0f, count);
  return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
}
[[gnu::always_inline]] inline Vec<double> load_partial(const double* p, std::ptrdiff_t count, double fill) {
  const __m256i mask = first_lanes(0.0, count);
  return _mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask));
}
// A masked store takes a dozen cycles on some CPUs (Zen), these few stores take one or two.
[[gnu::always_inline]] inline void store_partial(float* p, Vec<float> v, std::ptrdiff_t count) {
  __m128 rest = _mm256_castps256_ps128(v);
  if ((count & 4) != 0) {
    _mm_storeu_ps(p, rest);
    rest = _mm256_extractf128_ps(v, 1);
    p += 4;
  }
  if ((count & 2) != 0) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
    rest = _mm_movehl_ps(rest, rest);
    p += 2;
  }
  if ((count & 1) != 0) _mm_store_ss(p, rest);
}
[[gnu::always_inline]] inline void store_partial(double* p, Vec<double> v, std::ptrdiff_t count) {
  __m128d rest = _mm256_castpd256_pd128(v);
  if ((count & 2) != 0) {
    _mm_storeu_pd(p, rest);
    rest = _mm256_extractf128_pd(v, 1);
    p += 2;
  }
  if ((count & 1) != 0) _mm_store_sd(p, rest);
}

#else

#if defined(__aarch64__)
[[gnu::always_inline]] inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return reinterpret_cast<Vec<float>>(
      vfmaq_f32(reinterpret_cast<float32x4_t>(c), reinterpret_cast<float32x4_t>(a), reinterpret_cast<float32x4_t>(b)));
}
[[gnu::always_inline]] inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return reinterpret_cast<Vec<double>>(
      vfmaq_f64(reinterpret_cast<float64x2_t>(c), reinterpret_cast<float64x2_t>(a), reinterpret_cast<float64x2_t>(b)));
}
[[gnu::always_inline]] inline Vec<float> sqrt(Vec<float> v) {
  return reinterpret_cast<Vec<float>>(vsqrtq_f32(reinterpret_cast<float32x4_t>(v)));
}
[[gnu::always_inline]] inline Vec<double> sqrt(Vec<double> v) {
  return reinterpret_cast<Vec<double>>(vsqrtq_f64(reinterpret_cast<float64x2_t>(v)));
}
#else
[[gnu::always_inline]] inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
[[gnu::always_inline]] inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
[[gnu::always_inline]] inline Vec<float> sqrt(Vec<float> v) { return _mm_sqrt_ps(v); }
[[gnu::always_inline]] inline Vec<double> sqrt(Vec<double> v) { return _mm_sqrt_pd(v); }
#endif
[[gnu::always_inline]] inline Vec<float> minimum(Vec<float> a, Vec<float> b) { return a < b ? a : b; }
[[gnu::always_inline]] inline Vec<double> minimum(Vec<double> a, Vec<double> b) { return a < b ? a : b; }
[[gnu::always_inline]] inline Vec<float> maximum(Vec<float> a, Vec<float> b) { return a > b ? a : b; }
[[gnu::always_inline]] inline Vec<double> maximum(Vec<double> a, Vec<double> b) { return a > b ? a : b; }
template <class T>
[[gnu::always_inline]] inline auto load_partial(const T* p, std::ptrdiff_t count, T fill) -> Vec<T> {
  Vec<T> v = broadcast<T>(fill);
  for (std::ptrdiff_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
template <class T, class V>
[[gnu::always_inline]] inline void store_partial(T* p, V v, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) p[i] = v[i];
}

#endif

// 64-bit unsigned lanes, and the product of their lower halves.
typedef std::uint64_t WideVec __attribute__((vector_size(kVectorBytes)));
constexpr std::ptrdiff_t kWideLanes = kVectorBytes / 8;
[[gnu::always_inline]] inline WideVec multiply_lower_halves(WideVec a, WideVec b) {
#if defined(__AVX512F__)
  return reinterpret_cast<WideVec>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<WideVec>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__x86_64__)
  return reinterpret_cast<WideVec>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

// Keeps the compiler from replacing a loaded vector by several loads.
template <class V>
[[gnu::always_inline]] inline void keep_loaded(V& v) {
#if defined(__AVX512F__)
  __asm__("" : "+v"(v));
#elif defined(__x86_64__)
  __asm__("" : "+x"(v));
#else
  __asm__("" : "+w"(v));
#endif
}

// Sum and maximum of all lanes, by halves: a fixed tree.
template <class T>
[[gnu::always_inline]] inline T sum_lanes(Vec<T> v) {
  T lane[kLanes<T>];
  __builtin_memcpy(lane, &v, sizeof v);
#pragma GCC unroll 4
  for (std::ptrdiff_t width = kLanes<T> / 2; width > 0; width /= 2)
#pragma GCC unroll 8
    for (std::ptrdiff_t i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

// The first (or second) half of each group of `Group` lanes of a, then of b.
template <class T, std::size_t Group, bool Second, std::size_t... I>
[[gnu::always_inline]] inline Vec<T> halves_of_groups(Vec<T> a, Vec<T> b, std::index_sequence<I...>) {
  constexpr std::size_t half = Group / 2;
  return __builtin_shufflevector(a, b, (I / half * Group + I % half + (Second ? half : 0))...);
}

// sum_lanes of r[0] … r[lanes - 1], each in a lane of its own. Overwrites r.
template <class T, std::size_t Group = static_cast<std::size_t>(kLanes<T>)>
[[gnu::always_inline]] inline Vec<T> sums_of_lanes(Vec<T>* r) {
  if constexpr (Group == 1) {
    return r[0];
  } else {
    constexpr auto lanes = std::make_index_sequence<static_cast<std::size_t>(kLanes<T>)>{};
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Group / 2; ++i)
      r[i] = halves_of_groups<T, Group, false>(r[2 * i], r[2 * i + 1], lanes) +
             halves_of_groups<T, Group, true>(r[2 * i], r[2 * i + 1], lanes);
    return sums_of_lanes<T, Group / 2>(r);
  }
}

template <class T>
[[gnu::always_inline]] inline T maximum_lanes(Vec<T> v) {
  T lane[kLanes<T>];
  __builtin_memcpy(lane, &v, sizeof v);
#pragma GCC unroll 4
  for (std::ptrdiff_t width = kLanes<T> / 2; width > 0; width /= 2)
#pragma GCC unroll 8
    for (std::ptrdiff_t i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
  return lane[0];
}

// Interleaves units of `U` numbers of a and b within every 128 bits: those of the lower or the upper halves. Shuffles
// within 128 bits are the cheapest ones.
template <class T, bool Upper, std::size_t U, std::size_t... I>
[[gnu::always_inline]] inline Vec<T> interleave(Vec<T> a, Vec<T> b, std::index_sequence<I...>) {
  constexpr std::size_t part = 16 / sizeof(T);
  return __builtin_shufflevector(
      a, b, (I / U % 2 * sizeof...(I) + I / part * part + I % part / U / 2 * U + I % U + (Upper ? part / 2 : 0))...);
}

// The blocks of `D` numbers of a and b in turn: those at even places, or those at odd places.
template <class T, bool Odd, std::size_t D, std::size_t... I>
[[gnu::always_inline]] inline Vec<T> alternate(Vec<T> a, Vec<T> b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (I / D % 2 * (sizeof...(I) - D) + I + (Odd ? D : 0))...);
}

// Exchanges blocks of `D` numbers beside the diagonal of a square matrix, then larger ones, up to halves of rows.
template <class T, std::size_t D>
[[gnu::always_inline]] inline void exchange(Vec<T> (&r)[kLanes<T>]) {
  constexpr std::size_t n = static_cast<std::size_t>(kLanes<T>);
  constexpr auto lanes = std::make_index_sequence<n>{};
  if constexpr (D < n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n; ++i) {
      if ((i & D) != 0) continue;
      const Vec<T> a = r[i], b = r[i + D];
      r[i] = alternate<T, false, D>(a, b, lanes);
      r[i + D] = alternate<T, true, D>(a, b, lanes);
    }
    exchange<T, 2 * D>(r);
  }
}

// Transposes the square matrix whose rows are r[0] … r[lanes - 1]: blocks of 128 bits by themselves, and then their
// places.
template <class T>
[[gnu::always_inline]] inline void transpose(Vec<T> (&r)[kLanes<T>]) {
  constexpr std::size_t n = static_cast<std::size_t>(kLanes<T>), part = 16 / sizeof(T);
  constexpr auto lanes = std::make_index_sequence<n>{};
#pragma GCC unroll 8
  for (std::size_t i = 0; i < n; i += part) {
    if constexpr (part == 2) {
      const Vec<T> a = r[i], b = r[i + 1];
      r[i] = interleave<T, false, 1>(a, b, lanes);
      r[i + 1] = interleave<T, true, 1>(a, b, lanes);
    } else {
      const Vec<T> a = interleave<T, false, 1>(r[i], r[i + 1], lanes),
                   b = interleave<T, true, 1>(r[i], r[i + 1], lanes),
                   c = interleave<T, false, 1>(r[i + 2], r[i + 3], lanes),
                   d = interleave<T, true, 1>(r[i + 2], r[i + 3], lanes);
      r[i] = interleave<T, false, 2>(a, c, lanes);
      r[i + 1] = interleave<T, true, 2>(a, c, lanes);
      r[i + 2] = interleave<T, false, 2>(b, d, lanes);
      r[i + 3] = interleave<T, true, 2>(b, d, lanes);
    }
  }
  exchange<T, part>(r);
}

// Calls body(offset, count) for every vector of a row of `n`: full ones with count == lanes, then the tail.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_vector(std::ptrdiff_t n, Body&& body) {
#ifdef __OPTIMIZE_SIZE__  // one copy of the body, which looks at each vector's count
  for (std::ptrdiff_t i = 0; i < n; i += kLanes<T>) body(i, n - i < kLanes<T> ? n - i : kLanes<T>);
#else
  std::ptrdiff_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) body(i, kLanes<T>);
  if (i < n) body(i, n - i);
#endif
}

template <class T>
[[gnu::always_inline]] inline Vec<T> load_lanes(const T* p, std::ptrdiff_t count, T fill) {
  return count == kLanes<T> ? load(p) : Vec<T>(load_partial(p, count, fill));
}

template <class T>
[[gnu::always_inline]] inline void store_lanes(T* p, Vec<T> v, std::ptrdiff_t count) {
  if (count == kLanes<T>)
    store(p, v);
  else
    store_partial(p, v, count);
}

}  // namespace lamina::LAMINA_ISA
