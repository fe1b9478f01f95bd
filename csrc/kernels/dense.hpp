// The dense layer, both directions, on row-major matrices.
#pragma once

#include "core/kernel_table.hpp"
#include "core/workspace.hpp"
#include "kernels/gemm.hpp"

namespace lamina::LAMINA_ISA {

// y = f(x w + b). The product goes to `pre` where that is wanted, else to y, and the activation follows on
// each thread's rectangle; one that needs whole rows (softmax) follows when all are done.
template <class T>
void dense_forward(const DenseForward<T>& d) {
  if (d.y.rows == 0 || d.y.cols == 0) return;
  const bool linear = d.activation == nullptr;
  const Matrix<T> z = d.pre.data != nullptr ? d.pre : d.y;
  const Product<T> product{d.x.rows, d.w.cols,   d.w.rows, d.x.data, d.x.stride, 1,
                           d.w.data, d.w.stride, 1,        z.data,   z.stride,   d.b};
  const auto activate = [&](std::ptrdiff_t i0, std::ptrdiff_t i1, std::ptrdiff_t j0, std::ptrdiff_t j1) {
    const Matrix<const T> from{z.data + i0 * z.stride + j0, i1 - i0, j1 - j0, z.stride};
    const Matrix<T> to{d.y.data + i0 * d.y.stride + j0, i1 - i0, j1 - j0, d.y.stride};
    d.activation->forward(from, to, d.alpha);
  };
  if (linear && z.data == d.y.data) return multiply(product);
  if (linear) {
    return multiply(product, [&](std::ptrdiff_t i0, std::ptrdiff_t i1, std::ptrdiff_t j0, std::ptrdiff_t j1) {
      for (std::ptrdiff_t i = i0; i < i1; ++i)
        __builtin_memcpy(d.y.data + i * d.y.stride + j0, z.data + i * z.stride + j0,
                         static_cast<std::size_t>(j1 - j0) * sizeof(T));
    });
  }
  if (!d.activation->info.rowwise) return multiply(product, activate);
  multiply(product);
  activate(0, z.rows, 0, z.cols);
}

// db = Σ_rows dz, in segments of 256 rows, each one chain, added in order.
template <class T>
void sum_rows(Matrix<const T> dz, T* db) {
  parallel_ranges(dz.cols, 4 * kLanes<T>, 0.1 * static_cast<double>(dz.rows + 1),
                  [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                    for_each_vector<T>(end - begin, [&](std::ptrdiff_t offset, std::ptrdiff_t count) {
                      const std::ptrdiff_t j = begin + offset;
                      Vec<T> total{};
                      for (std::ptrdiff_t i0 = 0; i0 < dz.rows; i0 += 256) {
                        Vec<T> part{};
                        for (std::ptrdiff_t i = i0; i < smaller(dz.rows, i0 + 256); ++i)
                          part += load_lanes(dz.data + i * dz.stride + j, count, T(0));
                        total += part;
                      }
                      store_lanes(db + j, total, count);
                    });
                  });
}

// dz = dy f'(v) into scratch where there is an activation, then the three gradients that are wanted.
template <class T>
void dense_backward(const DenseBackward<T>& d) {
  Matrix<const T> dz = d.dy;
  if (d.activation != nullptr) {
    const std::ptrdiff_t size = d.dy.rows * d.dy.cols;
    T* data = static_cast<T*>(scratch(Scratch::gradient, static_cast<std::size_t>(size) * sizeof(T)));
    d.activation->backward(d.v, d.dy, {data, d.dy.rows, d.dy.cols, d.dy.cols}, d.alpha);
    dz = {data, d.dy.rows, d.dy.cols, d.dy.cols};
  }
  if (d.db != nullptr) sum_rows(dz, d.db);
  if (d.dw.data != nullptr)
    multiply<T>(
        {d.x.cols, dz.cols, dz.rows, d.x.data, 1, d.x.stride, dz.data, dz.stride, 1, d.dw.data, d.dw.stride, nullptr});
  if (d.dx.data != nullptr)
    multiply<T>(
        {dz.rows, d.w.rows, dz.cols, dz.data, dz.stride, 1, d.w.data, 1, d.w.stride, d.dx.data, d.dx.stride, nullptr});
}

}  // namespace lamina::LAMINA_ISA
