// C = A B (+ bias): the three products of a dense layer, for operands with any strides.
//
//   forward      y  = x  w      A = x,   B = w    (both in place or packed)
//   gradient     dw = xᵀ dz     A = xᵀ,  B = dz   (A's rows are adjacent in memory)
//   propagation  dx = dz wᵀ     A = dz,  B = wᵀ   (B's columns are adjacent in memory along k: see dot_block)
//
// Every element of C is a sum over k in segments of segment_length(k, columns): inside a segment one chain of
// multiply-adds from zero, the segments added in order. That order depends on the shape of B alone, never
// on the rows of A or on the threads, so that a row of y has the same bits whatever batch it is in.
//
// Threads: each takes a rectangle of C and works alone, its packing buffers included; no barrier, nothing shared.
#pragma once

#include "core/workspace.hpp"
#include "kernels/tile.hpp"

namespace lamina::LAMINA_ISA {

template <class T>
struct Product {
  std::ptrdiff_t m, n, k;
  const T* a;
  std::ptrdiff_t a_row, a_k;
  const T* b;
  std::ptrdiff_t b_k, b_col;  // one of them is 1
  T* c;
  std::ptrdiff_t c_row;
  const T* bias;  // (n,) or null
};

// A panel is kTileVectors vectors wide.
template <class T>
constexpr std::ptrdiff_t kPanel = kTileVectors * kLanes<T>;

// Long sums are cut so that a panel of B stays in the caches and rounding errors stay small; sums for few
// columns are cut finer, because there a single row finds its independent chains in the segments.
template <class T>
[[gnu::always_inline]] inline std::ptrdiff_t segment_length(std::ptrdiff_t k, std::ptrdiff_t columns) {
  std::ptrdiff_t segments = k <= 384 ? 1 : ceil_div(k, 256);
  if (columns <= 3 * kLanes<T> && k >= 64) segments = larger(segments, 4);
  return larger(1, ceil_div(k, segments));
}

// Elements of B that one packed block holds: half of a 1 MB second-level cache.
template <class T>
constexpr std::ptrdiff_t kPackedElements = (512 << 10) / static_cast<std::ptrdiff_t>(sizeof(T));
constexpr std::ptrdiff_t kRowTiles = 10;  // tiles of A packed at a time

// Rows of tile `t` of `tiles` begin at m * t / tiles: balanced, the sizes differ by at most one.
[[gnu::always_inline]] inline std::ptrdiff_t tile_begin(std::ptrdiff_t m, std::ptrdiff_t t, std::ptrdiff_t tiles) {
  return m * t / tiles;
}

// Panels [k][kPanel] of B's rows k0 … k0 + kc - 1 and columns j0 … j1 - 1, padded with zeros.
template <class T>
void pack_b(const Product<T>& p, std::ptrdiff_t k0, std::ptrdiff_t kc, std::ptrdiff_t j0, std::ptrdiff_t j1, T* out) {
  constexpr std::ptrdiff_t lanes = kLanes<T>;
  for (std::ptrdiff_t j = j0; j < j1; j += kPanel<T>, out += kc * kPanel<T>) {
    for (std::ptrdiff_t v = 0; v < kTileVectors; ++v) {
      const std::ptrdiff_t column = j + v * lanes;
      const std::ptrdiff_t count = smaller(lanes, larger(0, j1 - column));
      T* to = out + v * lanes;
      if (count == 0) {
        for (std::ptrdiff_t k = 0; k < kc; ++k) store(to + k * kPanel<T>, Vec<T>{});
      } else if (p.b_col == 1) {
        const T* from = p.b + k0 * p.b_k + column;
        for (std::ptrdiff_t k = 0; k < kc; ++k) store(to + k * kPanel<T>, load_lanes(from + k * p.b_k, count, T(0)));
      } else {
        const T* from = p.b + column * p.b_col + k0;
        for_each_vector<T>(kc, [&](std::ptrdiff_t k, std::ptrdiff_t depth) {
          Vec<T> block[lanes];
#pragma GCC unroll 16
          for (std::ptrdiff_t i = 0; i < lanes; ++i)
            block[i] = i < count ? load_lanes(from + i * p.b_col + k, depth, T(0)) : Vec<T>{};
          transpose<T>(block);
          if (depth == lanes) {
#pragma GCC unroll 16
            for (std::ptrdiff_t i = 0; i < lanes; ++i) store(to + (k + i) * kPanel<T>, block[i]);
          } else {
            for (std::ptrdiff_t i = 0; i < depth; ++i) store(to + (k + i) * kPanel<T>, block[i]);
          }
        });
      }
    }
  }
}

// Tiles [k][rows] of A's rows i0 … i1 - 1, balanced over `tiles`.
template <class T>
void pack_a(const Product<T>& p, std::ptrdiff_t k0, std::ptrdiff_t kc, std::ptrdiff_t i0, std::ptrdiff_t i1,
            std::ptrdiff_t tiles, T* out) {
  for (std::ptrdiff_t t = 0; t < tiles; ++t) {
    const std::ptrdiff_t begin = tile_begin(i1 - i0, t, tiles), rows = tile_begin(i1 - i0, t + 1, tiles) - begin;
    const T* from = p.a + (i0 + begin) * p.a_row + k0 * p.a_k;
    if (p.a_row == 1) {
      for (std::ptrdiff_t k = 0; k < kc; ++k)
        for_each_vector<T>(rows, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
          store_lanes(out + k * rows + i, load_lanes(from + k * p.a_k + i, count, T(0)), count);
        });
    } else {
      for (std::ptrdiff_t i = 0; i < rows; ++i)
        for (std::ptrdiff_t k = 0; k < kc; ++k) out[k * rows + i] = from[i * p.a_row + k * p.a_k];
    }
    out += rows * kc;
  }
}

