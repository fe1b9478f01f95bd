// The three products of a dense layer for row-major matrices, computed by the products on panels (panels.hpp):
//
//   forward      y = x w + b   A = x, B = w
//   propagation  dx = dz wᵀ    A = dz, B = w, transposed
//   gradient     dw = xᵀ dz    A = x, transposed, B = dz
//
// Operands are copied into panels, transposed if they must be, but for a few rows or columns: then the other operand is
// read in place, or the sums are dot products (dots.hpp). The order of every sum is that of panels.hpp, a function of
// the length of the sum. Each thread computes a rectangle of C with its own packing buffers: there is no barrier and
// nothing is shared.
#pragma once

#include "core/caches.hpp"
#include "core/workspace.hpp"
#include "kernels/dots.hpp"
#include "kernels/panels.hpp"

namespace lamina::LAMINA_ISA {

// Bytes that the packed operands of a product may take: a block of A, which stays in the second-level cache for all
// columns of B, and the panels of B, which stream through the caches for every block of A.
[[gnu::always_inline]] inline std::ptrdiff_t most_bytes_of_a() { return caches().second.share() / 2; }
[[gnu::always_inline]] inline std::ptrdiff_t most_bytes_of_b() { return 4 * caches().second.share(); }
// Rows of a block of A at least: each reads all panels of B. The sums of a block run over as many segments as fit, for
// the rows of C are read and written again where they go on.
constexpr std::ptrdiff_t kFewestRows = 96;
// A is packed if B has at least so many columns.
constexpr std::ptrdiff_t kWideColumns = 32;
// Panels of a segment of B that are packed at a time: its rows may be a page apart, so each is read for both.
constexpr std::ptrdiff_t kPanelsAtOnce = 2;
// B is read in place for at most one tile of rows, or for at most kRowsInPlace rows if it comes from beyond the
// second-level cache: its rows may be a page apart, which only packing reads well.
constexpr std::ptrdiff_t kRowsInPlace = kVectorRegisters == 32 ? 2 : 1;
// Threads divide rows at multiples of this: whole tiles.
constexpr std::ptrdiff_t kRowGrain = 12;
// Fewer rows than this are propagated as dot products. The choice depends on the shape alone.
constexpr std::ptrdiff_t kDotRows = 12;

// Packing reads rows that may be a page apart, so each row is prefetched this many rows before it is read.
constexpr std::ptrdiff_t kRowsEarly = 8;

// A row-major matrix as panels; its last panel is not padded.
template <class T>
[[gnu::always_inline]] inline Panels<T> as_panels(const Matrix<T>& m) {
  return {m.data, m.rows, m.cols, kPanelWidth<T>, m.stride};
}

// Numbers that `cols` columns of `rows` rows take as panels.
template <class T>
[[gnu::always_inline]] constexpr std::ptrdiff_t packed_size(std::ptrdiff_t rows, std::ptrdiff_t cols) {
  return rows * ceil_div(cols, kPanelWidth<T>) * kPanelWidth<T>;
}

// Copies `Count` panels, row by row, because rows may be a page apart.
template <class T, int Count>
void pack_panels(const T* from, std::ptrdiff_t stride, std::ptrdiff_t rows, T* to) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t i = 0; i < rows; ++i, from += stride) {
    const T* later = from + (i + kRowsEarly < rows ? kRowsEarly * stride : 0);
#pragma GCC unroll 8
    for (std::ptrdiff_t line = 0; line < Count * kPanelBytes / kLineBytes; ++line)
      __builtin_prefetch(later + line * kLineElements<T>);
#pragma GCC unroll 4
    for (std::ptrdiff_t panel = 0; panel < Count; ++panel)
#pragma GCC unroll 8
      for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v)
        store(to + (panel * rows + i) * width + v * kLanes<T>, load(from + panel * width + v * kLanes<T>));
  }
}

// Copies a matrix into panels; the last one is padded with zeros.
template <class T>
Panels<T> pack(const Matrix<const T>& m, T* memory) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  const std::ptrdiff_t whole = m.cols / width, left = m.cols % width;
  std::ptrdiff_t panel = 0;
  for (; panel + 4 <= whole; panel += 4)
    pack_panels<T, 4>(m.data + panel * width, m.stride, m.rows, memory + panel * m.rows * width);
  for (; panel + 2 <= whole; panel += 2)
    pack_panels<T, 2>(m.data + panel * width, m.stride, m.rows, memory + panel * m.rows * width);
  for (; panel < whole; ++panel)
    pack_panels<T, 1>(m.data + panel * width, m.stride, m.rows, memory + panel * m.rows * width);
  for (std::ptrdiff_t i = 0; left > 0 && i < m.rows; ++i) {
#pragma GCC unroll 8
    for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v) {
      const T* from = m.data + i * m.stride + whole * width + v * lanes;
      store(memory + (whole * m.rows + i) * width + v * lanes,
            load_lanes(from, smaller(lanes, larger(0, left - v * lanes)), T(0)));
    }
  }
  return {memory, m.rows, m.cols, m.rows * width, width};
}

