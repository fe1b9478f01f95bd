// The products of a dense layer on panels (core/matrix.hpp: Panels).
//
//   forward      z = x w + b     A = x, B = w                 a row's sums run over `in`
//   propagation  dxᵀ = w dzᵀ     A = w, B = dzᵀ               a row's sums run over `out`
//   gradient     dw = xᵀ dz      A = x (transposed), B = dz   sums run over a range of rows of the batch
//
// Every sum over `in` or `out` is cut into segments of kSegment terms. A segment is one chain of multiply-adds from
// zero, and the segments are added in order. That order depends on the length of the sum alone, never on rows, batch or
// threads. A gradient is one chain over the rows of the call; the caller chooses them by the size of the batch alone.
//
// Everything runs on one thread; the caller divides rows and panels. Nothing is packed or allocated.
#pragma once

#include "core/caches.hpp"
#include "core/kernel_table.hpp"
#include "kernels/tile.hpp"

namespace lamina::LAMINA_ISA {

[[gnu::always_inline]] constexpr std::ptrdiff_t segment_end(std::ptrdiff_t depth, std::ptrdiff_t segment,
                                                            std::ptrdiff_t segments) {
  return segment + 1 == segments ? depth : (segment + 1) * kSegment;
}

// Rows that share one pass over a segment of B, so that their segment of A stays in the second-level cache.
constexpr std::ptrdiff_t kRowBlock = 256;

// Calls body(panel, offset, columns, vectors) for groups of at most `most` vectors that cover the columns of panels
// begin … end - 1 of a matrix of `cols` columns.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_group(std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t cols,
                                                  int most, Body&& body) {
  const std::ptrdiff_t last = smaller(end * kPanelWidth<T>, cols);
  std::ptrdiff_t column = begin * kPanelWidth<T>;
  while (column < last) {
    const std::ptrdiff_t left = ceil_div(last - column, kLanes<T>);
    int vectors = most;
    while (vectors > left) vectors /= 2;
    const std::ptrdiff_t columns = smaller(last - column, vectors * kLanes<T>);
    body(column / kPanelWidth<T>, column % kPanelWidth<T>, columns, vectors);
    column += vectors * kLanes<T>;
  }
}

// Divides memory that is needed next among the tiles of a product. A tile prefetches a few neighbouring cache lines of
// each of kRowsPrefetched rows.
class Prefetching {
 public:
  // `height`: rows of a tile.
  [[gnu::always_inline]] Prefetching(const Upcoming& next, std::ptrdiff_t height)
      : next_(next), bytes_(prefetched_lines(static_cast<int>(height)) * kLineBytes) {}

  template <class T>
  [[gnu::always_inline]] void give(PanelTile<T>& t) {
    if (byte_ >= next_.bytes) {  // nothing is left
      t.ahead = static_cast<const char*>(next_.data);
      t.ahead_step = 0;
      return;
    }
    t.ahead = static_cast<const char*>(next_.data) + row_ * next_.row_bytes + byte_;
    t.ahead_step = next_.row_bytes;
    if ((row_ += kRowsPrefetched) >= next_.rows) {
      row_ = 0;
      byte_ += bytes_;
    }
  }

 private:
  static constexpr std::ptrdiff_t kRowsPrefetched = kSegment / kUnrolled;

  Upcoming next_;
  std::ptrdiff_t bytes_, row_ = 0, byte_ = 0;
};

// `size` contiguous numbers, as rows of as many lines as a tile of that height prefetches at a time.
template <class T>
[[gnu::always_inline]] inline Upcoming contiguous(const T* data, std::ptrdiff_t size, std::ptrdiff_t height) {
  const std::ptrdiff_t bytes = prefetched_lines(static_cast<int>(height)) * kLineBytes;
  return {data, ceil_div(size * static_cast<std::ptrdiff_t>(sizeof(T)), bytes), bytes, bytes};
}

// Segments that `rows` rows of A go through before the next panel of B follows, so that these segments of A take at
// most half of the second-level cache and stay there for all panels.
template <class T>
[[gnu::always_inline]] inline std::ptrdiff_t segments_together(std::ptrdiff_t rows, std::ptrdiff_t segments) {
  if (segments <= 1) return 1;
  const std::ptrdiff_t segment_bytes = rows * kSegment * static_cast<std::ptrdiff_t>(sizeof(T));
  const std::ptrdiff_t most = larger(1, caches().second.share() / 2 / segment_bytes);
  return ceil_div(segments, ceil_div(segments, most));
}

// Prefetches rows of a panel, to be written.
template <class T>
[[gnu::always_inline]] inline void prefetch_rows(const T* row, std::ptrdiff_t stride, std::ptrdiff_t rows) {
  for (; rows > 0; --rows, row += stride) {
    __builtin_prefetch(row, 1);
    __builtin_prefetch(row + kLineElements<T>, 1);
  }
}