// Few rows: B is read once, in place.
template <class T>
void multiply_in_place(const Product<T>& p, std::ptrdiff_t i0, std::ptrdiff_t i1, std::ptrdiff_t j0, std::ptrdiff_t j1,
                       std::ptrdiff_t segment) {
  const int rows = static_cast<int>(i1 - i0);
  const std::ptrdiff_t wide = wide_vectors(rows);
  for (std::ptrdiff_t j = j0; j < j1;) {
    const std::ptrdiff_t vectors = smaller(wide, (j1 - j) / kLanes<T>);
    const std::ptrdiff_t cols = vectors > 0 ? vectors * kLanes<T> : j1 - j;
    const TileKernel<T> kernel =
        vectors > 0 ? kTiles<T>.in_place[rows - 1][vectors - 1] : kTiles<T>.in_place_masked[rows - 1];
    for (std::ptrdiff_t k0 = 0; k0 == 0 || k0 < p.k; k0 += segment) {
      kernel({p.a + i0 * p.a_row + k0 * p.a_k, p.a_row, p.a_k, p.b + k0 * p.b_k + j, p.b_k, smaller(segment, p.k - k0),
              p.c + i0 * p.c_row + j, p.c_row, cols, p.bias == nullptr ? nullptr : p.bias + j, k0 > 0});
    }
    j += cols;
  }
}

