#include "engine/head.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "core/dispatch.hpp"

namespace lamina::engine {
namespace {

// Copies the labels of the lines `places` of each row: those of row i go to to[i * places.size()] and after.
template <class Label>
void copy_labels(const Rows& from, const std::int64_t* order, std::ptrdiff_t first, Range rows, Range places,
                 std::int64_t* to) {
  for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const std::ptrdiff_t row = order == nullptr ? first + i : static_cast<std::ptrdiff_t>(order[first + i]);
    for (std::ptrdiff_t j = places.begin; j < places.end; ++j) {
      const auto offset = from.offsets == nullptr ? j * static_cast<std::ptrdiff_t>(sizeof(Label)) : from.offsets[j];
      to[i * places.size() + j - places.begin] =
          read_once<Label>(static_cast<const char*>(from.base) + row * from.row_bytes + offset);
    }
  }
}

void gather_labels(const Rows& from, const std::int64_t* order, std::ptrdiff_t first, Range rows, Range places,
                   std::int64_t* to) {
  with_integer_type(
      from.type, [&](auto tag) { copy_labels<typename decltype(tag)::Number>(from, order, first, rows, places, to); });
}

std::int64_t label_at(const Rows& from, std::ptrdiff_t row, std::ptrdiff_t place) {
  std::int64_t label = 0;
  gather_labels(from, nullptr, row, {0, 1}, {place, place + 1}, &label);
  return label;
}

// Numbers of a cache line, at which rows of targets begin.
template <class T>
constexpr std::ptrdiff_t kLine = 64 / static_cast<std::ptrdiff_t>(sizeof(T));

template <class Arguments>
void set_parameters(Arguments& arguments, const HeadParameters& parameters) {
  using T = std::remove_reference_t<decltype(arguments.parameters[0])>;
  for (std::size_t i = 0; i < parameters.size(); ++i) arguments.parameters[i] = static_cast<T>(parameters[i]);
  arguments.ignored_class = static_cast<std::int64_t>(parameters[2]);
}

}  // namespace

template <class T>
Head<T>::Head(HeadSpec<T> spec, const Kernels<T>& kernels, std::vector<bool> labels, const BoundaryShape& output,
              std::ptrdiff_t capacity, bool penalized, bool transposed)
    : spec_(std::move(spec)),
      kernels_(kernels),
      columns_(output.width),
      padded_(panel_count(columns_, kLine<T>) * kLine<T>),
      lines_(output.factor),
      targets_(labels.size()),
      weights_(capacity * lines_),
      losses_(capacity * lines_),
      penalties_(penalized ? capacity : 0),
      column_parameters_(static_cast<std::ptrdiff_t>(spec_.columns.size())) {
  std::transform(spec_.columns.begin(), spec_.columns.end(), column_parameters_.data(),
                 [](double number) { return static_cast<T>(number); });
  const std::ptrdiff_t lines = capacity * lines_;
  if (transposed && spec_.loss >= 0) {
    const LossKernel<T>& loss = kernels_.losses[spec_.loss];
    narrow_ = loss.evaluate_narrow != nullptr && loss.info.takes_labels == labels[0];
    for (const MetricSpec& metric : spec_.metrics) narrow_ &= labels[static_cast<std::size_t>(metric.target)];
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i])
      targets_[i].labels = Buffer<std::int64_t>(lines);
    else if (narrow_)
      targets_[i].values = Buffer<T>(panel_count(capacity, kPanelWidth<T>) * kPanelWidth<T> * columns_);
    else
      targets_[i].values = Buffer<T>(lines * padded_);
  }
  for (std::size_t i = 0; i < spec_.metrics.size(); ++i) metrics_.emplace_back(lines);
  if (needs_predictions()) predictions_ = Buffer<T>(lines * padded_);
}

// Metrics that depend on more than the order of a row's outputs need the activation applied to the logits.
template <class T>
bool Head<T>::needs_predictions() const {
  return !spec_.activation.linear() &&
         std::any_of(spec_.metrics.begin(), spec_.metrics.end(), [&](const MetricSpec& metric) {
           return metric.metric < 0 || !kernels_.metrics[metric.metric].info.of_order;
         });
}

