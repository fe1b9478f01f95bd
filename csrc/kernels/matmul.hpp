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

#include "core/caches.hpp"
#include "core/workspace.hpp"
#include "kernels/dots.hpp"
#include "kernels/panels.hpp"

namespace lamina::LAMINA_ISA {

// Bytes of a packed block of A, a segment deep: it stays in the second-level cache for all columns of B.
[[gnu::always_inline]] inline std::ptrdiff_t packed_bytes() { return caches().second.share() / 4; }
// A is packed if B has at least so many columns.
constexpr std::ptrdiff_t kWideColumns = 32;
// Panels of a segment of B that are packed at a time: its rows may be a page apart, so each is read for both.
constexpr std::ptrdiff_t kPanelsAtOnce = 2;
// B is read in place for at most one tile of rows, or for at most kRowsInPlace rows if it comes from beyond the
// second-level cache: its rows may be a page apart, which only packing reads well.
constexpr std::ptrdiff_t kRowsInPlace = kVectorRegisters == 32 ? 2 : 1;
// Threads divide rows at multiples of this: whole tiles.
constexpr std::ptrdiff_t kRowGrain = 12;
// Rows that a gradient sums in one chain; they are packed at a time.
constexpr std::ptrdiff_t kGradientDepth = 128;
// Shares of the second-level cache that the packed operands of a gradient may take: dz, and x, which all panels of dz
// read again.
constexpr std::ptrdiff_t kShareOfDz = 4, kShareOfX = 8;
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

// Copies a row of `Count` panels of which `used` columns are used.
template <class T, int Count>
[[gnu::always_inline]] inline void copy_panels(const T* from, std::ptrdiff_t used, const Panels<T>& to,
                                               std::ptrdiff_t panel, std::ptrdiff_t row) {
#pragma GCC unroll 4
  for (std::ptrdiff_t i = 0; i < Count; ++i)
#pragma GCC unroll 8
    for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v)
      store(to.data + (panel + i) * to.panel_stride + row * kPanelWidth<T> + v * kLanes<T>,
            load(from + i * used + v * kLanes<T>));
}

