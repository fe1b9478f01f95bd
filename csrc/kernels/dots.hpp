// C = A Bᵀ for few rows of A, as dot products along the contiguous rows of both: transposing B would cost more than the
// product.
#pragma once

#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// C (m, n) = A (m, k) Bᵀ, B (n, k). An element of C is one vector of partial sums over all of k, whose lanes are added
// as a tree.
template <class T>
struct Dots {
  Matrix<const T> a, b;
  Matrix<T> c;
};

// Computes a tile of C from R rows of A and J rows of B.
template <class T, int R, int J>
void dot_tile(const Dots<T>& d, std::ptrdiff_t i, std::ptrdiff_t j) {
  Vec<T> sum[R][J];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < J; ++c) sum[r][c] = Vec<T>{};
  const T *a = d.a.data + i * d.a.stride, *b = d.b.data + j * d.b.stride;
  for_each_vector<T>(d.a.cols, [&](std::ptrdiff_t k, std::ptrdiff_t count) {
    Vec<T> left[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) left[r] = load_lanes(a + r * d.a.stride + k, count, T(0));
#pragma GCC unroll 16
    for (int c = 0; c < J; ++c) {
      const Vec<T> right = load_lanes(b + c * d.b.stride + k, count, T(0));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) sum[r][c] = fma(left[r], right, sum[r][c]);
    }
  });
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < J; ++c) d.c.data[(i + r) * d.c.stride + j + c] = sum_lanes<T>(sum[r][c]);
}

template <class T, int R>
void dot_rows(const Dots<T>& d, std::ptrdiff_t i, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr int together = R == 1 ? 8 : (kVectorRegisters == 32 ? 4 : 2);
  std::ptrdiff_t j = begin;
  for (; j + together <= end; j += together) dot_tile<T, R, together>(d, i, j);
  for (; j < end; ++j) dot_tile<T, R, 1>(d, i, j);
}

// Columns begin … end - 1 of C.
template <class T>
void multiply_dots(const Dots<T>& d, std::ptrdiff_t begin, std::ptrdiff_t end) {
  std::ptrdiff_t i = 0;
  for (; i + 4 <= d.a.rows; i += 4) dot_rows<T, 4>(d, i, begin, end);
  for (; i < d.a.rows; ++i) dot_rows<T, 1>(d, i, begin, end);
}

}  // namespace lamina::LAMINA_ISA