// Copies the transpose of a matrix into panels; the last one is padded with zeros to whole vectors.
template <class T>
Panels<T> pack_transposed(const Matrix<const T>& m, T* memory) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Panels<T> packed{memory, m.cols, m.rows, m.cols * width, width};
  // Panel by panel: its rows are read from end to end, and no more pages at a time than it has rows.
  for (std::ptrdiff_t row = 0; row < m.rows; row += width)
    panel_transpose<T>(
        {.from = as_panels(m), .to = packed, .rows = {row, smaller(m.rows, row + width)}, .columns = {0, m.cols}});
  return packed;
}

// The matrix that is read as an operand, or its transpose.
template <class T>
struct Operand {
  Matrix<const T> stored;
  bool transposed = false;

  std::ptrdiff_t cols() const { return transposed ? stored.rows : stored.cols; }

  // The stored part that rows and columns of the operand lie in.
  Matrix<const T> part(Range rows, Range cols) const {
    const Range down = transposed ? cols : rows, along = transposed ? rows : cols;
    return {stored.data + down.begin * stored.stride + along.begin, down.size(), along.size(), stored.stride};
  }

  Panels<const T> packed(Range rows, Range cols, T* memory) const {
    return transposed ? pack_transposed(part(rows, cols), memory) : pack(part(rows, cols), memory);
  }
};

// C = A B + bias.
template <class T>
struct Product {
  Operand<T> a, b;
  Matrix<T> c;
  const T* bias = nullptr;

  std::ptrdiff_t depth() const { return a.cols(); }
};

template <class T>
struct Rectangle {
  Range rows, columns;
};

// Columns begin … end - 1 of a rectangle, for few rows: A and B are read in place.
template <class T>
void multiply_in_place(const Product<T>& p, const Rectangle<T>& r, std::ptrdiff_t begin, std::ptrdiff_t end) {
  panel_product<T>({.a = as_panels(p.a.stored),
                    .b = as_panels(p.b.part({0, p.depth()}, {begin, end})),
                    .c = as_panels(Matrix<T>{p.c.data + begin, p.c.rows, end - begin, p.c.stride}),
                    .bias = p.bias == nullptr ? nullptr : p.bias + begin,
                    .bias_panel = kPanelWidth<T>,
                    .rows = r.rows,
                    .panels = {0, ceil_div(end - begin, kPanelWidth<T>)}});
}

// The memory that packing rows and columns of an operand will read.
template <class T>
Upcoming upcoming(const Operand<T>& operand, Range rows, Range cols) {
  constexpr std::ptrdiff_t size = static_cast<std::ptrdiff_t>(sizeof(T));
  const Matrix<const T> part = operand.part(rows, cols);
  return {part.data, part.rows, part.cols * size, part.stride * size};
}

// How much of a product is computed at a time.
struct Blocking {
  bool packs_a;
  std::ptrdiff_t segments, rows, columns;
};

// A is packed unless it is read only once, because rows whose distance is a power of two would push each other out of
// the caches.
template <class T>
Blocking blocking(const Product<T>& p, std::ptrdiff_t rows, std::ptrdiff_t columns) {
  constexpr std::ptrdiff_t size = static_cast<std::ptrdiff_t>(sizeof(T)), group = kPanelsAtOnce * kPanelWidth<T>;
  Blocking b{p.a.transposed || (columns >= kWideColumns && rows > kRowGrain), segment_count(p.depth()), rows, columns};
  b.segments = smaller(b.segments, larger(1, most_bytes_of_a() / (kFewestRows * kSegment * size)));
  const std::ptrdiff_t row_bytes = larger(1, smaller(p.depth(), b.segments * kSegment)) * size;
  if (b.packs_a) {
    const std::ptrdiff_t blocks = ceil_div(rows, larger(kFewestRows, most_bytes_of_a() / row_bytes));
    b.rows = ceil_div(ceil_div(rows, blocks), kRowGrain) * kRowGrain;
  }
  if (b.rows < rows) b.columns = larger(1, most_bytes_of_b() / (row_bytes * group)) * group;
  return b;
}

