#include "engine/head.hpp"

#include <algorithm>
#include <cstring>

namespace lamina::engine {
namespace {

template <class Label>
void copy_labels(const Rows& from, const std::int64_t* order, std::ptrdiff_t first, Range rows, std::int64_t* to) {
  for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const std::ptrdiff_t row = order == nullptr ? first + i : static_cast<std::ptrdiff_t>(order[first + i]);
    Label label;
    std::memcpy(&label, static_cast<const char*>(from.base) + row * from.row_bytes, sizeof label);
    to[i] = static_cast<std::int64_t>(label);
  }
}

void gather_labels(const Rows& from, const std::int64_t* order, std::ptrdiff_t first, Range rows, std::int64_t* to) {
  switch (from.type) {
    case NumberType::int8:
      return copy_labels<std::int8_t>(from, order, first, rows, to);
    case NumberType::int16:
      return copy_labels<std::int16_t>(from, order, first, rows, to);
    case NumberType::int32:
      return copy_labels<std::int32_t>(from, order, first, rows, to);
    case NumberType::uint8:
      return copy_labels<std::uint8_t>(from, order, first, rows, to);
    case NumberType::uint16:
      return copy_labels<std::uint16_t>(from, order, first, rows, to);
    case NumberType::uint32:
      return copy_labels<std::uint32_t>(from, order, first, rows, to);
    default:  // labels of 64 bits; the bindings let no others through
      return copy_labels<std::int64_t>(from, order, first, rows, to);
  }
}

template <class T>
void set_parameters(LossArguments<T>& arguments, const HeadParameters& parameters) {
  for (std::size_t i = 0; i < parameters.size(); ++i) arguments.parameters[i] = static_cast<T>(parameters[i]);
}

}  // namespace

template <class T>
Head<T>::Head(HeadPlan<T> plan, const Kernels<T>& kernels, std::vector<bool> labels, std::ptrdiff_t columns,
              std::ptrdiff_t capacity)
    : plan_(std::move(plan)),
      kernels_(kernels),
      columns_(columns),
      padded_(panel_count(columns, kPanelWidth<T>) * kPanelWidth<T>),
      targets_(labels.size()),
      weights_(capacity),
      losses_(capacity),
      penalties_(capacity) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i])
      targets_[i].labels = Buffer<std::int64_t>(capacity);
    else
      targets_[i].values = Buffer<T>(capacity * padded_);
  }
  for (std::size_t i = 0; i < plan_.metrics.size(); ++i) metrics_.emplace_back(capacity);
  if (needs_predictions()) predictions_ = Buffer<T>(capacity * padded_);
}

// The largest logit is the largest probability; other metrics need the probabilities themselves.
template <class T>
bool Head<T>::needs_predictions() const {
  return !plan_.activation.linear() &&
         std::any_of(plan_.metrics.begin(), plan_.metrics.end(), [](const MetricPlan& metric) {
           return metric.kind == MetricKind::binary_matches || metric.kind == MetricKind::equal_matches ||
                  metric.kind == MetricKind::loss || metric.kind == MetricKind::host;
         });
}

template <class T>
void Head<T>::gather(const TrainingData<T>& data, std::ptrdiff_t first, Range rows) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (data.targets[i].labels) {
      gather_labels(data.targets[i].rows, data.order, first, rows, targets_[i].labels.data());
    } else {
      const Panels<T> to{targets_[i].values.data(), rows.end, columns_, kPanelWidth<T>, padded_};
      kernels_.gather({data.targets[i].rows, data.order, first + rows.begin, rows.size(), to, rows.begin, 1});
    }
  }
  std::fill(penalties_.data() + rows.begin, penalties_.data() + rows.end, T(0));
  weighted_ = data.sample_weight != nullptr;
  if (!weighted_) return;
  for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i)
    weights_[i] =
        data.sample_weight[data.order == nullptr ? first + i : static_cast<std::ptrdiff_t>(data.order[first + i])];
}

template <class T>
double Head<T>::divisor(const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size) const {
  if (plan_.divisor == Divisor::one) return 1;
  const bool by_weight = plan_.divisor == Divisor::weights && data.sample_weight != nullptr;
  if (!by_weight && !plan_.ignores) return static_cast<double>(size);
  const auto ignored = static_cast<std::int64_t>(plan_.parameters[2]);
  double sum = 0;
  for (std::ptrdiff_t i = first; i < first + size; ++i) {
    const std::int64_t row = data.order == nullptr ? i : data.order[i];
    std::int64_t label = 0;
    if (plan_.ignores) gather_labels(data.targets[0].rows, &row, 0, {0, 1}, &label);
    if (!plan_.ignores || label != ignored) sum += by_weight ? static_cast<double>(data.sample_weight[row]) : 1.0;
  }
  return sum;
}

