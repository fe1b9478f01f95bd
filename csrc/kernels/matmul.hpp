// The three products of a dense layer for row-major matrices, computed by the products on panels (panels.hpp):
//
//   forward      y  = x w + b   A = x, B = w                  B packed into panels; read in place if A has few rows
//   propagation  dx = dz wᵀ     A = dz, B = w, transposed     B transposed into panels; few rows: dots.hpp
//   gradient     dw = xᵀ dz     A = x, B = dz                 both packed, a range of rows at a time
//
// The order of every sum is that of panels.hpp, a function of the length of the sum; a gradient is summed over ranges
// of kGradientDepth rows, each one chain, added in order. Each thread computes a rectangle of C with its own packing
// buffers: there is no barrier and nothing is shared.
#pragma once

#include "core/workspace.hpp"
#include "kernels/dots.hpp"
#include "kernels/panels.hpp"

namespace lamina::LAMINA_ISA {

// Segments of the sums that are computed at a time: kRowBlock rows of A then take half of a second-level cache of 1 MB
// (float32), and stay there for all columns of B.
constexpr std::ptrdiff_t kDepthSegments = 4;
// Bytes of a packed block of B. All rows of A are multiplied by it, in blocks that are packed too if the block of B has
// at least kWideColumns columns.
constexpr std::ptrdiff_t kPackedBytes = 4 << 20;
constexpr std::ptrdiff_t kWideColumns = 192;
// Bytes of that block if A has fewer than kManyRows rows: it then stays in a second-level cache.
constexpr std::ptrdiff_t kManyRows = 64, kNearBytes = 256 << 10;
// B is read in place for at most one tile of rows, or for at most kRowsInPlace rows if it takes more than kNearMatrix
// bytes and so comes from beyond a second-level cache: its rows may be a page apart, which only packing reads well.
constexpr std::ptrdiff_t kNearMatrix = 1 << 20, kRowsInPlace = kVectorRegisters == 32 ? 2 : 1;
// Threads divide rows at multiples of this: whole tiles.
constexpr std::ptrdiff_t kRowGrain = 12;
// Most bytes of each packed operand of a gradient: half of a second-level cache of 1 MB.
constexpr std::ptrdiff_t kGradientBytes = 512 << 10;
// Rows that a gradient sums in one chain, and rows that are packed at a time.
constexpr std::ptrdiff_t kGradientDepth = 128;
constexpr std::ptrdiff_t kGradientRows = 4 * kGradientDepth;
// Fewer rows than this are propagated as dot products. The choice depends on the shape alone.
constexpr std::ptrdiff_t kDotRows = 12;

constexpr std::ptrdiff_t kPanelsTogether = 4;
// Packing reads rows that may be a page apart, so each row is prefetched this many rows before it is read.
constexpr std::ptrdiff_t kRowsEarly = 8;

// A row-major matrix as panels; its last panel is not padded.
template <class T>
[[gnu::always_inline]] inline Panels<T> as_panels(const Matrix<T>& m) {
  return {m.data, m.rows, m.cols, kPanelWidth<T>, m.stride};
}

template <class T>
[[gnu::always_inline]] inline T* pack_memory(Scratch which, std::ptrdiff_t panels, std::ptrdiff_t rows) {
  return static_cast<T*>(scratch(which, static_cast<std::size_t>(panels * rows * kPanelBytes)));
}

// Copies columns begin … end - 1 of rows first … first + rows - 1 into panels, padded with zeros.
template <class T>
Panels<T> pack_columns(const Matrix<const T>& m, std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t begin,
                       std::ptrdiff_t end, Scratch memory) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t panels = ceil_div(end - begin, width);
  const Panels<T> packed{pack_memory<T>(memory, panels, rows), rows, end - begin, rows * width, width};
  // A few panels at once: rows may be a page apart.
  for (std::ptrdiff_t group = 0; group < panels; group += kPanelsTogether) {
    const std::ptrdiff_t group_end = smaller(panels, group + kPanelsTogether);
    const std::ptrdiff_t column = begin + group * width, left = end - column;
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      const T* from = m.data + (first + i) * m.stride + column;
      T* to = packed.data + group * packed.panel_stride + i * width;
      if (left >= kPanelsTogether * width) {
        const T* later = from + (i + kRowsEarly < rows ? kRowsEarly * m.stride : 0);
#pragma GCC unroll 4
        for (std::ptrdiff_t panel = 0; panel < kPanelsTogether; ++panel) {
#pragma GCC unroll 2
          for (std::ptrdiff_t line = 0; line < kPanelBytes / kLineBytes; ++line)
            __builtin_prefetch(later + panel * width + line * kLineElements<T>);
#pragma GCC unroll 8
          for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v)
            store(to + panel * packed.panel_stride + v * kLanes<T>, load(from + panel * width + v * kLanes<T>));
        }
        continue;
      }
      for (std::ptrdiff_t panel = 0; panel < group_end - group; ++panel) {
        const std::ptrdiff_t count = smaller(width, left - panel * width);
#pragma GCC unroll 8
        for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v)
          store(to + panel * packed.panel_stride + v * kLanes<T>,
                load_lanes(from + panel * width + v * kLanes<T>, smaller(kLanes<T>, larger(0, count - v * kLanes<T>)),
                           T(0)));
      }
    }
  }
  return packed;
}

