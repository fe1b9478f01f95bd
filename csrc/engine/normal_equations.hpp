// The normal equations of a least-squares problem, in float64: JᵀJ and Jᵀr, summed up over blocks of rows of (J, r).
#pragma once

#include "core/kernel_table.hpp"
#include "core/memory.hpp"

namespace lamina::engine {

class NormalEquations {
 public:
  explicit NormalEquations(std::ptrdiff_t size);

  std::ptrdiff_t size() const { return size_; }  // columns of J
  // Rows of a block that fit into memory together with room for the caches; the order of sums depends on it.
  std::ptrdiff_t block_rows(std::ptrdiff_t together) const;
  // Memory for blocks of that many rows.
  void reserve(std::ptrdiff_t rows);
  void release();  // frees it, and that of the sums

  // Row `row` of the block becomes scale · derivatives, and the residual; derivatives has size() numbers and room for a
  // vector beyond.
  void write_row(std::ptrdiff_t row, double scale, const double* derivatives, double residual);
  double& residual(std::ptrdiff_t row) const { return rows_[place_of(row, size_, capacity_)]; }
  // Adds the products of the columns of the block's first `rows` rows to the sums; `first`: stores them. The members of
  // a team share the work.
  void add_products(std::ptrdiff_t rows, bool first, int index, int count);

  // Elements of JᵀJ's diagonal and of Jᵀr.
  double& diagonal(std::ptrdiff_t i) const { return products_[place_of(i, i, size_ + 1)]; }
  double& gradient(std::ptrdiff_t i) const { return products_[place_of(i, size_, size_ + 1)]; }

  // solution = -(JᵀJ + damping I)⁻¹ Jᵀr, by Cholesky's factorization. Returns false if the matrix is not positive
  // definite.
  bool solve(double damping, double* solution);

 private:
  static constexpr std::ptrdiff_t kWidth = kPanelWidth<double>;
  // Element (row, column) of panels whose `rows` rows follow each other.
  static std::ptrdiff_t place_of(std::ptrdiff_t row, std::ptrdiff_t column, std::ptrdiff_t rows) {
    return column / kWidth * rows * kWidth + row * kWidth + column % kWidth;
  }
  bool factorize(double damping);

  const Kernels<double>& kernels_;
  std::ptrdiff_t size_, panels_, capacity_ = 0;
  // In panels of size() + 1 columns: rows of (J, r); the sums of the products of their columns, the upper half; these
  // with the damping, and then their factor.
  Buffer<double> rows_, products_, factor_;
};

// to (n, m) += x yᵀ.
template <class T>
void add_outer_product(const T* x, std::ptrdiff_t n, const T* y, std::ptrdiff_t m, T* to);

}  // namespace lamina::engine
