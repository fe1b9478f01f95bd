// Epochs that follow each other without Python in between: orders of rows, validation and early stopping.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/head.hpp"
#include "engine/parameters.hpp"

namespace lamina::engine {

// Early stopping: watches one value of each epoch, as lamina.callbacks.EarlyStopping does, or, if `drifts`, as
// scikit-learn's estimators do: every improvement moves `best`, however small; an epoch that is not better by min_delta
// at least counts as one without improvement; and training stops after more than `patience` of them.
struct Watch {
  std::size_t value = 0;  // 0: the loss; then the metrics
  bool held_out = false;  // of the validation data
  bool more_is_better = false;
  double min_delta = 0;
  std::optional<double> baseline{};
  std::int64_t patience = 0, start = 0;  // epochs before `start` are ignored
  bool keeps_weights = false, drifts = false;

  // What it has found.
  std::optional<double> best{};
  std::int64_t best_epoch = 0, stopped_epoch = 0, wait = 0;
  bool has_weights = false;

  struct Verdict {
    bool keep, stop;  // keep: the weights are the best so far, and are to be kept
  };

  bool improves(double found, std::optional<double> reference) const {
    if (std::isnan(found)) return false;
    if (!reference || std::isnan(*reference)) return true;
    return more_is_better ? found - min_delta > *reference : found + min_delta < *reference;
  }
  Verdict look(std::int64_t epoch, double found);

 private:
  Verdict drift(std::int64_t epoch, double found);
};

// What the epochs of a call gave: sums and counts of the loss and the metrics, [epoch][value].
struct EpochRecord {
  Totals totals{};  // its steps are those of all epochs; its sums those of an epoch that was not completed
  std::vector<double> sums{}, counts{};
  std::vector<double> held_out_sums{}, held_out_counts{};  // 0 for epochs after which nothing was evaluated
};

template <class T>
struct Epochs {
  TrainingData<T> data;
  // The rows of the data to train on and to validate with; null: all of them.
  const std::int64_t *rows = nullptr, *held_out_rows = nullptr;
  std::ptrdiff_t row_count = 0, held_out_count = 0;
  std::ptrdiff_t batch_size;
  const std::vector<double>& rates;  // of all steps; the last one applies to later steps too
  std::int64_t iteration;
  std::uint64_t draw;
  std::optional<std::uint64_t> shuffle_key;  // rows are shuffled, by `shuffles` + the number of the epoch in this call
  std::uint64_t shuffles;
  std::ptrdiff_t first, count;  // epochs
  std::vector<bool> validates;  // whether to evaluate after each of them
  TrainingData<T> held_out;
  std::ptrdiff_t held_out_batch_size;
  double seconds;  // no epoch begins after that time
  std::vector<Watch*> watches;
  bool ends_at_nan = false;  // ends after an epoch whose loss is NaN
  // For each watch the best weights that it kept in this call, one block for each layer; empty if none.
  std::vector<std::vector<std::shared_ptr<Parameters<T>>>> kept{};
};

}  // namespace lamina::engine
