// What a network reads: rows of numbers, sparse rows, or numbers of rows of a table.
#pragma once

#include "core/kernel_table.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

enum class InputKind { dense, sparse, indices };

// Whether rows of a kind are gathered as entries, of which a dense first layer adds up rows of its kernel; others are
// gathered as values.
constexpr bool gives_entries(InputKind kind) { return kind == InputKind::sparse || kind == InputKind::indices; }

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

// Brings rows that will be fetched next into the nearer caches, a few lines at a time while something else is computed:
// all at once would wait for memory.
class Ahead {
 public:
  Ahead() = default;
  // Rows begin … end - 1 of the batch that begins at order[first], as fetch() takes them, in so many calls of some().
  Ahead(const Input& input, const std::int64_t* order, std::ptrdiff_t first, Range rows, std::ptrdiff_t calls);

  void some() {
    for (std::ptrdiff_t line = 0; line < lines_ && row_ < rows_; ++line) {
      const std::ptrdiff_t row = order_ == nullptr ? first_ + row_ : static_cast<std::ptrdiff_t>(order_[row_]);
      __builtin_prefetch(base_ + row * stride_ + byte_, 0, 2);
      byte_ += kLine;
      if (byte_ < row_bytes_) continue;
      byte_ = 0;
      ++row_;
    }
  }

 private:
  static constexpr std::ptrdiff_t kLine = 64;

  const char* base_ = nullptr;
  const std::int64_t* order_ = nullptr;
  std::ptrdiff_t first_ = 0, rows_ = 0, stride_ = 0, row_bytes_ = 0, lines_ = 0;
  std::ptrdiff_t row_ = 0, byte_ = 0;
};

// Copies rows begin … end - 1 of the batch that begins at order[first] (or first where order is null) to the same rows
// of a tape's input, converted. A row is `factor` rows there. Throws std::invalid_argument where sparse rows or
// indices, which were checked before, have changed and would be read out of bounds.
template <class T>
void fetch(const Kernels<T>& kernels, const Input& input, const std::int64_t* order, std::ptrdiff_t first, Range rows,
           const Boundary<T>& to, std::ptrdiff_t factor);

}  // namespace lamina::engine
