// The products of narrow dense layers: vectors run along the rows of the batch, so that few columns need no padding.
//
//   forward      z = wᵀ x         w (inputs, outputs) is read one number at a time, x and z in vectors of rows
//   propagation  dx = w dz
//   gradient     dw = x dzᵀ       sums over rows: lane by lane, at last over the lanes
//
// Values lie transposed in panels of kPanelWidth rows of the batch (core/kernel_table.hpp: NarrowProduct). Memory
// beyond the last row, up to a multiple of a vector, is computed too, and ignored.
//
// An element of z or dx is one chain of multiply-adds in the order of the inputs or outputs, from zero: z has the bits
// that panel_product gives it. An element of dw is one chain over the rows for each lane, and the tree of sum_lanes.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/tile.hpp"

namespace lamina::LAMINA_ISA {

// Computes R rows of the result, from `first` on, for columns that begin at multiples of V vectors.
template <class T, int R, int V, bool Transposed>
void narrow_tile(const NarrowProduct<T>& p, std::ptrdiff_t first, Range columns) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  constexpr std::ptrdiff_t across = Transposed ? 1 : width, along = Transposed ? width : 1;  // of w
  constexpr int steps = unrolled_steps(R, V) / 2;  // more gains nothing: sums are short
  const std::ptrdiff_t depth = p.x.rows;
  for (std::ptrdiff_t column = columns.begin; column < columns.end; column += V * lanes) {
    const T *w = p.w + first * across, *x = p.x.data + column / width * p.x.panel_stride + column % width;
    Vec<T> sum[R][V];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
    const auto left = [&](int i, int u) { return broadcast<T>(w[i * across + u * along]); };
    const auto right = [&](int v, int u) { return load(x + u * width + v * lanes); };
    std::ptrdiff_t rest = depth;
    if constexpr (steps > 1) {
      for (; rest >= steps; rest -= steps) {
        add_products<T, R, V, steps>(sum, left, right);
        w += steps * along;
        x += steps * width;
        keep(w);
        keep(x);
      }
    }
#pragma GCC unroll 1
    for (; rest > 0; --rest) {
      add_products<T, R, V, 1>(sum, left, right);
      w += along;
      x += width;
    }
    T* z = p.z.data + column / width * p.z.panel_stride + column % width + first * width;
    if (p.clamp) {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[i][v] = maximum(Vec<T>{}, sum[i][v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(z + i * width + v * lanes, sum[i][v]);
  }
}

template <class T>
using NarrowTile = void (*)(const NarrowProduct<T>&, std::ptrdiff_t first, Range columns);

// The heights of tiles of kTileVectors vectors, and of one vector, which serves the last columns. Any number of rows is
// divided into a few of these; all numbers would be much code.
constexpr int kNarrowHeights[] = {1, 2, 3, 4, 6, 8, 12};
constexpr int kNarrowHeightCount = 7;

template <class T>
struct NarrowTileTable {
  NarrowTile<T> tile[kNarrowHeightCount][2];  // null if it would need more accumulators than there are
};

template <class T, bool Transposed, int H>
constexpr void fill_narrow_tiles(NarrowTileTable<T>& table) {
  constexpr int height = kNarrowHeights[H];
  if constexpr (height <= kMostTileRows) table.tile[H][0] = narrow_tile<T, height, 1, Transposed>;
  if constexpr (height <= kTileRows) table.tile[H][1] = narrow_tile<T, height, kTileVectors, Transposed>;
}

template <class T, bool Transposed, std::size_t... H>
constexpr NarrowTileTable<T> make_narrow_tiles(std::index_sequence<H...>) {
  NarrowTileTable<T> table{};
  (fill_narrow_tiles<T, Transposed, static_cast<int>(H)>(table), ...);
  return table;
}

template <class T, bool Transposed>
constexpr NarrowTileTable<T> kNarrowTiles =
    make_narrow_tiles<T, Transposed>(std::make_index_sequence<static_cast<std::size_t>(kNarrowHeightCount)>{});

// The height of the next tile of `rows` rows, as an index of kNarrowHeights: of the least number of tiles, nearly equal
// ones.
[[gnu::always_inline]] inline int narrow_height(std::ptrdiff_t rows, int most) {
  const std::ptrdiff_t even = ceil_div(rows, ceil_div(rows, most));
  int height = 0;
  while (kNarrowHeights[height] < even) ++height;
  return kNarrowHeights[height] <= smaller(rows, most) ? height : height - 1;
}

template <class T>
void narrow_product(const NarrowProduct<T>& p) {
  const NarrowTileTable<T>& table = p.transposed ? kNarrowTiles<T, true> : kNarrowTiles<T, false>;
  const auto multiply = [&](Range columns, bool wide) {
    for (std::ptrdiff_t row = 0; row < p.z.rows;) {
      const int height = narrow_height(p.z.rows - row, wide ? kTileRows : kMostTileRows);
      table.tile[height][wide](p, row, columns);
      row += kNarrowHeights[height];
    }
  };
  // Columns that do not fill a wide tile belong to one nevertheless, unless one vector holds them.
  constexpr std::ptrdiff_t wide = kTileVectors * kLanes<T>;
  const std::ptrdiff_t rest = p.x.cols % wide, whole = rest <= kLanes<T> ? p.x.cols - rest : p.x.cols;
  if (whole > 0) multiply({0, whole}, true);
  if (whole < p.x.cols) multiply({whole, p.x.cols}, false);
}

// The columns of a tile of dw, and its rows: as many sums as registers hold beside the operands.
constexpr int kNarrowColumns = 4;
constexpr int kNarrowRows = kVectorRegisters == 32 ? 4 : 3;

// sum_lanes of r[0] … r[Count - 1] in the first lanes of the result. Overwrites r.
template <class T, int Count, std::size_t Group = static_cast<std::size_t>(kLanes<T>)>
[[gnu::always_inline]] inline Vec<T> sums_of_some_lanes(Vec<T>* r) {
  if constexpr (Group == 1) {
    return r[0];
  } else {
    constexpr auto lanes = std::make_index_sequence<static_cast<std::size_t>(kLanes<T>)>{};
    constexpr int left = Count > 1 ? Count / 2 : 1;
#pragma GCC unroll 8
    for (int i = 0; i < left; ++i) {
      const Vec<T> first = r[Count > 1 ? 2 * i : 0], second = r[Count > 1 ? 2 * i + 1 : 0];
      r[i] = halves_of_groups<T, Group, false>(first, second, lanes) +
             halves_of_groups<T, Group, true>(first, second, lanes);
    }
    return sums_of_some_lanes<T, left, Group / 2>(r);
  }
}

// Stores the sums of the lanes of sum[0] … in `columns` columns of a row of dw, or adds them to it.
template <class T>
[[gnu::always_inline]] inline void finish_row(Vec<T>* sum, T* dw, std::ptrdiff_t columns, bool add) {
  constexpr int together = kLanes<T> < kNarrowColumns ? static_cast<int>(kLanes<T>) : kNarrowColumns;
#pragma GCC unroll 4
  for (int j = 0; j < kNarrowColumns; j += together) {
    const std::ptrdiff_t count = smaller(together, columns - j);
    if (count <= 0) return;
    Vec<T> total = sums_of_some_lanes<T, together>(sum + j);
    if (add) total += load_lanes(dw + j, count, T(0));
    store_lanes(dw + j, total, count);
  }
}

// Computes a tile of dw: rows from `row` on, `columns` columns from `column` on. More rows of dz exist, up to a
// multiple of kNarrowColumns.
template <class T, int R>
void narrow_gradient_tile(const NarrowGradient<T>& p, std::ptrdiff_t row, std::ptrdiff_t column,
                          std::ptrdiff_t columns) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  constexpr int vectors = static_cast<int>(width / lanes);
  const T *x = p.x.data + row * width, *dz = p.dz.data + column * width;
  Vec<T> sum[R][kNarrowColumns];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kNarrowColumns; ++j) sum[i][j] = Vec<T>{};
  std::ptrdiff_t rest = p.x.cols;
  for (; rest >= width; rest -= width) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      add_products<T, R, kNarrowColumns, 1>(
          sum, [&](int i, int) { return load(x + i * width + v * lanes); },
          [&](int j, int) { return load(dz + j * width + v * lanes); });
      keep(x);  // the compiler would load much at once, and run out of registers
      keep(dz);
    }
    x += p.x.panel_stride;
    dz += p.dz.panel_stride;
  }
