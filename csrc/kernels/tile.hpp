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

[[gnu::always_inline]] inline int log2_of(int vectors) {
  return vectors == 8 ? 3 : (vectors == 4 ? 2 : (vectors == 2 ? 1 : 0));
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
  bool streams;  // B is read for this tile alone
  // Memory that is needed next: for every kUnrolled values of k, prefetched_lines(R) cache lines of it are
  // prefetched, each time `ahead_step` bytes after the time before.
  const char* ahead;
  std::ptrdiff_t ahead_step;
};

// Keeps the compiler from replacing a pointer by several, which it would have to advance one by one.
template <class T>
[[gnu::always_inline]] inline void keep(const T*& pointer) {
  __asm__("" : "+r"(pointer));
}

// The panel that a column lies in. Columns are not negative, which makes the division a shift.
[[gnu::always_inline]] constexpr std::ptrdiff_t panel_of(std::ptrdiff_t column, std::ptrdiff_t width) {
  return static_cast<std::ptrdiff_t>(static_cast<std::size_t>(column) / static_cast<std::size_t>(width));
}

// Adds the products for `Steps` values of k to the sums; left(i, u) and right(v, u) are the operands for the u-th of
// them. It keeps the operand that needs fewer registers.
template <class T, int R, int V, int Steps, class Left, class Right>
[[gnu::always_inline]] inline void add_products(Vec<T> (&sum)[R][V], const Left& left, const Right& right) {
#pragma GCC unroll 8
  for (int u = 0; u < Steps; ++u) {
    if constexpr (V <= R) {
      Vec<T> kept[V];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) kept[v] = right(v, u);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const Vec<T> one = left(i, u);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sum[i][v] = fma(one, kept[v], sum[i][v]);
      }
    } else {
      Vec<T> kept[R];
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) kept[i] = left(i, u);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        const Vec<T> one = right(v, u);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) sum[i][v] = fma(kept[i], one, sum[i][v]);
      }
    }
  }
}

// In tiles that are at least half as large as possible k is unrolled, so that pointers, prefetches and the loop cost
// little beside the multiply-adds. Instruction sets without fused multiply-adds (before 2013) do without.
constexpr int kUnrolled = 4;
constexpr int unrolled_steps(int rows, int vectors) {
  return kFusedMultiplyAdd && 2 * rows * vectors >= kAccumulators ? kUnrolled : 1;
}
// Cache lines that a tile prefetches at a time: more if it has more rows, because fewer tiles share the work.
constexpr int prefetched_lines(int rows) { return (rows + 3) / 4; }

template <int Lines>
[[gnu::always_inline]] inline void prefetch_lines(const char* first) {
#pragma GCC unroll 12
  for (int line = 0; line < Lines; ++line) __builtin_prefetch(first + line * kLineBytes);
}

// The sums of a tile whose rows of A and B follow each other in panels: all operands for several values of k have
// constant distances from one pointer each.
template <class T, int R, int V, bool Transposed>
[[gnu::always_inline]] inline void sum_packed(const PanelTile<T>& t, Vec<T> (&sum)[R][V]) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  constexpr std::ptrdiff_t across = Transposed ? 1 : width, along = Transposed ? width : 1;  // of A
  constexpr int steps = unrolled_steps(R, V);
  const T* a;
  const T* b = t.b + t.k_begin * width;
  const char* ahead = t.ahead;
  // The next tile reads the rows of A below this tile's. They are prefetched too: the few lines of a small tile at the
  // beginning of a panel, those of a large one evenly. Tiles of few rows have none below.
  constexpr bool fetch_below = !Transposed && 2 * R >= tile_rows(V), evenly = kVectorRegisters == 32;
  const auto left = [&](int i, int u) { return broadcast<T>(a[i * across + u * along]); };
  const auto right = [&](int v, int u) { return load(b + u * width + v * kLanes<T>); };
  // The range of k begins with a panel of A, where k runs along it.
  const T* first = Transposed ? t.a + t.k_begin * width : t.a + panel_of(t.k_begin, width) * t.a_panel;
  const std::ptrdiff_t most = Transposed ? t.k_end - t.k_begin : width;
  for (std::ptrdiff_t rest = t.k_end - t.k_begin; rest > 0; rest -= most, first += t.a_panel) {
    const std::ptrdiff_t count = smaller(rest, most);
    a = first;
    [[maybe_unused]] const char* below = reinterpret_cast<const char*>(first + R * width);
    if constexpr (fetch_below && !evenly) prefetch_lines<2 * R>(below);
    for (std::ptrdiff_t whole = count / steps; whole > 0; --whole) {
      if constexpr (steps > 1) {
        prefetch_lines<prefetched_lines(R)>(ahead);
        ahead += t.ahead_step;
      }
      if constexpr (fetch_below && evenly) {
        prefetch_lines<prefetched_lines(R)>(below);
        below += steps * R * static_cast<std::ptrdiff_t>(sizeof(T));
      }
      add_products<T, R, V, steps>(sum, left, right);
      a += steps * along;
      b += steps * width;
      keep(a);
      keep(b);
    }
#pragma GCC unroll 1
    for (std::ptrdiff_t last = count % steps; last > 0; --last) {
      add_products<T, R, V, 1>(sum, left, right);
      a += along;
      b += width;
    }
  }
}

