// The input of a network: rows of numbers, sparse rows, or row indices of an embedding table.
#pragma once

#include "core/kernel_table.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// Each index of a row becomes a line with one entry, of value 1. Of bags, a row becomes one line, whose entries add up
// to 1: its product with the table is the mean of the rows that are looked up, of masked bags without those of index 0.
enum class InputKind { dense, sparse, indices, bags, masked_bags };

constexpr bool is_bags(InputKind kind) { return kind == InputKind::bags || kind == InputKind::masked_bags; }
constexpr bool is_indices(InputKind kind) { return kind == InputKind::indices || is_bags(kind); }

// Whether rows of this kind are gathered as entries (column, value) instead of a dense matrix. A dense first layer then
// adds up the rows of its kernel that the entries name.
constexpr bool gives_entries(InputKind kind) { return kind == InputKind::sparse || is_indices(kind); }

struct Input {
  InputKind kind = InputKind::dense;
  Rows dense{};         // of all kinds but sparse
  SparseRows sparse{};  // of kind sparse

  Input() = default;
  Input(InputKind of_kind, const Rows& rows) : kind(of_kind), dense(rows) {}
  explicit Input(const SparseRows& rows) : kind(InputKind::sparse), sparse(rows) {}

  std::ptrdiff_t rows() const;
  Input part(std::ptrdiff_t first, std::ptrdiff_t count) const;
  // The largest number of entries in any `size` rows; 0 for dense rows.
  std::ptrdiff_t most_entries(std::ptrdiff_t size) const;
};

// Prefetches the rows of the next batch, a few cache lines at a time while something else is computed: reading them all
// at once would wait for memory.
class Ahead {
 public:
  Ahead() = default;
  // For the rows of a batch that begins at order[first], as in fetch(), divided into `calls` calls of some().
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

// Copies rows begin … end - 1 of the batch that begins at order[first] (or first if order is null) to the same rows of
// a tape's input, converted to T. Each row becomes `factor` rows there. Throws std::invalid_argument if sparse rows or
// indices have changed since they were checked, and would be read out of bounds.
template <class T>
void fetch(const Kernels<T>& kernels, const Input& input, const std::int64_t* order, std::ptrdiff_t first, Range rows,
           const Boundary<T>& to, std::ptrdiff_t factor);

}  // namespace lamina::engine