#pragma GCC unroll 1
  for (; rest > 0; rest -= lanes, x += lanes, dz += lanes) {
    const std::ptrdiff_t rows = smaller(lanes, rest);
    add_products<T, R, kNarrowColumns, 1>(
        sum, [&](int i, int) -> Vec<T> { return load_lanes(x + i * width, rows, T(0)); },
        [&](int j, int) -> Vec<T> { return load_lanes(dz + j * width, rows, T(0)); });
  }
  T* dw = p.dw.data + row * p.dw.row_stride + column;
  const std::ptrdiff_t stride = p.dw.row_stride;
  const bool add = p.add;
  if (columns == kNarrowColumns) {  // a number that the compiler knows
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) finish_row<T>(sum[i], dw + i * stride, kNarrowColumns, add);
  } else {
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) finish_row<T>(sum[i], dw + i * stride, columns, add);
  }
}

template <class T>
using NarrowGradientTile = void (*)(const NarrowGradient<T>&, std::ptrdiff_t row, std::ptrdiff_t column,
                                    std::ptrdiff_t columns);
template <class T>
struct NarrowGradientTable {
  NarrowGradientTile<T> tile[kNarrowRows];
};
template <class T, std::size_t... R>
constexpr NarrowGradientTable<T> make_narrow_gradient_tiles(std::index_sequence<R...>) {
  return {{narrow_gradient_tile<T, static_cast<int>(R) + 1>...}};
}
template <class T>
constexpr NarrowGradientTable<T> kNarrowGradientTiles =
    make_narrow_gradient_tiles<T>(std::make_index_sequence<static_cast<std::size_t>(kNarrowRows)>{});

template <class T>
void narrow_gradient(const NarrowGradient<T>& p) {
  for (std::ptrdiff_t row = 0; row < p.x.rows; row += kNarrowRows) {
    const std::ptrdiff_t rows = smaller(kNarrowRows, p.x.rows - row);
    for (std::ptrdiff_t column = 0; column < p.dz.rows; column += kNarrowColumns)
      kNarrowGradientTiles<T>.tile[rows - 1](p, row, column, smaller(kNarrowColumns, p.dz.rows - column));
  }
}

}  // namespace lamina::LAMINA_ISA
