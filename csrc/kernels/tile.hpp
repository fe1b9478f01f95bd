// The micro-kernel: a tile of C kept in registers while the inner dimension runs by.
//
// C[R × V vectors] = bias + A B, or C + A B: for every k one row of V vectors of B is loaded and R elements of
// A are broadcast against it. Each element of C is one chain of fused multiply-adds in the order of k, from
// zero, added to C (or to the bias) at the end: so its bits depend on the segment of k alone, not on which
// tile it fell into.
#pragma once

#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// Tiles of packed operands: kTileRows × kTileVectors accumulators, as many as the registers hold beside a
// row of B and a broadcast.
constexpr int kTileRows = kVectorRegisters == 32 ? 12 : 6;
constexpr int kTileVectors = 2;
constexpr int kAccumulators = kTileRows * kTileVectors;

// Where B is read in place by few rows, wider tiles: more columns share the broadcast, and one row alone
// needs that many independent chains to hide the latency of the multiply-add.
constexpr int wide_vectors(int rows) {
  const int fits = kAccumulators / rows;
  return fits > 8 ? 8 : (fits < kTileVectors ? kTileVectors : fits);
}

template <class T>
struct Tile {
  const T* a;
  std::ptrdiff_t a_row, a_k;  // strides of A; packed tiles have a_row = 1, a_k = rows
  const T* b;
  std::ptrdiff_t b_k;  // stride of B's rows; within a row B is contiguous
  std::ptrdiff_t k;
  T* c;
  std::ptrdiff_t c_row;
  std::ptrdiff_t cols;  // of C, at most V vectors
  const T* bias;        // of the tile's columns, or null
  bool accumulate;      // C + A B instead of bias + A B
};

template <class T>
using TileKernel = void (*)(const Tile<T>&);

enum class TileOperands { packed, in_place, in_place_masked };

template <class T, int R, int V, TileOperands Operands>
void multiply_tile(const Tile<T>& t) {
  constexpr bool packed = Operands == TileOperands::packed, masked = Operands == TileOperands::in_place_masked;
  static_assert(!masked || V == 1);
  const std::ptrdiff_t a_row = packed ? 1 : t.a_row, a_k = packed ? R : t.a_k;
  Vec<T> sum[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};

  // Rows of A in groups of three, so that their addresses need one register a group.
  constexpr int groups = (R + 2) / 3;
  const T* a[groups];
#pragma GCC unroll 16
  for (int g = 0; g < groups; ++g) a[g] = t.a + 3 * g * a_row;
  const T* b = t.b;
  for (std::ptrdiff_t k = 0; k < t.k; ++k) {
    Vec<T> row[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) row[v] = masked ? Vec<T>(load_partial(b, t.cols, T(0))) : load(b + v * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> left = broadcast<T>(a[i / 3][(i % 3) * a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[i][v] = fma(left, row[v], sum[i][v]);
    }
#pragma GCC unroll 16
    for (int g = 0; g < groups; ++g) a[g] += a_k;
    b += t.b_k;
  }

  const std::ptrdiff_t last = t.cols - (V - 1) * kLanes<T>;  // columns in the last vector
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      T* c = t.c + i * t.c_row + v * kLanes<T>;
      const std::ptrdiff_t count = v + 1 < V ? kLanes<T> : last;
      if (t.accumulate)
        sum[i][v] += load_lanes(static_cast<const T*>(c), count, T(0));
      else if (t.bias != nullptr)
        sum[i][v] += load_lanes(t.bias + v * kLanes<T>, count, T(0));
      store_lanes(c, sum[i][v], count);
    }
  }
}

// The kernels for every number of rows and vectors, [rows - 1][vectors - 1].
template <class T>
struct TileTable {
  TileKernel<T> packed[kTileRows][kTileVectors];
  TileKernel<T> in_place[kTileRows][8];
  TileKernel<T> in_place_masked[kTileRows];
};

template <class T, int R, std::size_t... V>
constexpr void fill_in_place(TileTable<T>& table, std::index_sequence<V...>) {
  ((table.in_place[R - 1][V] = multiply_tile<T, R, static_cast<int>(V) + 1, TileOperands::in_place>), ...);
}

template <class T, std::size_t... R>
constexpr TileTable<T> make_tile_table(std::index_sequence<R...>) {
  TileTable<T> table{};
  ((table.packed[R][0] = multiply_tile<T, static_cast<int>(R) + 1, 1, TileOperands::packed>), ...);
  ((table.packed[R][1] = multiply_tile<T, static_cast<int>(R) + 1, 2, TileOperands::packed>), ...);
  ((table.in_place_masked[R] = multiply_tile<T, static_cast<int>(R) + 1, 1, TileOperands::in_place_masked>), ...);
  (fill_in_place<T, static_cast<int>(R) + 1>(
       table, std::make_index_sequence<static_cast<std::size_t>(wide_vectors(static_cast<int>(R) + 1))>{}),
   ...);
  return table;
}

template <class T>
constexpr TileTable<T> kTiles = make_tile_table<T>(std::make_index_sequence<kTileRows>{});

}  // namespace lamina::LAMINA_ISA
