// The dense layer, both directions, on row-major matrices.
#pragma once

#include "core/kernel_table.hpp"
#include "core/workspace.hpp"
#include "kernels/matmul.hpp"

namespace lamina::LAMINA_ISA {

// y = f(x w + b). The product goes to `pre` if that has data, else to y. Each thread applies the activation to its own
// rectangle; an activation that needs whole rows (softmax) is applied when all rectangles are complete.
template <class T>
void dense_forward(const DenseForward<T>& d) {
  if (d.y.rows == 0 || d.y.cols == 0) return;
  const bool linear = d.activation == nullptr;
  const Matrix<T> z = d.pre.data != nullptr ? d.pre : d.y;
  const Product<T> product{.a = {d.x}, .b = {d.w}, .c = z, .bias = d.b};
  const auto activate = [&](const Rectangle<T>& r) {
    const std::ptrdiff_t rows = r.rows.end - r.rows.begin, cols = r.columns.end - r.columns.begin;
    const Matrix<const T> from{z.data + r.rows.begin * z.stride + r.columns.begin, rows, cols, z.stride};
    const Matrix<T> to{d.y.data + r.rows.begin * d.y.stride + r.columns.begin, rows, cols, d.y.stride};
    if (!linear) return d.activation->forward(from, to, d.alpha);
    if (to.data == from.data) return;
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      __builtin_memcpy(to.data + i * to.stride, from.data + i * from.stride,
                       static_cast<std::size_t>(cols) * sizeof(T));
  };
  if (linear || !d.activation->info.rowwise) return multiply(product, activate);
  multiply(product, [](const Rectangle<T>&) {});
  activate({.rows = {0, z.rows}, .columns = {0, z.cols}});
}

// db = Σ_rows dz, in the order of the sums of dw.
template <class T>
void sum_rows(Matrix<const T> dz, T* db) {
  const std::ptrdiff_t segments = segment_count(dz.rows);
  parallel_ranges(dz.cols, 4 * kLanes<T>, 0.1 * static_cast<double>(dz.rows + 1),
                  [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                    for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
                      const std::ptrdiff_t j = begin + offset;
                      Vec<T> total{};
                      for (std::ptrdiff_t s = 0; s < segments; ++s) {
                        Vec<T> part{};
                        for (std::ptrdiff_t i = s * kSegment; i < segment_end(dz.rows, s, segments); ++i)
                          part += load_lanes(dz.data + i * dz.stride + j, count, T(0));
                        total = s == 0 ? part : total + part;
                      }
                      store_lanes(db + j, total, count);
                    });
                  });
}

// Computes dz = dy f'(v) in scratch memory if there is an activation, then those of the three gradients that are
// requested.
template <class T>
void dense_backward(const DenseBackward<T>& d) {
  Matrix<const T> dz = d.dy;
  if (d.activation != nullptr) {
    const std::ptrdiff_t size = d.dy.rows * d.dy.cols;
    T* data = static_cast<T*>(scratch(Scratch::gradient, static_cast<std::size_t>(size) * sizeof(T)));
    d.activation->backward(d.v, d.dy, {data, d.dy.rows, d.dy.cols, d.dy.cols}, d.alpha);
    dz = {data, d.dy.rows, d.dy.cols, d.dy.cols};
  }
  const auto store = [](const Rectangle<T>&) {};
  if (d.db != nullptr) sum_rows(dz, d.db);
  if (d.dw.data != nullptr) multiply<T>({.a = {d.x, true}, .b = {dz}, .c = d.dw}, store);
  if (d.dx.data != nullptr) multiply<T>({.a = {dz}, .b = {d.w, true}, .c = d.dx}, store);
}

}  // namespace lamina::LAMINA_ISA