// Copies columns first … first + depth - 1 of rows begin … end - 1, transposed, into panels.
template <class T>
Panels<T> pack_transposed(const Matrix<const T>& m, std::ptrdiff_t first, std::ptrdiff_t depth, std::ptrdiff_t begin,
                          std::ptrdiff_t end, Scratch memory) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Panels<T> packed{pack_memory<T>(memory, ceil_div(end - begin, width), depth), depth, end - begin, depth * width,
                         width};
  const Panels<const T> from =
      as_panels(Matrix<const T>{m.data + begin * m.stride + first, end - begin, depth, m.stride});
  panel_transpose<T>({.from = from, .to = packed, .rows = {0, end - begin}, .columns = {0, depth}});
  return packed;
}

// C = A B + bias, or C = A Bᵀ + bias.
template <class T>
struct Product {
  Matrix<const T> a, b;
  bool transposed = false;
  Matrix<T> c;
  const T* bias = nullptr;

  std::ptrdiff_t depth() const { return a.cols; }
};

template <class T>
struct Rectangle {
  Range rows, columns;
};

// Computes segments segment_begin … segment_stop - 1 of the sums in columns begin … end - 1 and the rectangle's rows.
// `b` holds these columns and segments of B. A wide product reads its rows of A many times, so it packs them: rows
// whose distance is a power of two would push each other out of the caches.
template <class T>
void multiply_columns(const Product<T>& p, const Rectangle<T>& r, std::ptrdiff_t begin, std::ptrdiff_t end,
                      const Panels<const T>& b, std::ptrdiff_t segment_begin, std::ptrdiff_t segment_stop) {
  const bool pack = end - begin >= kWideColumns && r.rows.size() > kRowGrain;
  const std::ptrdiff_t block = pack ? kRowBlock : r.rows.size();
  const std::ptrdiff_t first = segment_begin * kSegment,
                       last = segment_end(p.depth(), segment_stop - 1, segment_count(p.depth()));
  for (std::ptrdiff_t row = r.rows.begin; row < r.rows.end; row += block) {
    const std::ptrdiff_t rows = smaller(block, r.rows.end - row);
    const Matrix<const T> part{p.a.data + row * p.a.stride + first, rows, last - first, p.a.stride};
    const Matrix<T> c{p.c.data + row * p.c.stride + begin, rows, end - begin, p.c.stride};
    Panels<const T> a = pack ? pack_columns(part, 0, rows, 0, part.cols, Scratch::packed_a) : as_panels(part);
    a.cols = p.depth();
    panel_product<T>({.a = a,
                      .b = b,
                      .c = as_panels(c),
                      .bias = p.bias == nullptr ? nullptr : p.bias + begin,
                      .bias_panel = kPanelWidth<T>,
                      .rows = {0, rows},
                      .panels = {0, ceil_div(end - begin, kPanelWidth<T>)},
                      .segments = {segment_begin, segment_stop},
                      .data_segment = segment_begin});
  }
}