template <class T>
void panel_product(const PanelProduct<T>& p) {
  const std::ptrdiff_t depth = p.a.cols;
  const std::ptrdiff_t segments = segment_count(depth), last = p.segments.end < 0 ? segments : p.segments.end;
  PanelTile<T> t{};
  t.a_row = p.a.row_stride;
  t.a_panel = p.a.panel_stride;
  t.b_row = p.b.row_stride;
  t.b_panel = p.b.panel_stride;
  t.c_row = p.c.row_stride;
  t.c_panel = p.c.panel_stride;
  t.bias_panel = p.bias_panel;
  t.floor = p.floor;
  Prefetching ahead({}, 1);
  bool given = false;
  const bool apart = t.c_row != kPanelWidth<T>;  // rows of C may lie in a page each
  const auto segment_of_b = [&](std::ptrdiff_t panel, std::ptrdiff_t segment) {
    return p.b.data + panel * p.b.panel_stride + (segment - p.data_segment) * kSegment * p.b.row_stride;
  };
  // One group of columns, all rows of a block, one segment.
  const auto multiply = [&](std::ptrdiff_t row, std::ptrdiff_t rows, int vectors, std::ptrdiff_t s, const T* next) {
    const std::ptrdiff_t tiles = ceil_div(rows, tile_rows(vectors)), low = rows / tiles, taller = rows % tiles;
    t.k_begin = (s - p.data_segment) * kSegment;
    t.k_end = segment_end(depth, s, segments) - p.data_segment * kSegment;
    t.end = s == 0 ? TileEnd::store : TileEnd::add;
    t.clamp = p.clamp && s + 1 == segments;
    t.streams = tiles == 1;
    t.a = p.a.data + row * t.a_row;
    T* c = t.c;
    if (t.streams) {  // it prefetches the rows of B itself
      kPanelTiles<T>.plain[rows - 1][log2_of(vectors)](t);
      return;
    }
    if (p.next.data == nullptr)
      ahead = Prefetching(contiguous(next, kSegment * t.b_row, low), low);
    else if (!given)
      ahead = Prefetching(p.next, low);
    given = true;
    // Afterwards they lie in the second-level cache at least, which is near enough for all but the fastest units.
    const bool fetch_c = apart && (kVectorRegisters == 32 || s == p.segments.begin);
    const PanelTileKernel<T>(*const kernels)[4] = kPanelTiles<T>.plain + low - 1;
    const int place = log2_of(vectors);
    for (std::ptrdiff_t tile = 0; tile < tiles; ++tile) {
      const std::ptrdiff_t height = tile < taller ? low + 1 : low;
      ahead.give(t);
      if (fetch_c) prefetch_rows(t.c, t.c_row, height);
      kernels[height - low][place](t);
      t.a += height * t.a_row;
      t.c += height * t.c_row;
    }
    t.c = c;
  };
  for (std::ptrdiff_t block = p.rows.begin; block < p.rows.end; block += kRowBlock) {
    const std::ptrdiff_t rows = smaller(kRowBlock, p.rows.end - block);
    const int most = rows <= kMostTileRows ? panel_vectors(static_cast<int>(rows)) : kTileVectors;
    const std::ptrdiff_t together = segments_together<T>(rows, last - p.segments.begin);
    for (std::ptrdiff_t first = p.segments.begin; first < last; first += together) {
      const std::ptrdiff_t stop = smaller(last, first + together);
      for_each_group<T>(p.panels.begin, p.panels.end, p.c.cols, most,
                        [&](std::ptrdiff_t panel, std::ptrdiff_t offset, std::ptrdiff_t columns, int vectors) {
                          t.b = p.b.data + panel * p.b.panel_stride + offset;
                          t.c = p.c.data + panel * p.c.panel_stride + offset + block * p.c.row_stride;
                          t.bias = p.bias == nullptr ? nullptr : p.bias + panel * p.bias_panel + offset;
                          t.cols = columns;
                          for (std::ptrdiff_t s = first; s < stop; ++s)
                            multiply(block, rows, vectors, s,
                                     s + 1 < stop               ? segment_of_b(panel, s + 1)
                                     : panel + 1 < p.panels.end ? segment_of_b(panel + 1, first)
                                                                : segment_of_b(p.panels.begin, stop));
                        });
    }
  }
}

// The height of the next of few nearly equal tiles for `left` rows of a gradient.
[[gnu::always_inline]] inline std::ptrdiff_t transposed_height(std::ptrdiff_t left, std::ptrdiff_t most) {
  if (left <= most) return is_transposed_height(left) ? left : left - left / 2;
  const std::ptrdiff_t height = left <= 2 * most ? left - left / 2 : ceil_div(left, 3);
  const std::ptrdiff_t wanted = height <= most ? height : most;
  return is_transposed_height(wanted) ? wanted : wanted + 1;
}

