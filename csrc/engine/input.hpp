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
  // At most so many entries are in any `size` of the rows; 0 for dense rows.
  std::ptrdiff_t most_entries(std::ptrdiff_t size) const;
};

// Copies rows begin … end - 1 of the batch that begins at order[first] (or first where order is null) to the same rows
// of a tape's input, converted. A row is `factor` rows there; `ahead` as in Gather. Throws std::invalid_argument where
// sparse rows or indices, which were checked before, have changed and would be read out of bounds.
template <class T>
void fetch(const Kernels<T>& kernels, const Input& input, const std::int64_t* order, std::ptrdiff_t first, Range rows,
           const Boundary<T>& to, std::ptrdiff_t factor, std::ptrdiff_t ahead);

}  // namespace lamina::engine