// Computes one row of C. It reads rows of B from end to end, a few at once, and adds them to the sums of a segment,
// which are the same chains as a tile's. If B were read in strips, rows that are a power of two apart would push each
// other out of the caches.
template <class T>
void multiply_row(const Product<T>& p, const Rectangle<T>& r) {
  constexpr std::ptrdiff_t together = 4;
  const std::ptrdiff_t columns = r.columns.end - r.columns.begin, depth = p.depth(), segments = segment_count(depth);
  T* sums = static_cast<T*>(scratch(Scratch::packed_a, static_cast<std::size_t>(columns) * sizeof(T)));
  const T* x = p.a.data + r.rows.begin * p.a.stride;
  T* c = p.c.data + r.rows.begin * p.c.stride + r.columns.begin;
  for (std::ptrdiff_t s = 0; s < segments; ++s) {
    const std::ptrdiff_t first = s * kSegment, end = segment_end(depth, s, segments);
    for (std::ptrdiff_t k = first; k == first || k < end; k += together) {
      const std::ptrdiff_t rows = smaller(together, end - k);
      const T* w = p.b.data + k * p.b.stride + r.columns.begin;
      for_each_vector<T>(columns, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        Vec<T> sum = k == first ? Vec<T>{} : Vec<T>(load_lanes(static_cast<const T*>(sums) + j, count, T(0)));
        if (rows == together) {
#pragma GCC unroll 4
          for (std::ptrdiff_t i = 0; i < together; ++i)
            sum = fma(broadcast<T>(x[k + i]), Vec<T>(load_lanes(w + i * p.b.stride + j, count, T(0))), sum);
        } else {
          for (std::ptrdiff_t i = 0; i < rows; ++i)
            sum = fma(broadcast<T>(x[k + i]), Vec<T>(load_lanes(w + i * p.b.stride + j, count, T(0))), sum);
        }
        store_lanes(sums + j, sum, count);
      });
    }
    for_each_vector<T>(columns, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      Vec<T> sum = load_lanes(static_cast<const T*>(sums) + j, count, T(0));
      if (s > 0)
        sum += load_lanes(static_cast<const T*>(c) + j, count, T(0));
      else if (p.bias != nullptr)
        sum += load_lanes(p.bias + r.columns.begin + j, count, T(0));
      else
        sum += Vec<T>{};
      store_lanes(c + j, sum, count);
    });
  }
}

template <class T>
void multiply_rectangle(const Product<T>& p, const Rectangle<T>& r) {
  if (r.rows.begin >= r.rows.end || r.columns.begin >= r.columns.end) return;
  if (!p.transposed && r.rows.end - r.rows.begin == 1) return multiply_row(p, r);
  if (p.transposed && p.c.rows < kDotRows) {
    multiply_dots<T>({p.a, p.b, p.c}, r.columns.begin, r.columns.end);
    return;
  }
  std::ptrdiff_t begin = r.columns.begin;
  const std::ptrdiff_t b_bytes = p.depth() * (r.columns.end - begin) * static_cast<std::ptrdiff_t>(sizeof(T));
  if (!p.transposed && r.rows.end - r.rows.begin <= (b_bytes <= kNearMatrix ? kMostTileRows : kRowsInPlace)) {
    // Columns that fill whole vectors are read in place; the others are packed.
    const std::ptrdiff_t whole = r.columns.end - (r.columns.end - begin) % kLanes<T>;
    const Matrix<const T> b{p.b.data + begin, p.b.rows, whole - begin, p.b.stride};
    if (begin < whole) multiply_columns(p, r, begin, whole, as_panels(b), 0, segment_count(p.depth()));
    begin = whole;
  }
  const std::ptrdiff_t segments = segment_count(p.depth()), blocks = ceil_div(segments, kDepthSegments);
  const std::ptrdiff_t bytes = r.rows.end - r.rows.begin < kManyRows ? kNearBytes : kPackedBytes;
  const std::ptrdiff_t panels = bytes / kPanelBytes / (kDepthSegments * kSegment);
  while (begin < r.columns.end) {
    const std::ptrdiff_t end = smaller(r.columns.end, begin + panels * kPanelWidth<T>);
    for (std::ptrdiff_t i = 0; i < blocks; ++i) {
      const std::ptrdiff_t segment_begin = segments * i / blocks, segment_stop = segments * (i + 1) / blocks;
      const std::ptrdiff_t k = segment_begin * kSegment, depth = segment_end(p.depth(), segment_stop - 1, segments) - k;
      const Panels<T> b = p.transposed ? pack_transposed(p.b, k, depth, begin, end, Scratch::packed_b)
                                       : pack_columns(p.b, k, depth, begin, end, Scratch::packed_b);
      multiply_columns<T>(p, r, begin, end, b, segment_begin, segment_stop);
    }
    begin = end;
  }
}

