// What stands above the last layer: the loss with its gradient, and the metrics.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "core/kernel_table.hpp"
#include "core/memory.hpp"
#include "engine/input.hpp"
#include "engine/layers/activation_part.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// A batch for a loss or a metric that somebody else computes: predictions (n, c), and targets (n, c) or labels (n,).
template <class T>
struct HostBatch {
  Matrix<const T> predictions, targets;
  Labels labels;
  const T* sample_weight;  // or null
};

// Of a loss or a metric, as LossInfo and MetricInfo say.
using HeadParameters = std::array<double, kMostLossParameters>;

// A metric: one of the kernel table, a loss of it, or one that somebody else computes.
struct MetricSpec {
  int metric = -1, loss = -1, host = -1;  // the number of what it is, -1 for the others
  HeadParameters parameters{};
  int target = 0;  // which of the data's targets
  bool weighted = false;
};

// What the sum of the rows' losses is divided by: 1, the rows of the batch, or the sum of their weights; of those alone
// whose class is not ignored.
enum class Divisor { one, rows, weights };

template <class T>
struct HeadSpec {
  int loss;  // -1: host_loss
  HeadParameters parameters;
  Divisor divisor;
  double weight = 1;               // factor of the loss
  bool ignores = false;            // one class, parameters[2]
  ActivationPart<T> activation{};  // that the loss includes; metrics of predictions need it applied
  std::vector<MetricSpec> metrics{};
  // losses[i] and, where its data is not null, the gradient of each row's loss.
  std::function<void(const HostBatch<T>&, T* losses, Matrix<T> gradient)> host_loss{};
  // values[i] of each row, for metric number `host`.
  std::function<void(int host, const HostBatch<T>&, T* values)> host_metric{};

  bool host() const { return loss < 0 || host_metric != nullptr; }
};

// Targets of all rows: class labels, or rows of numbers.
struct Targets {
  Rows rows;
  bool labels;
};

template <class T>
struct TrainingData {
  Input x;
  std::vector<Targets> targets;    // the loss's first
  const T* sample_weight;          // or null
  const std::int64_t* order;       // or null
  std::ptrdiff_t row_weights = 1;  // weights of each row: one, or one for each of its lines
};

// Running sums of the loss and of each metric, in float64, and the steps that they are of.
struct Totals {
  std::vector<double> sum, count;
  std::int64_t steps = 0;  // completed; read by other threads while the run goes on

  void count_step() { __atomic_store_n(&steps, steps + 1, __ATOMIC_RELEASE); }
};

// A row of the batch may have several lines of output, as (n, steps, classes) has: losses and metrics are those of
// lines.
template <class T>
class Head {
 public:
  Head(HeadSpec<T> spec, const Kernels<T>& kernels, std::vector<bool> labels, const BoundaryShape& output,
       std::ptrdiff_t capacity);

  // Fetches targets and weights for rows of a batch that begins at row `first` of the data.
  void gather(const TrainingData<T>& data, std::ptrdiff_t first, Range rows);

  // Where layers add what each row of the batch costs besides; fetched rows begin with zero.
  double* penalties() const { return penalties_.data(); }

  // What divides the losses of a batch of `size` rows that begins at row `first` of the data.
  double divisor(const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size) const;

  // Losses and metrics of rows of a batch, given the output boundary, whose row 0 is row `offset` of the batch. With
  // `gradient` dL/d(output) goes to the boundary.
  void evaluate(const Boundary<T>& output, std::ptrdiff_t offset, Range batch_rows, double divisor, bool gradient);

  // Adds a batch of `size` rows, all evaluated, to the totals; the penalty belongs to its loss.
  void collect(std::ptrdiff_t size, double divisor, double penalty, Totals& totals) const;

 private:
  struct TargetMemory {
    Buffer<std::int64_t> labels;
    Buffer<T> values;
  };

  Range lines_of(Range rows) const { return {rows.begin * lines_, rows.end * lines_}; }
  Matrix<const T> values(const TargetMemory& target, Range lines) const {
    return {target.values.data() + lines.begin * padded_, lines.size(), columns_, padded_};
  }
  Labels labels(const TargetMemory& target, Range lines) const {
    return {target.labels.data() + lines.begin, lines.size(), NumberType::int64};
  }
  bool needs_predictions() const;
  void check_labels(Range lines) const;

  HeadSpec<T> spec_;
  const Kernels<T>& kernels_;
  std::ptrdiff_t columns_, padded_, lines_;  // lines of each row
  std::vector<TargetMemory> targets_;
  Buffer<T> weights_, losses_, predictions_;
  Buffer<double> penalties_;
  std::vector<Buffer<T>> metrics_;
  // Whether rows have weights of their own: each member of a team writes the same, for itself.
  bool weighted() const { return __atomic_load_n(&weighted_, __ATOMIC_RELAXED); }
  bool weighted_ = false;
};

extern template class Head<float>;
extern template class Head<double>;

}  // namespace lamina::engine