// Columns begin … end - 1 of a rectangle. While its first block of rows is computed, panels of B are packed just before
// they are used: they then lie in a near cache, and the memory of the next ones is prefetched meanwhile. The other
// blocks of rows read them again; if there are none, all panels are packed into the same memory.
template <class T>
void multiply_packed(const Product<T>& p, const Rectangle<T>& r, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, group = kPanelsAtOnce * width;
  const std::ptrdiff_t segments = segment_count(p.depth());
  const Blocking at_once = blocking(p, r.rows.size(), end - begin);
  const bool again = at_once.rows < r.rows.size();
  for (std::ptrdiff_t left = begin; left < end; left += at_once.columns) {
    const std::ptrdiff_t right = smaller(end, left + at_once.columns);
    for (std::ptrdiff_t s = 0; s < segments; s += at_once.segments) {
      const Range block{s, smaller(segments, s + at_once.segments)};
      const Range k{s * kSegment, segment_end(p.depth(), block.end - 1, segments)};
      T* b_memory = scratch_numbers<T>(Scratch::packed_b, packed_size<T>(k.size(), again ? right - left : group));
      const auto panels_of_b = [&](Range columns) {
        T* memory = b_memory + (again ? (columns.begin - left) * k.size() : 0);
        return Panels<T>{memory, k.size(), columns.size(), k.size() * width, width};
      };
      for (std::ptrdiff_t row = r.rows.begin; row < r.rows.end; row += at_once.rows) {
        const Range rows{row, smaller(r.rows.end, row + at_once.rows)};
        Panels<const T> a = as_panels(p.a.part(rows, k));
        if (at_once.packs_a)
          a = p.a.packed(rows, k, scratch_numbers<T>(Scratch::packed_a, packed_size<T>(rows.size(), k.size())));
        a.cols = p.depth();
        for (std::ptrdiff_t column = left; column < right; column += group) {
          const Range columns{column, smaller(right, column + group)};
          const Range later{columns.end, smaller(right, columns.end + group)};
          const Panels<T> b = panels_of_b(columns);
          Upcoming next = contiguous<T>(panels_of_b(later).data, later.size() * k.size(), kTileRows);
          if (row == r.rows.begin) {
            p.b.packed(k, columns, b.data);
            next = upcoming(p.b, k, later);
          }
          panel_product<T>(
              {.a = a,
               .b = b,
               .c = as_panels(Matrix<T>{p.c.data + row * p.c.stride + column, rows.size(), columns.size(), p.c.stride}),
               .bias = p.bias == nullptr ? nullptr : p.bias + column,
               .bias_panel = width,
               .rows = {0, rows.size()},
               .panels = {0, ceil_div(columns.size(), width)},
               .segments = block,
               .data_segment = s,
               .next = next});
        }
      }
    }
  }
}

// Computes one row of C. It reads rows of B from end to end, a few at once, and adds them to the sums of a segment,
// which are the same chains as a tile's. If B were read in strips, rows that are a power of two apart would push each
// other out of the caches.
template <class T>
void multiply_row(const Product<T>& p, const Rectangle<T>& r) {
  constexpr std::ptrdiff_t together = 8;
  const std::ptrdiff_t columns = r.columns.size(), depth = p.depth(), segments = segment_count(depth);
  const std::ptrdiff_t b_stride = p.b.stored.stride;
  T* sums = scratch_numbers<T>(Scratch::packed_a, columns);
  const T* x = p.a.stored.data + r.rows.begin * p.a.stored.stride;
  T* c = p.c.data + r.rows.begin * p.c.stride + r.columns.begin;
  for (std::ptrdiff_t s = 0; s < segments; ++s) {
    const std::ptrdiff_t first = s * kSegment, end = segment_end(depth, s, segments);
    for (std::ptrdiff_t k = first; k == first || k < end; k += together) {
      const std::ptrdiff_t rows = smaller(together, end - k);
      const T* w = p.b.stored.data + k * b_stride + r.columns.begin;
      for_each_vector<T>(columns, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        Vec<T> sum = k == first ? Vec<T>{} : Vec<T>(load_lanes(static_cast<const T*>(sums) + j, count, T(0)));
        if (rows == together) {
#pragma GCC unroll 8
          for (std::ptrdiff_t i = 0; i < together; ++i)
            sum = fma(broadcast<T>(x[k + i]), Vec<T>(load_lanes(w + i * b_stride + j, count, T(0))), sum);
        } else {
          for (std::ptrdiff_t i = 0; i < rows; ++i)
            sum = fma(broadcast<T>(x[k + i]), Vec<T>(load_lanes(w + i * b_stride + j, count, T(0))), sum);
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
  const bool plain = !p.a.transposed && !p.b.transposed;
  if (plain && r.rows.size() == 1) return multiply_row(p, r);
  if (p.b.transposed && p.c.rows < kDotRows)
    return multiply_dots<T>({p.a.stored, p.b.stored, p.c}, r.columns.begin, r.columns.end);
  std::ptrdiff_t begin = r.columns.begin;
  const std::ptrdiff_t b_bytes = p.depth() * r.columns.size() * static_cast<std::ptrdiff_t>(sizeof(T));
  if (plain && r.rows.size() <= (b_bytes <= caches().second.share() ? kMostTileRows : kRowsInPlace)) {
    // Columns that fill whole vectors are read in place; the others are packed.
    const std::ptrdiff_t whole = r.columns.end - r.columns.size() % kLanes<T>;
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

}  // namespace lamina::LAMINA_ISA