template <class T>
void Head<T>::gather(const TrainingData<T>& data, std::ptrdiff_t first, Range rows) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (data.targets[i].labels) {
      gather_labels(data.targets[i].rows, data.order, first, rows, {0, lines_}, targets_[i].labels.data());
      if (i == 0 && spec_.loss >= 0) check_labels(lines_of(rows));
    } else if (narrow_) {
      kernels_.gather({.source = data.targets[i].rows,
                       .order = data.order,
                       .first = first + rows.begin,
                       .count = rows.size(),
                       .to = transposed_targets(rows),
                       .transposed = true});
    } else {
      const Range lines = lines_of(rows);
      const Panels<T> to{targets_[i].values.data(), lines.end, columns_, kPanelWidth<T>, padded_};
      kernels_.gather({.source = data.targets[i].rows,
                       .order = data.order,
                       .first = first + rows.begin,
                       .count = rows.size(),
                       .to = to,
                       .to_begin = lines.begin,
                       .factor = lines_});
    }
  }
  if (penalties_.size() != 0) std::fill(penalties_.data() + rows.begin, penalties_.data() + rows.end, 0.0);
  const bool weighted = data.sample_weight != nullptr;
  __atomic_store_n(&weighted_, weighted, __ATOMIC_RELAXED);
  if (!weighted) return;
  for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const std::ptrdiff_t row = data.order == nullptr ? first + i : static_cast<std::ptrdiff_t>(data.order[first + i]);
    const T* weights = data.sample_weight + row * data.row_weights;
    for (std::ptrdiff_t j = 0; j < lines_; ++j) weights_[i * lines_ + j] = weights[data.row_weights == 1 ? 0 : j];
  }
}

// Labels were checked before the run, but may have changed since; a class out of range would make the loss NaN.
template <class T>
void Head<T>::check_labels(Range lines) const {
  const std::int64_t* labels = targets_[0].labels.data();
  const auto ignored = static_cast<std::int64_t>(spec_.parameters[2]);
  for (std::ptrdiff_t i = lines.begin; i < lines.end; ++i)
    if ((labels[i] < 0 || labels[i] >= columns_) && !(spec_.ignores && labels[i] == ignored))
      throw std::invalid_argument("y must stay as it is while it is read: a class is out of range now.");
}

template <class T>
double Head<T>::divisor(const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size) const {
  if (spec_.divisor == Divisor::one) return 1 / spec_.weight;
  const bool by_weight = spec_.divisor == Divisor::weights && data.sample_weight != nullptr;
  if (!by_weight && !spec_.ignores) return static_cast<double>(size * lines_) / spec_.weight;
  const auto ignored = static_cast<std::int64_t>(spec_.parameters[2]);
  double sum = 0;
  for (std::ptrdiff_t i = first; i < first + size; ++i) {
    const std::int64_t row = data.order == nullptr ? i : data.order[i];
    for (std::ptrdiff_t j = 0; j < lines_; ++j) {
      if (spec_.ignores && label_at(data.targets[0].rows, row, j) == ignored) continue;
      sum += by_weight
                 ? static_cast<double>(data.sample_weight[row * data.row_weights + (data.row_weights == 1 ? 0 : j)])
                 : 1.0;
    }
  }
  return sum / spec_.weight;
}

template <class T>
double Head<T>::rows_of(const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size) {
  if (data.sample_weight == nullptr) return static_cast<double>(size);
  double sum = 0;
  for (std::ptrdiff_t i = first; i < first + size; ++i) {
    const T* weights = data.sample_weight + (data.order == nullptr ? i : data.order[i]) * data.row_weights;
    for (std::ptrdiff_t j = 0; j < data.row_weights; ++j) sum += static_cast<double>(weights[j]);
  }
  return sum / static_cast<double>(data.row_weights);
}

template <class T>
HostBatch<T> Head<T>::host_batch(const TargetMemory& target, const Matrix<const T>& shown, Range lines) const {
  const bool by_label = target.values.size() == 0;
  return {shown, by_label ? Matrix<const T>{} : values(target, lines), by_label ? labels(target, lines) : Labels{},
          weighted() ? weights_.data() + lines.begin : nullptr};
}

