// The micro-kernel on panels: a tile of C stays in registers while k runs over the inner dimension.
//
// Plain:       C[R × V vectors] = A B,   A's rows are the tile's rows and k runs along them;
// transposed:  C[R × V vectors] = Aᵀ B,  A's columns are the tile's rows and k runs down them.
//
// For every k one row of V vectors of B is loaded and multiplied by R broadcast elements of A. An element of C is one
// chain of fused multiply-adds in the order of k, from zero, and is then stored, added to C, or added times a factor.
// So its bits depend on the range of k alone, not on the tile that it belongs to.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// A tile has as many accumulators as the registers can hold besides a row of B and a broadcast element of A, or, if
// there are only 16, besides a vector of B and all broadcast elements of A. A tile of fewer rows is wider, because it
// needs as many independent chains to hide the latency of the multiply-add.
constexpr int kAccumulators = kVectorRegisters == 32 ? 24 : 12;
constexpr int kTileVectors = kVectorRegisters == 32 ? 2 : 4;
constexpr int kTileRows = kAccumulators / kTileVectors;
// Rows of a tile of fewer vectors, for the last columns.
constexpr int kMostTileRows = kAccumulators / 2;
constexpr int tile_rows(int vectors) { return vectors >= kTileVectors ? kTileRows : kMostTileRows; }

template <class T>
constexpr std::ptrdiff_t kPanelVectors = kPanelWidth<T> / kLanes<T>;

// Vectors of a tile of `rows` rows: 8, 4 or 2, as many as the accumulators hold.
constexpr int kWidestTile = 8;
constexpr int panel_vectors(int rows) {
  const int fits = kAccumulators / rows;
  return fits >= kWidestTile ? kWidestTile : (fits >= 4 ? 4 : 2);
}

constexpr std::ptrdiff_t kRowsAhead = 16;
constexpr std::ptrdiff_t kLineBytes = 64;
template <class T>
constexpr std::ptrdiff_t kLineElements = kLineBytes / static_cast<std::ptrdiff_t>(sizeof(T));

enum class TileEnd : std::uint8_t { store, add, add_scaled };

template <class T>
struct PanelTile {
  const T* a;
  std::ptrdiff_t a_row, a_panel;
  const T* b;
  std::ptrdiff_t b_row, b_panel;
  std::ptrdiff_t k_begin, k_end;
  T* c;
  std::ptrdiff_t c_row, c_panel;
  std::ptrdiff_t cols;  // of C, more than V - 1 vectors and at most V
  const T* bias;        // of the tile's first column, panels `bias_panel` apart, or null; added only if C is stored
  std::ptrdiff_t bias_panel;
  TileEnd end;
  T factor;
  bool clamp;  // C = max(C, floor) at the end
  T floor;
  // Memory that is needed next: one cache line of it is prefetched for each k, `ahead_step` bytes after the one for
  // the k before.
  const T* ahead;
  std::ptrdiff_t ahead_step;
};

template <class T, int R, int V, bool Transposed>
void panel_tile(const PanelTile<T>& t) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  constexpr int span = V * lanes > width ? static_cast<int>(V * lanes / width) : 1;
  const auto place = [](int v, std::ptrdiff_t panel) { return v * lanes / width * panel + v * lanes % width; };
  Vec<T> sum[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};

  const T* b[span];
