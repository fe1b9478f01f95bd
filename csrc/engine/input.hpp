// What a network reads: rows of numbers, sparse rows, or numbers of rows of a table.
#pragma once

#include "core/kernel_table.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

enum class InputKind { dense, sparse, indices };

struct Input {
  InputKind kind = InputKind::dense;
  Rows dense{};         // of kinds dense and indices
  SparseRows sparse{};  // of kind sparse

  Input() = default;
  Input(InputKind of_kind, const Rows& rows) : kind(of_kind), dense(rows) {}
  explicit Input(const SparseRows& rows) : kind(InputKind::sparse), sparse(rows) {}

  std::ptrdiff_t rows() const { return kind == InputKind::sparse ? sparse.rows : dense.rows; }
  Input part(std::ptrdiff_t first, std::ptrdiff_t count) const;
  // Entries of the longest row, for a row of a batch; 0 for dense rows.
  std::ptrdiff_t longest() const;
};

// Copies rows order[first] … (or first … where order is null) to rows to_begin … of a tape's input, converted. A row is
// `factor` rows there; `ahead` as in Gather.
template <class T>
void fetch(const Kernels<T>& kernels, const Input& input, const std::int64_t* order, std::ptrdiff_t first,
           std::ptrdiff_t count, const Boundary<T>& to, std::ptrdiff_t to_begin, std::ptrdiff_t factor,
           std::ptrdiff_t ahead);

}  // namespace lamina::engine