template <class T>
void Head<T>::evaluate_metrics(const Boundary<T>& output, std::ptrdiff_t offset, Range batch_rows) {
  const Range lines = lines_of(batch_rows);
  const Matrix<const T> scores = scores_of(output.value, lines, offset * lines_);
  Matrix<const T> predictions = scores;
  if (predictions_.size() != 0) {
    const Matrix<T> applied{predictions_.data() + lines.begin * padded_, lines.size(), columns_, padded_};
    spec_.activation.kernel(kernels_).forward(scores, applied, spec_.activation.alpha);
    predictions = {applied.data, applied.rows, applied.cols, applied.stride};
  }
  for (std::size_t i = 0; i < spec_.metrics.size(); ++i) {
    const MetricSpec& metric = spec_.metrics[i];
    const TargetMemory& target = targets_[static_cast<std::size_t>(metric.target)];
    T* match = metrics_[i].data() + lines.begin;
    const bool by_label = target.values.size() == 0;
    const Matrix<const T> expected = by_label ? Matrix<const T>{} : values(target, lines);
    const Labels classes = by_label ? labels(target, lines) : Labels{};
    if (metric.host >= 0) {
      spec_.host_metric(metric.host, host_batch(target, predictions, lines), match);
    } else if (metric.metric >= 0) {
      const MetricKernel<T>& kernel = kernels_.metrics[metric.metric];
      kernel.evaluate({.predictions = kernel.info.of_order ? scores : predictions,
                       .targets = expected,
                       .labels = classes,
                       .parameter = metric.parameters[0],
                       .values = match});
    } else {
      LossArguments<T> arguments{.predictions = predictions, .targets = expected, .labels = classes, .loss = match};
      set_parameters(arguments, metric.parameters);
      kernels_.losses[metric.loss].evaluate(arguments);
    }
  }
}

template <class T>
void Head<T>::evaluate(const Boundary<T>& output, std::ptrdiff_t offset, Range batch_rows, double divisor,
                       bool gradient) {
  if (batch_rows.begin >= batch_rows.end) return;
  evaluate_metrics(output, offset, batch_rows);
  const Range lines = lines_of(batch_rows);
  const Matrix<const T> scores = scores_of(output.value, lines, offset * lines_);
  Matrix<T> slopes{};
  if (gradient) {
    const Panels<T>& m = output.gradient;
    slopes = {m.data + (lines.begin - offset * lines_) * m.row_stride, lines.size(), m.cols, m.row_stride};
  }
  const TargetMemory& target = targets_[0];
  const T scale = scale_for(divisor);
  if (spec_.loss < 0) {
    spec_.host_loss(host_batch(target, scores, lines), losses_.data() + lines.begin, slopes);
    for (std::ptrdiff_t i = 0; gradient && i < slopes.rows; ++i)
      for (std::ptrdiff_t j = 0; j < slopes.cols; ++j) slopes.data[i * slopes.stride + j] *= scale;
    return;
  }
  const bool by_label = target.values.size() == 0;
  LossArguments<T> arguments{.predictions = scores,
                             .targets = by_label ? Matrix<const T>{} : values(target, lines),
                             .labels = by_label ? labels(target, lines) : Labels{},
                             .sample_weight = weighted() ? weights_.data() + lines.begin : nullptr,
                             .gradient_scale = scale,
                             .loss = losses_.data() + lines.begin,
                             .gradient = slopes,
                             .columns = spec_.columns.empty() ? nullptr : column_parameters_.data()};
  set_parameters(arguments, spec_.parameters);
  kernels_.losses[spec_.loss].evaluate(arguments);
}

template <class T>
void Head<T>::evaluate_narrow(const NarrowBoundary<T>& output, Range rows, double divisor, bool gradient) {
  const bool by_label = targets_[0].values.size() == 0;
  NarrowLoss<T> arguments{.predictions = output.value,
                          .targets = by_label ? Panels<T>{} : transposed_targets(rows),
                          .labels = by_label ? labels(targets_[0], rows) : Labels{},
                          .sample_weight = weighted() ? weights_.data() + rows.begin : nullptr,
                          .gradient_scale = scale_for(divisor),
                          .loss = losses_.data() + rows.begin,
                          .gradient = gradient ? output.gradient : Panels<T>{}};
  set_parameters(arguments, spec_.parameters);
  kernels_.losses[spec_.loss].evaluate_narrow(arguments);
}

template <class T>
void Head<T>::collect(std::ptrdiff_t size, double divisor, double penalty, Totals& totals) const {
  const std::ptrdiff_t lines = size * lines_;
  const double rows = static_cast<double>(size), share = divisor == 0 ? 0 : rows / divisor;
  totals.sum[0] += kernels_.sum(losses_.data(), nullptr, lines) * share + penalty * rows;
  if (penalties_.size() != 0) totals.sum[0] += lamina::kernels().f64.sum(penalties_.data(), nullptr, size);
  totals.count[0] += rows;
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    const bool weighted = spec_.metrics[i].weighted && this->weighted();
    totals.sum[i + 1] += kernels_.sum(metrics_[i].data(), weighted ? weights_.data() : nullptr, lines);
    totals.count[i + 1] += weighted ? kernels_.sum(weights_.data(), nullptr, lines) : static_cast<double>(lines);
  }
}

template class Head<float>;
template class Head<double>;

}  // namespace lamina::engine