// Copies columns begin … end - 1 of rows first … first + rows - 1 into panels of `used` columns. The last one is padded
// with zeros; what follows the used columns of the others is undefined.
template <class T>
Panels<T> pack_columns(const Matrix<const T>& m, std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t begin,
                       std::ptrdiff_t end, Scratch memory, std::ptrdiff_t used = kPanelWidth<T>) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  const std::ptrdiff_t panels = ceil_div(end - begin, used);
  const Panels<T> packed{pack_memory<T>(memory, panels, rows), rows, end - begin, rows * width, width};
  // A few panels at once: rows may be a page apart.
  for (std::ptrdiff_t group = 0; group < panels; group += kPanelsTogether) {
    const std::ptrdiff_t column = begin + group * used, left = end - column;
    // Panels whose rows can be read as whole vectors.
    const std::ptrdiff_t whole = left < width ? 0 : smaller(kPanelsTogether, (left - width) / used + 1);
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      const T* from = m.data + (first + i) * m.stride + column;
      if (whole == kPanelsTogether) {
        const T* later = from + (i + kRowsEarly < rows ? kRowsEarly * m.stride : 0);
#pragma GCC unroll 8
        for (std::ptrdiff_t line = 0; line < kPanelsTogether * kPanelBytes / kLineBytes; ++line)
          __builtin_prefetch(later + line * kLineElements<T>);
        copy_panels<T, kPanelsTogether>(from, used, packed, group, i);
        continue;
      }
      for (std::ptrdiff_t panel = 0; panel < whole; ++panel)
        copy_panels<T, 1>(from + panel * used, used, packed, group + panel, i);
      for (std::ptrdiff_t panel = whole; panel < kPanelsTogether && panel * used < left; ++panel) {
        T* to = packed.data + (group + panel) * packed.panel_stride + i * width;
#pragma GCC unroll 8
        for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v) {
          const std::ptrdiff_t rest = left - panel * used - v * lanes;
          store(to + v * lanes, load_lanes(from + panel * used + v * lanes, smaller(lanes, larger(0, rest)), T(0)));
        }
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

// Columns begin … end - 1 of a rectangle, for few rows: A and B are read in place.
template <class T>
void multiply_in_place(const Product<T>& p, const Rectangle<T>& r, std::ptrdiff_t begin, std::ptrdiff_t end) {
  panel_product<T>({.a = as_panels(Matrix<const T>{p.a.data, p.a.rows, p.a.cols, p.a.stride}),
                    .b = as_panels(Matrix<const T>{p.b.data + begin, p.b.rows, end - begin, p.b.stride}),
                    .c = as_panels(Matrix<T>{p.c.data + begin, p.c.rows, end - begin, p.c.stride}),
                    .bias = p.bias == nullptr ? nullptr : p.bias + begin,
                    .bias_panel = kPanelWidth<T>,
                    .rows = r.rows,
                    .panels = {0, ceil_div(end - begin, kPanelWidth<T>)}});
}

// Packs a segment of B, columns begin … end - 1.
template <class T>
Panels<const T> pack_segment(const Product<T>& p, std::ptrdiff_t segment, std::ptrdiff_t begin, std::ptrdiff_t end) {
  const std::ptrdiff_t k = segment * kSegment, depth = segment_end(p.depth(), segment, segment_count(p.depth())) - k;
  return p.transposed ? pack_transposed(p.b, k, depth, begin, end, Scratch::packed_b)
                      : pack_columns(p.b, k, depth, begin, end, Scratch::packed_b);
}

// The memory that pack_segment will read.
template <class T>
Upcoming segment_memory(const Product<T>& p, std::ptrdiff_t segment, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr std::ptrdiff_t size = static_cast<std::ptrdiff_t>(sizeof(T));
  const std::ptrdiff_t k = segment * kSegment, depth = segment_end(p.depth(), segment, segment_count(p.depth())) - k;
  if (p.transposed) return {p.b.data + begin * p.b.stride + k, end - begin, depth * size, p.b.stride * size};
  return {p.b.data + k * p.b.stride + begin, depth, (end - begin) * size, p.b.stride * size};
}

// Columns begin … end - 1 of a rectangle, segment by segment. A few panels of a segment of B are packed just before all
// rows of a block of A are multiplied by them: they then lie in a near cache, and the memory of the next ones is
// prefetched meanwhile. The block of A is packed too, because it is read for each panel: rows whose distance is a power
// of two would push each other out of the caches.
template <class T>
void multiply_packed(const Product<T>& p, const Rectangle<T>& r, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr std::ptrdiff_t width = kPanelsAtOnce * kPanelWidth<T>;
  const std::ptrdiff_t most = larger(kRowGrain, packed_bytes() / kSegment / static_cast<std::ptrdiff_t>(sizeof(T)));
  const std::ptrdiff_t segments = segment_count(p.depth());
  const bool pack = end - begin >= kWideColumns && r.rows.size() > kRowGrain;
  const std::ptrdiff_t blocks = pack ? ceil_div(r.rows.size(), most) : 1;
  const std::ptrdiff_t block = ceil_div(ceil_div(r.rows.size(), blocks), kRowGrain) * kRowGrain;
  for (std::ptrdiff_t s = 0; s < segments; ++s) {
    const std::ptrdiff_t k = s * kSegment, depth = segment_end(p.depth(), s, segments) - k;
    for (std::ptrdiff_t row = r.rows.begin; row < r.rows.end; row += block) {
      const std::ptrdiff_t rows = smaller(block, r.rows.end - row);
      const Matrix<const T> part{p.a.data + row * p.a.stride + k, rows, depth, p.a.stride};
      Panels<const T> a = pack ? pack_columns(part, 0, rows, 0, depth, Scratch::packed_a) : as_panels(part);
      a.cols = p.depth();
      for (std::ptrdiff_t column = begin; column < end; column += width) {
        const std::ptrdiff_t column_end = smaller(end, column + width);
        const Matrix<T> c{p.c.data + row * p.c.stride + column, rows, column_end - column, p.c.stride};
        panel_product<T>({.a = a,
                          .b = pack_segment(p, s, column, column_end),
                          .c = as_panels(c),
                          .bias = p.bias == nullptr ? nullptr : p.bias + column,
                          .bias_panel = kPanelWidth<T>,
                          .rows = {0, rows},
                          .panels = {0, ceil_div(c.cols, kPanelWidth<T>)},
                          .segments = {s, s + 1},
                          .data_segment = s,
                          .next = segment_memory(p, s, column_end, smaller(end, column_end + width))});
      }
    }
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
  if (!p.transposed && r.rows.size() <= (b_bytes <= caches().second.share() ? kMostTileRows : kRowsInPlace)) {
    // Columns that fill whole vectors are read in place; the others are packed.
    const std::ptrdiff_t whole = r.columns.end - (r.columns.end - begin) % kLanes<T>;
    if (begin < whole) multiply_in_place(p, r, begin, whole);
    begin = whole;
  }
  if (begin < r.columns.end) multiply_packed(p, r, begin, r.columns.end);
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

// Stores the sums of the columns of a panel, or adds them to `to`.
template <class T>
void add_column_sums(const Panels<const T>& dz, std::ptrdiff_t panel, bool add, T* to) {
  alignas(kLineBytes) T sums[kPanelWidth<T>];
  panel_column_sums<T>(dz, {0, dz.rows}, panel, sums);
  for_each_vector<T>(smaller(kPanelWidth<T>, dz.cols - panel * kPanelWidth<T>),
                     [&](std::ptrdiff_t j, std::ptrdiff_t count) {
                       Vec<T> sum = load(sums + j);
                       if (add) sum = load_lanes(static_cast<const T*>(to) + j, count, T(0)) + sum;
                       store_lanes(to + j, sum, count);
                     });
}

// Columns of a panel of x that a gradient uses: whole tiles, if the last one would otherwise have fewer rows than hide
// the latency of a multiply-add.
template <class T>
constexpr std::ptrdiff_t kGradientColumns =
    kTileRows < 4 ? kPanelWidth<T> - kPanelWidth<T> % kTileRows : kPanelWidth<T>;

// dw = xᵀ dz, and db = Σ_rows dz unless db is null.
template <class T>
void multiply_gradient(const Matrix<const T>& x, const Matrix<const T>& dz, const Matrix<T>& dw, T* db) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, used = kGradientColumns<T>;
  const std::ptrdiff_t row_bytes = larger(1, smaller(kGradientDepth, x.rows)) * kPanelBytes;
  const std::ptrdiff_t near_bytes = caches().second.share();
  const std::ptrdiff_t across = larger(1, near_bytes / kShareOfDz / row_bytes) * width,
                       down = larger(1, near_bytes / kShareOfX / row_bytes) * used;
  divide_product<T>(dw.rows, dw.cols, x.rows, [&](const Rectangle<T>& r) {
    for (std::ptrdiff_t begin = 0; begin == 0 || begin < x.rows; begin += kGradientDepth) {
      const std::ptrdiff_t rows = smaller(kGradientDepth, x.rows - begin);
      for (std::ptrdiff_t column = r.columns.begin; column < r.columns.end; column += across) {
        const std::ptrdiff_t columns = smaller(r.columns.end - column, across), panels = ceil_div(columns, width);
        const Panels<T> right = pack_columns(dz, begin, rows, column, column + columns, Scratch::packed_b);
        for (std::ptrdiff_t panel = 0; db != nullptr && r.rows.begin == 0 && panel < panels; ++panel)
          add_column_sums<T>(right, panel, begin > 0, db + column + panel * width);
        for (std::ptrdiff_t in = r.rows.begin; in < r.rows.end; in += down) {
          const std::ptrdiff_t in_end = smaller(r.rows.end, in + down);
          const Panels<T> left = pack_columns(x, begin, rows, in, in_end, Scratch::packed_a, used);
          // A panel of dz stays in the nearest cache while the panels of x follow each other.
          for (std::ptrdiff_t panel = 0; panel < panels; ++panel) {
            for (std::ptrdiff_t i = in; i < in_end; i += used) {
              T* to = dw.data + i * dw.stride + column;
              panel_gradient<T>({.x = {left.data + (i - in) / used * left.panel_stride, rows, smaller(used, in_end - i),
                                       left.panel_stride, width},
                                 .dz = right,
                                 .dw = as_panels(Matrix<T>{to, smaller(used, in_end - i), columns, dw.stride}),
                                 .rows = {0, rows},
                                 .x_panels = {0, 1},
                                 .panels = {panel, panel + 1},
                                 .end = begin == 0 ? GradientEnd::store : GradientEnd::add});
            }
          }
        }
      }
    }
  });
}

}  // namespace lamina::LAMINA_ISA