#pragma GCC unroll 8
  for (int s = 0; s < span; ++s) b[s] = t.b + s * t.b_panel + t.k_begin * t.b_row;
  const char* ahead = reinterpret_cast<const char*>(t.ahead);
  constexpr int groups = (R + 2) / 3;
  // Prefetches the rows of A below this tile's, which the next tile reads: R elements for each k, so that R rows of a
  // panel are complete after a panel. Tiles of few rows have no tile below them.
  constexpr bool fetch_below = !Transposed && 2 * R >= tile_rows(V);
  const std::ptrdiff_t row = Transposed ? 1 : t.a_row, step = Transposed ? t.a_row : 1;
  const std::ptrdiff_t below_step = t.a_row == width ? R : 0;  // rows that are not contiguous are left to the hardware
  for (std::ptrdiff_t k = t.k_begin; k < t.k_end;) {
    const std::ptrdiff_t stop = Transposed ? t.k_end : smaller(t.k_end, (k / width + 1) * width);
    const T* first = Transposed ? t.a + k * t.a_row : t.a + k / width * t.a_panel + k % width;
    const T* a[groups];
#pragma GCC unroll 16
    for (int g = 0; g < groups; ++g) a[g] = first + 3 * g * row;
    const T* below = first + R * t.a_row;
    for (; k < stop; ++k) {
      if constexpr (fetch_below) {
        __builtin_prefetch(below);
        below += below_step;
      }
      if constexpr (V == kWidestTile) {  // limited by reading B from memory: fetches rows of B early
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) __builtin_prefetch(b[v * lanes / width] + v * lanes % width + kRowsAhead * t.b_row);
      } else {
        __builtin_prefetch(ahead);
        ahead += t.ahead_step;
      }
      if constexpr (V <= R) {  // keeps the operand that needs fewer registers
        Vec<T> right[V];
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) right[v] = load(b[v * lanes / width] + v * lanes % width);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
          const Vec<T> left = broadcast<T>(a[i / 3][(i % 3) * row]);
#pragma GCC unroll 16
          for (int v = 0; v < V; ++v) sum[i][v] = fma(left, right[v], sum[i][v]);
        }
      } else {
        Vec<T> left[R];
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) left[i] = broadcast<T>(a[i / 3][(i % 3) * row]);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) {
          const Vec<T> right = load(b[v * lanes / width] + v * lanes % width);
#pragma GCC unroll 16
          for (int i = 0; i < R; ++i) sum[i][v] = fma(left[i], right, sum[i][v]);
        }
      }
#pragma GCC unroll 16
      for (int g = 0; g < groups; ++g) a[g] += step;
#pragma GCC unroll 8
      for (int s = 0; s < span; ++s) b[s] += t.b_row;
    }
  }

  // Finishes the sums. Each branch is taken once for the whole tile, not for every element.
  const std::ptrdiff_t last = t.cols - (V - 1) * lanes;
  const bool whole = last == lanes;
  const std::ptrdiff_t c_row = t.c_row;  // a copy: the compiler must assume that a store changes t
  if (t.end == TileEnd::store) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      Vec<T> bias{};
      if (t.bias != nullptr) bias = load_lanes(t.bias + place(v, t.bias_panel), v + 1 < V ? lanes : last, T(0));
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) sum[i][v] += bias;
    }
  } else {  // a factor of 1 is exact
    const Vec<T> factor = broadcast<T>(t.end == TileEnd::add ? T(1) : t.factor);
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const T* c = t.c + place(v, t.c_panel);
      if (v + 1 < V || whole) {
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) sum[i][v] = fma(factor, sum[i][v], load(c + i * c_row));
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) sum[i][v] = fma(factor, sum[i][v], Vec<T>(load_lanes(c + i * c_row, last, T(0))));
      }
    }
  }
  if (t.clamp) {
    const Vec<T> floor = broadcast<T>(t.floor);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[i][v] = maximum(floor, sum[i][v]);
  }
#pragma GCC unroll 16
  for (int v = 0; v < V; ++v) {
    T* c = t.c + place(v, t.c_panel);
    if (v + 1 < V || whole) {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) store(c + i * c_row, sum[i][v]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) store_lanes(c + i * c_row, sum[i][v], last);
    }
  }
}

template <class T>
using PanelTileKernel = void (*)(const PanelTile<T>&);

// The kernels for every number of rows and 1, 2, 4 or 8 vectors, [rows - 1][log2 vectors]; null if there are too few
// accumulators.
template <class T>
struct PanelTileTable {
  PanelTileKernel<T> plain[kMostTileRows][4];
  PanelTileKernel<T> transposed[kMostTileRows][4];
};

template <class T, int R, int V>
constexpr void fill_panel_tiles(PanelTileTable<T>& table, int place) {
  if constexpr (R * V <= kAccumulators) {
    table.plain[R - 1][place] = panel_tile<T, R, V, false>;
    if constexpr (V <= kTileVectors) table.transposed[R - 1][place] = panel_tile<T, R, V, true>;
  }
}

template <class T, std::size_t... R>
constexpr PanelTileTable<T> make_panel_tiles(std::index_sequence<R...>) {
  PanelTileTable<T> table{};
  (fill_panel_tiles<T, static_cast<int>(R) + 1, 1>(table, 0), ...);
  (fill_panel_tiles<T, static_cast<int>(R) + 1, 2>(table, 1), ...);
  (fill_panel_tiles<T, static_cast<int>(R) + 1, 4>(table, 2), ...);
  (fill_panel_tiles<T, static_cast<int>(R) + 1, 8>(table, 3), ...);
  return table;
}

template <class T>
constexpr PanelTileTable<T> kPanelTiles = make_panel_tiles<T>(std::make_index_sequence<kMostTileRows>{});

}  // namespace lamina::LAMINA_ISA
