// The head of a network: the loss with its gradient, and the metrics, of the last layer's output.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "core/kernel_table.hpp"
#include "core/memory.hpp"
#include "engine/input.hpp"
#include "engine/layers/activation_part.hpp"
#include "engine/narrow.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// A batch for a loss or metric that the host (Python) computes: predictions (n, c), and targets (n, c) or labels (n,).
template <class T>
struct HostBatch {
  Matrix<const T> predictions, targets;
  Labels labels;
  const T* sample_weight;  // or null
};

// The parameters of a loss or a metric, in the order of LossInfo and MetricInfo.
using HeadParameters = std::array<double, kMostLossParameters>;

// A metric: a metric or a loss of the kernel table, or one that the host (Python) computes.
struct MetricSpec {
  int metric = -1, loss = -1, host = -1;  // one of them is an index, the others -1
  HeadParameters parameters{};
  int target = 0;  // index into TrainingData::targets
  bool weighted = false;
};

// The divisor of the summed losses of a batch: 1, the number of its lines, or the sum of their sample weights. Lines of
// the ignored class are not counted.
enum class Divisor { one, rows, weights };

template <class T>
struct HeadSpec {
  int loss = -1;  // -1: host_loss
  HeadParameters parameters{};
  Divisor divisor;
  double weight = 1;               // factor of the loss
  bool ignores = false;            // lines of class parameters[2] are ignored
  ActivationPart<T> activation{};  // included in the loss; metrics of predictions need it applied
  std::vector<MetricSpec> metrics{};
  std::vector<double> columns{};  // the parameter of each column, for a loss by_column; or empty
  // Computes losses[i] and, if gradient.data is not null, the gradient of each row's loss.
  std::function<void(const HostBatch<T>&, T* losses, Matrix<T> gradient)> host_loss{};
  // Computes values[i] of each row for the metric with index `host`.
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
  std::vector<Targets> targets{};       // the loss's first
  const T* sample_weight = nullptr;     // or null
  const std::int64_t* order = nullptr;  // or null
  std::ptrdiff_t row_weights = 1;       // sample weights of a row: one, or one for each of its lines
};

// Running sums of the loss and of each metric, in float64, over `steps` batches.
struct Totals {
  std::vector<double> sum, count;
  std::int64_t steps = 0;  // completed steps; other threads read it during the run

  void count_step() { __atomic_store_n(&steps, steps + 1, __ATOMIC_RELEASE); }
};

// Computes losses and metrics of a batch. An output (n, steps, classes) has `steps` lines for each row of the batch;
// losses and metrics are computed for each line.
template <class T>
class Head {
 public:
  // `penalized`: whether layers add penalties to the rows' losses. `transposed`: whether the output comes from a narrow
  // tape.
  [[gnu::cold]] Head(HeadSpec<T> spec, const Kernels<T>& kernels, std::vector<bool> labels, const BoundaryShape& output,
                     std::ptrdiff_t capacity, bool penalized, bool transposed);

  // Copies the targets and weights of `rows` of the batch that begins at row `first` of the data.
  void gather(const TrainingData<T>& data, std::ptrdiff_t first, Range rows);

  // Penalties on outputs, which layers add to each row's loss; gather() sets them to zero. Null if there are none.
  double* penalties() const { return penalties_.data(); }

  // The divisor of the losses of a batch of `size` rows that begins at row `first` of the data.
  double divisor(const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size) const;
  // The number of rows of the batch, or the sum of their sample weights, if they have any.
  static double rows_of(const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size);

  // Computes losses and metrics of some rows of a batch from the output boundary, whose row 0 is row `offset` of the
  // batch. With `gradient` also writes dL/d(output) to the boundary.
  void evaluate(const Boundary<T>& output, std::ptrdiff_t offset, Range batch_rows, double divisor, bool gradient);

  // The same from a narrow tape, if the loss can be computed there: losses and gradient from the transposed output. The
  // metrics are computed from the row-major one.
  bool narrow() const { return narrow_; }
  bool has_metrics() const { return !metrics_.empty(); }
  void evaluate_narrow(const NarrowBoundary<T>& output, Range rows, double divisor, bool gradient);
  void evaluate_metrics(const Boundary<T>& output, std::ptrdiff_t offset, Range batch_rows);

  // Adds a batch of `size` rows to the totals, after all of them were evaluated; `penalty` is added to its loss.
  void collect(std::ptrdiff_t size, double divisor, double penalty, Totals& totals) const;

 private:
  struct TargetMemory {
    Buffer<std::int64_t> labels;
    Buffer<T> values;
  };

  // Targets of the loss for `rows` of the batch, transposed as the output of a narrow tape is. They begin with a panel.
  Panels<T> transposed_targets(Range rows) const {
    constexpr std::ptrdiff_t width = kPanelWidth<T>;
    return {targets_[0].values.data() + rows.begin / width * columns_ * width, columns_, rows.size(), columns_ * width,
            width};
  }
  HostBatch<T> host_batch(const TargetMemory& target, const Matrix<const T>& shown, Range lines) const;
  static Matrix<const T> scores_of(const Panels<T>& m, Range lines, std::ptrdiff_t first_line) {
    return {m.data + (lines.begin - first_line) * m.row_stride, lines.size(), m.cols, m.row_stride};
  }
  T scale_for(double divisor) const { return static_cast<T>(divisor == 0 ? 0.0 : 1.0 / divisor); }
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
  Buffer<T> column_parameters_;
  // Whether the data has sample weights. All members of a team store the same value in gather().
  bool weighted() const { return __atomic_load_n(&weighted_, __ATOMIC_RELAXED); }
  bool weighted_ = false;
  bool narrow_ = false;
};

extern template class Head<float>;
extern template class Head<double>;

}  // namespace lamina::engine