// Many rows: B packed into panels, A packed too where several panels will read it.
template <class T>
void multiply_packed(const Product<T>& p, std::ptrdiff_t i0, std::ptrdiff_t i1, std::ptrdiff_t j0, std::ptrdiff_t j1,
                     std::ptrdiff_t segment) {
  const std::ptrdiff_t m = i1 - i0;
  const std::ptrdiff_t block = larger(kPanel<T>, kPackedElements<T> / segment / kPanel<T> * kPanel<T>);
  const std::ptrdiff_t widest = ceil_div(smaller(block, j1 - j0), kPanel<T>) * kPanel<T>;
  T* packed_b = static_cast<T*>(scratch(Scratch::packed_b, static_cast<std::size_t>(widest * segment) * sizeof(T)));
  const bool pack_rows = widest > 2 * kPanel<T>;
  const std::ptrdiff_t tiles = ceil_div(m, kTileRows);
  const std::ptrdiff_t chunks = ceil_div(tiles, kRowTiles);
  T* packed_a = nullptr;
  if (pack_rows)
    packed_a = static_cast<T*>(
        scratch(Scratch::packed_a, static_cast<std::size_t>(kRowTiles * kTileRows * segment) * sizeof(T)));

  for (std::ptrdiff_t k0 = 0; k0 == 0 || k0 < p.k; k0 += segment) {
    const std::ptrdiff_t kc = smaller(segment, p.k - k0);
    for (std::ptrdiff_t jc = j0; jc < j1; jc += block) {
      const std::ptrdiff_t jend = smaller(j1, jc + block);
      pack_b(p, k0, kc, jc, jend, packed_b);
      for (std::ptrdiff_t chunk = 0; chunk < chunks; ++chunk) {
        const std::ptrdiff_t ic = i0 + tile_begin(m, chunk, chunks), iend = i0 + tile_begin(m, chunk + 1, chunks);
        const std::ptrdiff_t rows = iend - ic, here = ceil_div(rows, kTileRows);
        if (pack_rows) pack_a(p, k0, kc, ic, iend, here, packed_a);
        for (std::ptrdiff_t j = jc; j < jend; j += kPanel<T>) {
          const std::ptrdiff_t cols = smaller(kPanel<T>, jend - j);
          const int vectors = cols > kLanes<T> ? 2 : 1;
          for (std::ptrdiff_t t = 0; t < here; ++t) {
            const std::ptrdiff_t begin = tile_begin(rows, t, here), height = tile_begin(rows, t + 1, here) - begin;
            const std::ptrdiff_t i = ic + begin;
            const T* a = pack_rows ? packed_a + begin * kc : p.a + i * p.a_row + k0 * p.a_k;
            const TileKernel<T> kernel =
                pack_rows ? kTiles<T>.packed[height - 1][vectors - 1] : kTiles<T>.in_place[height - 1][vectors - 1];
            kernel({a, p.a_row, p.a_k, packed_b + (j - jc) * kc, kPanel<T>, kc, p.c + i * p.c_row + j, p.c_row, cols,
                    p.bias == nullptr ? nullptr : p.bias + j, k0 > 0});
          }
        }
      }
    }
  }
}

// Few rows against wᵀ: dot products along the contiguous k of both operands, R rows of A by J of B at once.
// An element is one vector of partial sums over all of k, added up as a tree.
template <class T, int R, int J>
void dot_tile(const Product<T>& p, std::ptrdiff_t i, std::ptrdiff_t j) {
  Vec<T> sum[R][J];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < J; ++c) sum[r][c] = Vec<T>{};
  const T *a = p.a + i * p.a_row, *b = p.b + j * p.b_col;
  for_each_vector<T>(p.k, [&](std::ptrdiff_t k, std::ptrdiff_t count) {
    Vec<T> left[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) left[r] = load_lanes(a + r * p.a_row + k, count, T(0));
#pragma GCC unroll 16
    for (int c = 0; c < J; ++c) {
      const Vec<T> right = load_lanes(b + c * p.b_col + k, count, T(0));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) sum[r][c] = fma(left[r], right, sum[r][c]);
    }
  });
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < J; ++c) p.c[(i + r) * p.c_row + j + c] = sum_lanes<T>(sum[r][c]);
}

