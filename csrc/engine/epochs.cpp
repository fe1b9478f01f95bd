#include "engine/epochs.hpp"

#include <algorithm>
#include <chrono>

#include "core/dispatch.hpp"
#include "engine/training.hpp"

namespace lamina::engine {

Watch::Verdict Watch::look(std::int64_t epoch, double found) {
  if (epoch < start) return Verdict::go_on;
  bool keep = keeps_weights && !has_weights && !std::isnan(found);
  if (keep) best_epoch = epoch;
  ++wait;
  const bool better = improves(found, best);
  if (better) {
    best = found;
    best_epoch = epoch;
    keep = keeps_weights;
    if (!baseline || improves(found, baseline)) wait = 0;
  }
  has_weights |= keep;
  if (!better && wait >= patience && epoch > 0) {
    stopped_epoch = epoch;
    return Verdict::stop;
  }
  return keep ? Verdict::keep : Verdict::go_on;
}

namespace {

template <class T>
std::vector<std::shared_ptr<Parameters<T>>> copies_of(const std::vector<Parameters<T>*>& all) {
  std::vector<std::shared_ptr<Parameters<T>>> copies;
  for (const Parameters<T>* parameters : all) {
    copies.push_back(parameters == nullptr ? nullptr : std::make_shared<Parameters<T>>(parameters->layout()));
    if (parameters != nullptr)
      std::copy(parameters->data(), parameters->data() + parameters->size(), copies.back()->data());
  }
  return copies;
}

double mean(const std::vector<double>& sums, const std::vector<double>& counts, std::size_t i) {
  return counts[i] == 0 ? 0 : sums[i] / counts[i];
}

}  // namespace

template <class T>
void Trainer<T>::train_epochs(Epochs<T>& epochs, EpochRecord& record, const Poll& poll) {
  Admission admission(*this, poll);
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(epochs.seconds);
  const std::ptrdiff_t rows = epochs.data.x.rows();
  const std::size_t values = record.totals.sum.size();
  std::vector<std::int64_t> order(epochs.shuffle_key ? static_cast<std::size_t>(rows) : 0);
  epochs.kept.resize(epochs.watches.size());
  TrainingData<T> data = epochs.data;
  for (std::ptrdiff_t i = 0; i < epochs.count; ++i) {
    if (epochs.shuffle_key) {
      lamina::kernels().permutation({*epochs.shuffle_key, epochs.shuffles + static_cast<std::uint64_t>(i)},
                                    order.data(), rows);
      data.order = order.data();
    }
    const std::int64_t steps = record.totals.steps;
    Task task{.mode = Mode::train,
              .data = data,
              .batches = {0, rows, epochs.batch_size},
              .rates = &epochs.rates,
              .first_rate = static_cast<std::size_t>(steps),
              .iteration = epochs.iteration + steps,
              .draw = epochs.draw + static_cast<std::uint64_t>(steps),
              .totals = record.totals,
              .repeats = epochs.count > 1};
    if (!run_batches(task, admission.passage, poll)) return;
    Totals held_out{std::vector<double>(values), std::vector<double>(values)};
    const bool validates = epochs.validates[static_cast<std::size_t>(i)];
    if (validates && !run_batches({.mode = Mode::test,
                                   .data = epochs.held_out,
                                   .batches = {0, epochs.held_out.x.rows(), epochs.held_out_batch_size},
                                   .totals = held_out,
                                   .repeats = epochs.count > 1},
                                  admission.passage, poll))
      return;
    const std::vector<double> sums = record.totals.sum, counts = record.totals.count;
    record.sums.insert(record.sums.end(), sums.begin(), sums.end());
    record.counts.insert(record.counts.end(), counts.begin(), counts.end());
    record.held_out_sums.insert(record.held_out_sums.end(), held_out.sum.begin(), held_out.sum.end());
    record.held_out_counts.insert(record.held_out_counts.end(), held_out.count.begin(), held_out.count.end());
    std::fill(record.totals.sum.begin(), record.totals.sum.end(), 0.0);
    std::fill(record.totals.count.begin(), record.totals.count.end(), 0.0);
    bool stop = false;
    for (std::size_t w = 0; w < epochs.watches.size(); ++w) {
      Watch& watch = *epochs.watches[w];
      const double found =
          watch.held_out ? mean(held_out.sum, held_out.count, watch.value) : mean(sums, counts, watch.value);
      const Watch::Verdict verdict = watch.look(epochs.first + i, found);
      if (verdict == Watch::Verdict::keep) epochs.kept[w] = copies_of(network_->all_parameters());
      stop |= verdict == Watch::Verdict::stop;
    }
    if (stop || std::chrono::steady_clock::now() >= until) return;
  }
}

template void Trainer<float>::train_epochs(Epochs<float>&, EpochRecord&, const Poll&);
template void Trainer<double>::train_epochs(Epochs<double>&, EpochRecord&, const Poll&);

}  // namespace lamina::engine