template <class T>
void Head<T>::evaluate(const Boundary<T>& output, std::ptrdiff_t offset, Range rows, double divisor, bool gradient) {
  if (rows.begin >= rows.end) return;
  const auto rows_of = [&](const Panels<T>& m) -> Matrix<T> {
    return {m.data + (rows.begin - offset) * m.row_stride, rows.size(), m.cols, m.row_stride};
  };
  const auto constant = [](const Matrix<T>& m) -> Matrix<const T> { return {m.data, m.rows, m.cols, m.stride}; };
  const Matrix<const T> scores = constant(rows_of(output.value));
  Matrix<const T> predictions = scores;
  if (predictions_.size() != 0) {
    const Matrix<T> applied{predictions_.data() + rows.begin * padded_, rows.size(), columns_, padded_};
    plan_.activation.kernel(kernels_).forward(scores, applied, plan_.activation.alpha);
    predictions = constant(applied);
  }
  const auto host_batch = [&](const TargetMemory& target, const Matrix<const T>& shown) -> HostBatch<T> {
    const bool by_label = target.values.size() == 0;
    return {shown, by_label ? Matrix<const T>{} : values(target, rows), by_label ? labels(target, rows) : Labels{},
            weighted_ ? weights_.data() + rows.begin : nullptr};
  };
  for (std::size_t i = 0; i < plan_.metrics.size(); ++i) {
    const MetricPlan& metric = plan_.metrics[i];
    const TargetMemory& target = targets_[static_cast<std::size_t>(metric.target)];
    T* match = metrics_[i].data() + rows.begin;
    switch (metric.kind) {
      case MetricKind::sparse_matches:
        kernels_.sparse_matches(scores, labels(target, rows), match);
        break;
      case MetricKind::categorical_matches:
        kernels_.categorical_matches(scores, values(target, rows), match);
        break;
      case MetricKind::binary_matches:
        kernels_.binary_matches(predictions, values(target, rows), static_cast<T>(metric.parameters[0]), match);
        break;
      case MetricKind::equal_matches:
        kernels_.equal_matches(predictions, values(target, rows), match);
        break;
      case MetricKind::sparse_top_matches:
        kernels_.sparse_top_matches(scores, labels(target, rows), static_cast<std::ptrdiff_t>(metric.parameters[0]),
                                    match);
        break;
      case MetricKind::categorical_top_matches:
        kernels_.categorical_top_matches(scores, values(target, rows),
                                         static_cast<std::ptrdiff_t>(metric.parameters[0]), match);
        break;
      case MetricKind::host:
        plan_.host_metric(metric.host, host_batch(target, predictions), match);
        break;
      case MetricKind::loss: {
        const bool by_label = target.values.size() == 0;
        LossArguments<T> arguments{predictions,
                                   by_label ? Matrix<const T>{} : values(target, rows),
                                   by_label ? labels(target, rows) : Labels{},
                                   nullptr,
                                   {},
                                   T(1),
                                   match,
                                   {}};
        set_parameters(arguments, metric.parameters);
        kernels_.losses[metric.loss].evaluate(arguments);
        break;
      }
    }
  }
  const TargetMemory& target = targets_[0];
  const T scale = static_cast<T>(divisor == 0 ? 0.0 : 1.0 / divisor);
  if (plan_.loss < 0) {
    const Matrix<T> slopes = gradient ? rows_of(output.gradient) : Matrix<T>{};
    plan_.host_loss(host_batch(target, scores), losses_.data() + rows.begin, slopes);
    for (std::ptrdiff_t i = 0; gradient && i < slopes.rows; ++i)
      for (std::ptrdiff_t j = 0; j < slopes.cols; ++j) slopes.data[i * slopes.stride + j] *= scale;
    return;
  }
  const bool by_label = target.values.size() == 0;
  LossArguments<T> arguments{scores,
                             by_label ? Matrix<const T>{} : values(target, rows),
                             by_label ? labels(target, rows) : Labels{},
                             weighted_ ? weights_.data() + rows.begin : nullptr,
                             {},
                             scale,
                             losses_.data() + rows.begin,
                             gradient ? rows_of(output.gradient) : Matrix<T>{}};
  set_parameters(arguments, plan_.parameters);
  kernels_.losses[plan_.loss].evaluate(arguments);
}

template <class T>
void Head<T>::collect(std::ptrdiff_t size, double divisor, double penalty, Totals& totals) const {
  const double rows = static_cast<double>(size), share = divisor == 0 ? 0 : rows / divisor;
  totals.sum[0] += kernels_.sum(losses_.data(), nullptr, size) * share + penalty * rows +
                   kernels_.sum(penalties_.data(), nullptr, size);
  totals.count[0] += rows;
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    const bool weighted = plan_.metrics[i].weighted && weighted_;
    totals.sum[i + 1] += kernels_.sum(metrics_[i].data(), weighted ? weights_.data() : nullptr, size);
    totals.count[i + 1] += weighted ? kernels_.sum(weights_.data(), nullptr, size) : rows;
  }
}

template class Head<float>;
template class Head<double>;

}  // namespace lamina::engine