template <class T>
void panel_gradient(const PanelGradient<T>& p) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  PanelTile<T> t{};
  t.a_row = p.x.row_stride;
  t.b_row = p.dz.row_stride;
  t.c_row = p.dw.row_stride;
  t.k_begin = p.rows.begin;
  t.k_end = p.rows.end;
  t.end = p.end == GradientEnd::store ? TileEnd::store : p.end == GradientEnd::add ? TileEnd::add : TileEnd::add_scaled;
  t.factor = p.factor;
  const bool contiguous_rows = p.dw.row_stride == width;
  const auto block = [&](std::ptrdiff_t panel, std::ptrdiff_t above) {
    return p.dw.data + (panel - p.dw_panel) * p.dw.panel_stride + (above - p.dw_x_panel) * width * p.dw.row_stride;
  };
  for (std::ptrdiff_t panel = p.panels.begin; panel < p.panels.end; ++panel) {
    for (std::ptrdiff_t above = p.x_panels.begin; above < p.x_panels.end; ++above) {
      const std::ptrdiff_t rows = smaller(width, p.x.cols - above * width);
      for_each_group<T>(panel, panel + 1, p.dz.cols, kTileVectors,
                        [&](std::ptrdiff_t, std::ptrdiff_t offset, std::ptrdiff_t columns, int vectors) {
                          const std::ptrdiff_t most = tile_rows(vectors);
                          t.a = p.x.data + above * p.x.panel_stride;
                          t.b = p.dz.data + panel * p.dz.panel_stride + offset;
                          t.c = block(panel, above) + offset;
                          t.cols = columns;
                          for (std::ptrdiff_t left = rows, height; left > 0; left -= height) {
                            height = transposed_height(left, most);
                            // The rows of the next tile, which may be the first of the next panel.
                            const T* next = t.c + height * t.c_row;
                            if (left == height && above + 1 == p.x_panels.end && panel + 1 < p.panels.end)
                              next = block(panel + 1, p.x_panels.begin);
                            if (contiguous_rows) {
                              Prefetching(contiguous(next, height * width, height), height).give(t);
                            } else {
                              t.ahead = reinterpret_cast<const char*>(next);
                              prefetch_rows(next, t.c_row, height);
                            }
                            kPanelTiles<T>.transposed[height - 1][log2_of(vectors)](t);
                            t.a += height;
                            t.c += height * t.c_row;
                          }
                        });
    }
  }
}

template <class T, int V>
[[gnu::always_inline]] inline void sum_columns(const T* from, std::ptrdiff_t stride, std::ptrdiff_t rows, T* sums) {
  Vec<T> total[V] = {};
  for (std::ptrdiff_t i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) total[v] += load(from + i * stride + v * kLanes<T>);
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) store(sums + v * kLanes<T>, total[v]);
}

// sums[j] = Σ_rows dz[i][j], each one chain, for the columns of a panel. Sums the whole panel with its padding, or the
// first vector alone if the columns fit into it.
template <class T>
void panel_column_sums(Panels<const T> dz, Range rows, std::ptrdiff_t panel, T* sums) {
  const T* from = dz.data + panel * dz.panel_stride + rows.begin * dz.row_stride;
  if (dz.cols - panel * kPanelWidth<T> > kLanes<T>)
    sum_columns<T, static_cast<int>(kPanelVectors<T>)>(from, dz.row_stride, rows.size(), sums);
  else
    sum_columns<T, 1>(from, dz.row_stride, rows.size(), sums);
}

// to[c][r] = from[r][c] for rows and columns of `from`; both ranges begin at multiples of a vector. Whole vectors are
// written: zeros fill the last vector of a row of `to`.
template <class T>
void panel_transpose(const PanelTranspose<T>& p) {
  constexpr std::ptrdiff_t lanes = kLanes<T>, width = kPanelWidth<T>;
  const std::ptrdiff_t from_row = p.from.row_stride, to_row = p.to.row_stride;
  for (std::ptrdiff_t c = p.columns.begin; c < p.columns.end; c += lanes) {
    const std::ptrdiff_t columns = smaller(lanes, p.columns.end - c);
    const T* from = p.from.data + c / width * p.from.panel_stride + c % width + p.rows.begin * from_row;
    for (std::ptrdiff_t r = p.rows.begin; r < p.rows.end; r += lanes, from += lanes * from_row) {
      const std::ptrdiff_t rows = smaller(lanes, p.rows.end - r);
      T* to = p.to.data + panel_of(r, width) * p.to.panel_stride + c * to_row + r % width;
      keep(from);
      Vec<T> block[lanes];
      if (rows == lanes && columns == lanes) {
#pragma GCC unroll 16
        for (std::ptrdiff_t i = 0; i < lanes; ++i) block[i] = load(from + i * from_row);
        transpose<T>(block);
#pragma GCC unroll 16
        for (std::ptrdiff_t i = 0; i < lanes; ++i) store(to + i * to_row, block[i]);
      } else {
        for (std::ptrdiff_t i = 0; i < lanes; ++i)
          block[i] = i < rows ? Vec<T>(load_lanes(from + i * from_row, columns, T(0))) : Vec<T>{};
        transpose<T>(block);
        for (std::ptrdiff_t i = 0; i < columns; ++i) store(to + i * to_row, block[i]);
      }
    }
  }
}

}  // namespace lamina::LAMINA_ISA