// Returns into how many parts the rows are divided; the columns are divided into `threads` / that many. A division
// costs repeated packing: every thread packs its columns of B and its rows of A.
[[gnu::always_inline]] inline int row_threads(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t panel, int threads) {
  int best = 1;
  double lowest = 0;
  for (int rows = 1; rows <= threads; ++rows) {
    if (threads % rows != 0) continue;
    const double height = static_cast<double>(ceil_div(ceil_div(m, kRowGrain), rows) * kRowGrain);
    const double width = static_cast<double>(ceil_div(ceil_div(n, panel), threads / rows) * panel);
    const double cost = height * width + 16 * (height + width);
    if (rows == 1 || cost < lowest) {
      lowest = cost;
      best = rows;
    }
  }
  return best;
}

// Calls body(rectangle) for rectangles that cover C (m, n), one rectangle a thread. Each element of C is a sum of k
// terms.
template <class T, class Body>
void divide_product(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, Body&& body) {
  const double operations = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k + 1);
  const int threads = threads_for(operations / (4.0 * static_cast<double>(kLanes<T>)));
  if (threads == 1) return body(Rectangle<T>{.rows = {0, m}, .columns = {0, n}});
  run_team(threads, [&](int index, int count) {
    const int down = row_threads(m, n, kPanelWidth<T>, count), across = count / down;
    const std::ptrdiff_t row = index / across, column = index % across;
    const std::ptrdiff_t tiles = ceil_div(m, kRowGrain), panels = ceil_div(n, kPanelWidth<T>);
    const Rectangle<T> r{.rows = {tiles * row / down * kRowGrain, smaller(m, tiles * (row + 1) / down * kRowGrain)},
                         .columns = {panels * column / across * kPanelWidth<T>,
                                     smaller(n, panels * (column + 1) / across * kPanelWidth<T>)}};
    if (r.rows.begin < r.rows.end && r.columns.begin < r.columns.end) body(r);
  });
}

// Each thread computes its rectangle and then calls finish(rectangle), while the rectangle is still in its caches.
template <class T, class Finish>
void multiply(const Product<T>& p, Finish&& finish) {
  divide_product<T>(p.c.rows, p.c.cols, p.depth(), [&](const Rectangle<T>& r) {
    multiply_rectangle(p, r);
    finish(r);
  });
}

// dw = xᵀ dz. A block of dw, a panel by a panel, stays in the nearest cache while the sums of all packed rows are added
// to it.
template <class T>
void multiply_gradient(const Matrix<const T>& x, const Matrix<const T>& dz, const Matrix<T>& dw) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t packed_rows = larger(1, smaller(kGradientRows, x.rows));
  const std::ptrdiff_t block = larger(1, kGradientBytes / kPanelBytes / packed_rows) * width;
  divide_product<T>(dw.rows, dw.cols, x.rows, [&](const Rectangle<T>& r) {
    for (std::ptrdiff_t begin = 0; begin == 0 || begin < x.rows; begin += kGradientRows) {
      const std::ptrdiff_t rows = smaller(kGradientRows, x.rows - begin);
      for (std::ptrdiff_t column = r.columns.begin; column < r.columns.end; column += block) {
        const std::ptrdiff_t column_end = smaller(r.columns.end, column + block);
        const Panels<T> right = pack_columns(dz, begin, rows, column, column_end, Scratch::packed_b);
        for (std::ptrdiff_t in = r.rows.begin; in < r.rows.end; in += block) {
          const std::ptrdiff_t in_end = smaller(r.rows.end, in + block);
          const Panels<T> left = pack_columns(x, begin, rows, in, in_end, Scratch::packed_a);
          const Panels<T> c =
              as_panels(Matrix<T>{dw.data + in * dw.stride + column, in_end - in, column_end - column, dw.stride});
          for (std::ptrdiff_t above = 0; above * width < left.cols; ++above)
            for (std::ptrdiff_t panel = 0; panel * width < right.cols; ++panel)
              for (std::ptrdiff_t row = 0; row == 0 || row < rows; row += kGradientDepth)
                panel_gradient<T>({.x = left,
                                   .dz = right,
                                   .dw = c,
                                   .rows = {row, smaller(rows, row + kGradientDepth)},
                                   .x_panels = {above, above + 1},
                                   .panels = {panel, panel + 1},
                                   .end = begin + row == 0 ? GradientEnd::store : GradientEnd::add});
        }
      }
    }
  });
}

}  // namespace lamina::LAMINA_ISA
