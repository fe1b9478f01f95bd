#include "engine/epochs.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/dispatch.hpp"
#include "engine/training.hpp"

namespace lamina::engine {

Watch::Verdict Watch::drift(std::int64_t epoch, double found) {
  const double sign = more_is_better ? -1 : 1, value = sign * found,
               reference = best ? sign * *best : std::numeric_limits<double>::infinity();
  wait = value > reference - min_delta ? wait + 1 : 0;
  const bool better = value < reference;
  if (better) {
    best = found;
    best_epoch = epoch;
    has_weights |= keeps_weights;
  }
  const bool stop = wait > patience;
  if (stop) stopped_epoch = epoch;
  return {better && keeps_weights, stop};
}

Watch::Verdict Watch::look(std::int64_t epoch, double found) {
  if (drifts) return drift(epoch, found);
  if (epoch < start) return {false, false};
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
  const bool stop = !better && wait >= patience && epoch > 0;
  if (stop) stopped_epoch = epoch;
  return {keep, stop};
}

namespace {

// Copies parameters into blocks that are made at the first call.
template <class T>
void keep(const std::vector<Parameters<T>*>& all, std::vector<std::shared_ptr<Parameters<T>>>& copies) {
  copies.resize(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] == nullptr) continue;
    if (copies[i] == nullptr) copies[i] = std::make_shared<Parameters<T>>(all[i]->layout());
    std::copy(all[i]->data(), all[i]->data() + all[i]->size(), copies[i]->data());
  }
}

void append(std::vector<double>& all, const std::vector<double>& numbers) {
  all.insert(all.end(), numbers.begin(), numbers.end());
}

void clear(Totals& totals) {
  std::fill(totals.sum.begin(), totals.sum.end(), 0.0);
  std::fill(totals.count.begin(), totals.count.end(), 0.0);
}

double mean(const Totals& totals, std::size_t i) { return totals.count[i] == 0 ? 0 : totals.sum[i] / totals.count[i]; }

}  // namespace

template <class T>
void Trainer<T>::train_epochs(Epochs<T>& epochs, EpochRecord& record, const Poll& poll) {
  Admission admission(*this, poll);
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(epochs.seconds);
  const std::ptrdiff_t rows = epochs.rows == nullptr ? epochs.data.x.rows() : epochs.row_count;
  const std::ptrdiff_t held_out_rows =
      epochs.held_out_rows == nullptr ? epochs.held_out.x.rows() : epochs.held_out_count;
  const std::size_t values = record.totals.sum.size();
  std::vector<std::int64_t> order(epochs.shuffle_key ? static_cast<std::size_t>(rows) : 0);
  epochs.kept.resize(epochs.watches.size());
  TrainingData<T> data = epochs.data, tested = epochs.held_out;
  data.order = epochs.rows;
  tested.order = epochs.held_out_rows;
  const std::vector<Parameters<T>*> parameters = network_->all_parameters();
  Totals held_out{std::vector<double>(values), std::vector<double>(values)};
  auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
  for (std::ptrdiff_t i = 0; i < epochs.count; ++i) {
    if (epochs.shuffle_key) {
      lamina::kernels().permutation({*epochs.shuffle_key, epochs.shuffles + static_cast<std::uint64_t>(i)},
                                    order.data(), rows);
      if (epochs.rows != nullptr)
        for (std::int64_t& row : order) row = epochs.rows[row];
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
              .repeats = epochs.count > 1,
              .follows = i > 0};
    if (!train_batches(task, admission.passage, poll)) return;
    clear(held_out);
    const bool validates = epochs.validates[static_cast<std::size_t>(i)];
    if (validates && !run_batches({.mode = Mode::test,
                                   .data = tested,
                                   .batches = {0, held_out_rows, epochs.held_out_batch_size},
                                   .totals = held_out,
                                   .repeats = epochs.count > 1},
                                  admission.passage, poll))
      return;
    append(record.sums, record.totals.sum);
    append(record.counts, record.totals.count);
    append(record.held_out_sums, held_out.sum);
    append(record.held_out_counts, held_out.count);
    bool stop = epochs.ends_at_nan && std::isnan(mean(record.totals, 0));
    for (std::size_t w = 0; w < epochs.watches.size(); ++w) {
      Watch& watch = *epochs.watches[w];
      const double found = mean(watch.held_out ? held_out : record.totals, watch.value);
      const Watch::Verdict verdict = watch.look(epochs.first + i, found);
      if (verdict.keep) keep(parameters, epochs.kept[w]);
      stop |= verdict.stop;
    }
    clear(record.totals);
    if (poll && std::chrono::steady_clock::now() >= next_poll) {  // epochs may be shorter
      stop |= poll();
      next_poll = std::chrono::steady_clock::now() + kPollInterval;
    }
    if (stop || converged_ || std::chrono::steady_clock::now() >= until) return;
  }
}

template void Trainer<float>::train_epochs(Epochs<float>&, EpochRecord&, const Poll&);
template void Trainer<double>::train_epochs(Epochs<double>&, EpochRecord&, const Poll&);

}  // namespace lamina::engine