// The sums of any tile. Reading B from memory limits a product of a few rows, so rows of B are prefetched early.
template <class T, int R, int V, bool Transposed>
[[gnu::always_inline]] inline void sum_strided(const PanelTile<T>& t, Vec<T> (&sum)[R][V]) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  constexpr int span = V * lanes > width ? static_cast<int>(V * lanes / width) : 1, groups = (R + 2) / 3;
  constexpr int line = static_cast<int>(larger(1, kLineElements<T> / lanes));  // vectors of a cache line
  const std::ptrdiff_t a_row = t.a_row, b_row = t.b_row;
  const std::ptrdiff_t across = Transposed ? 1 : a_row, along = Transposed ? a_row : 1;
  const T *a[groups], *b[span];
#pragma GCC unroll 8
  for (int s = 0; s < span; ++s) b[s] = t.b + s * t.b_panel + t.k_begin * b_row;
  const auto place = [&](int v) { return b[v * lanes / width] + v * lanes % width; };
  const T* first = Transposed ? t.a + t.k_begin * a_row : t.a + panel_of(t.k_begin, width) * t.a_panel;
  const std::ptrdiff_t most = Transposed ? t.k_end - t.k_begin : width;
  for (std::ptrdiff_t rest = t.k_end - t.k_begin; rest > 0; rest -= most, first += t.a_panel) {
#pragma GCC unroll 16
    for (int g = 0; g < groups; ++g) a[g] = first + 3 * g * across;
#pragma GCC unroll 1
    for (std::ptrdiff_t last = smaller(rest, most); last > 0; --last) {
      if constexpr (!Transposed) {
#pragma GCC unroll 8
        for (int v = 0; v < V; v += line) __builtin_prefetch(place(v) + kRowsAhead * b_row);
      }
      add_products<T, R, V, 1>(
          sum, [&](int i, int) { return broadcast<T>(a[i / 3][i % 3 * across]); },
          [&](int v, int) { return load(place(v)); });
#pragma GCC unroll 16
      for (int g = 0; g < groups; ++g) a[g] += along;
#pragma GCC unroll 8
      for (int s = 0; s < span; ++s) b[s] += b_row;
    }
  }
}

template <class T, int R, int V, bool Transposed>
void panel_tile(const PanelTile<T>& t) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  const auto place = [](int v, std::ptrdiff_t panel) { return v * lanes / width * panel + v * lanes % width; };
  Vec<T> sum[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
  constexpr bool unrolled = V * lanes <= width && unrolled_steps(R, V) > 1;
  bool summed = false;
  if constexpr (unrolled) {
    if (t.a_row == width && t.b_row == width && !t.streams) {
      sum_packed<T, R, V, Transposed>(t, sum);
      summed = true;
    }
  }
  if (!summed) sum_strided<T, R, V, Transposed>(t, sum);

  // Finishes the sums. Each branch is taken once for the whole tile, not for every element.
  const std::ptrdiff_t last = t.cols - (V - 1) * lanes;
  const bool whole = last == lanes;
  const std::ptrdiff_t c_row = t.c_row, c_panel = t.c_panel;  // copies: the compiler must assume that a store changes t
  T* const c_first = t.c;
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
      const T* c = c_first + place(v, c_panel);
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
    T* c = c_first + place(v, c_panel);
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

// There are no transposed tiles of these heights: the rows of a gradient are the columns of a panel, which seldom need
// them, and the wheel is smaller.
constexpr bool is_transposed_height(std::ptrdiff_t rows) { return rows <= 6 || rows % 2 == 0; }

template <class T, int R, int V>
constexpr void fill_panel_tiles(PanelTileTable<T>& table, int place) {
  if constexpr (R * V <= kAccumulators) {
    table.plain[R - 1][place] = panel_tile<T, R, V, false>;
    if constexpr (V <= kTileVectors && is_transposed_height(R))
      table.transposed[R - 1][place] = panel_tile<T, R, V, true>;
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