template <class T, int R>
void dot_rows(const Product<T>& p, std::ptrdiff_t i, std::ptrdiff_t j0, std::ptrdiff_t j1) {
  constexpr int together = R == 1 ? 8 : (kVectorRegisters == 32 ? 4 : 2);
  std::ptrdiff_t j = j0;
  for (; j + together <= j1; j += together) dot_tile<T, R, together>(p, i, j);
  for (; j < j1; ++j) dot_tile<T, R, 1>(p, i, j);
}

template <class T>
void dot_block(const Product<T>& p, std::ptrdiff_t i0, std::ptrdiff_t i1, std::ptrdiff_t j0, std::ptrdiff_t j1) {
  std::ptrdiff_t i = i0;
  for (; i + 4 <= i1; i += 4) dot_rows<T, 4>(p, i, j0, j1);
  for (; i < i1; ++i) dot_rows<T, 1>(p, i, j0, j1);
}

// Rows below which dx is computed as dot products; from here on packing wᵀ pays. A choice by shape only.
constexpr std::ptrdiff_t kDotRows = 12;

template <class T>
void multiply_block(const Product<T>& p, std::ptrdiff_t i0, std::ptrdiff_t i1, std::ptrdiff_t j0, std::ptrdiff_t j1,
                    std::ptrdiff_t segment) {
  if (i0 >= i1 || j0 >= j1) return;
  if (p.b_col != 1 && p.m < kDotRows) return dot_block(p, i0, i1, j0, j1);
  if (p.b_col == 1 && i1 - i0 <= kTileRows) return multiply_in_place(p, i0, i1, j0, j1, segment);
  multiply_packed(p, i0, i1, j0, j1, segment);
}

// How many threads divide the rows; the others divide the columns. The cost of a division is the packing that
// it repeats: every thread packs its columns of B and its rows of A.
[[gnu::always_inline]] inline int row_threads(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t panel, int threads) {
  int best = 1;
  double lowest = 0;
  for (int rows = 1; rows <= threads; ++rows) {
    if (threads % rows != 0) continue;
    const double height = static_cast<double>(ceil_div(ceil_div(m, kTileRows), rows) * kTileRows);
    const double width = static_cast<double>(ceil_div(ceil_div(n, panel), threads / rows) * panel);
    const double cost = height * width + 16 * (height + width);
    if (rows == 1 || cost < lowest) {
      lowest = cost;
      best = rows;
    }
  }
  return best;
}

// After its rectangle is complete each thread calls finish(i0, i1, j0, j1) on it, still warm in its caches.
template <class T, class Finish>
void multiply(const Product<T>& p, Finish&& finish) {
  const std::ptrdiff_t segment = segment_length<T>(p.k, p.n);
  const double operations = static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k + 1);
  const double nanoseconds = operations / (4.0 * static_cast<double>(kLanes<T>));
  const int threads = threads_for(nanoseconds);
  if (threads == 1) {
    multiply_block(p, 0, p.m, 0, p.n, segment);
    finish(std::ptrdiff_t{0}, p.m, std::ptrdiff_t{0}, p.n);
    return;
  }
  run_team(threads, [&](int index, int count) {
    const int down = row_threads(p.m, p.n, kPanel<T>, count), across = count / down;
    const std::ptrdiff_t row = index / across, column = index % across;
    const std::ptrdiff_t tiles = ceil_div(p.m, kTileRows), panels = ceil_div(p.n, kPanel<T>);
    const std::ptrdiff_t i0 = tiles * row / down * kTileRows, j0 = panels * column / across * kPanel<T>;
    const std::ptrdiff_t i1 = smaller(p.m, tiles * (row + 1) / down * kTileRows);
    const std::ptrdiff_t j1 = smaller(p.n, panels * (column + 1) / across * kPanel<T>);
    multiply_block(p, i0, i1, j0, j1, segment);
    if (i0 < i1 && j0 < j1) finish(i0, i1, j0, j1);
  });
}

template <class T>
void multiply(const Product<T>& p) {
  multiply(p, [](std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {});
}

}  // namespace lamina::LAMINA_ISA
