// Training: steps over batches, whole epochs in one call.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "engine/gradients.hpp"
#include "engine/head.hpp"
#include "engine/network.hpp"
#include "engine/pace.hpp"
#include "engine/schedule.hpp"
#include "engine/segments.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

// Which batches a call runs through.
struct Batches {
  std::ptrdiff_t first;  // row (of the order) where the first begins
  std::ptrdiff_t rows;   // in all
  std::ptrdiff_t size;
};

// What the members of a team tell each other at a barrier.
constexpr unsigned kStop = 1, kPause = 2;
constexpr auto kPollInterval = std::chrono::milliseconds(20);

template <class T>
class Trainer {
 public:
  using Number = T;
  // `poll` is asked on the calling thread from time to time, at most some 20 ms apart; where it returns true the run
  // ends after the step, or inside a long one before anything has changed. Where it has not begun, Interrupted is
  // thrown.

  Trainer(std::shared_ptr<Network<T>> network, HeadSpec<T> head, std::vector<bool> labels, UpdateSpec<T> update);

  // Takes a step for each batch, with the learning rate rates[step] (the last one from there on). `iteration`
  // is the number of the optimizer's batches before, `draw` that of the model's life: noise depends on it. Steps that
  // were completed are in the totals, also where one throws.
  void train(const TrainingData<T>& data, Batches batches, const std::vector<double>& rates, std::int64_t iteration,
             std::uint64_t draw, Totals& totals, const Poll& poll);
  // Losses and metrics alone.
  void test(const TrainingData<T>& data, Batches batches, Totals& totals, const Poll& poll);
  // The gradient of one batch's loss, in the layers' layouts; layers that are not trained stay empty.
  std::vector<std::shared_ptr<Parameters<T>>> gradients(const TrainingData<T>& data, std::ptrdiff_t rows,
                                                        std::uint64_t draw, Totals& totals, const Poll& poll);

  // From now on the hook is told when a layer's gradient is complete. Nobody may be training.
  void set_hook(typename Update<T>::Hook hook) { update_.set_hook(std::move(hook)); }

  // For tests: the schedule of every step from now on, where it is possible; threads 0 leaves the choice. `as_long`:
  // steps are treated as long ones, which store their gradients and can be given up.
  void force(Schedule schedule, int threads, bool as_long) {
    forced_ = true;
    forced_long_ = as_long;
    forced_schedule_ = schedule;
    forced_threads_ = threads;
  }
  StepPlan plan(std::ptrdiff_t rows) const;
  std::ptrdiff_t inputs() const { return network_->inputs(); }
  InputKind input() const { return network_->input(); }
  std::ptrdiff_t outputs() const { return network_->outputs(); }
  std::ptrdiff_t lines() const { return network_->boundaries().back().factor; }  // of the output, for each row
  const std::vector<bool>& labels() const { return labels_; }
  std::ptrdiff_t metrics() const { return static_cast<std::ptrdiff_t>(head_spec_.metrics.size()); }
  // Bytes of tapes, gradients and targets that are held.
  std::ptrdiff_t workspace_bytes() const { return workspace_bytes_; }

 private:
  // What one member of a chunked step keeps.
  struct Member {
    Member(const Kernels<T>& kernels, std::ptrdiff_t size) : sums(kernels, size) {}
    Tape<T> tape;
    SegmentSums<T> sums;
  };
  enum class Mode { train, test, store };
  // One call of run(): what it was asked for, and what its members share.
  struct Run {
    Mode mode;
    const TrainingData<T>& data;
    Batches batches;
    const std::vector<double>* rates;  // null where nothing is updated
    std::int64_t iteration;
    std::uint64_t draw;
    Totals& totals;
    const Poll& poll;
    Passage& passage;
    Schedule schedule = Schedule::stationary;
    bool settled = false;        // all losses of a step are there before its last phase
    bool own_inputs = false;     // members use their own tapes
    bool stores = false;         // gradients are stored before they are applied
    bool interruptible = false;  // a step may be given up
    std::atomic<bool> stop{false};
    std::chrono::steady_clock::time_point next_poll = std::chrono::steady_clock::now() + kPollInterval;

    bool stopped() const { return stop.load(std::memory_order_relaxed); }
    bool given_up() const { return interruptible && stopped(); }
    bool poll_is_due() const { return poll && std::chrono::steady_clock::now() >= next_poll; }
    // Member 0 polls. What the poll runs may read parameters: none may be half changed.
    void poll_if_due(int index) {
      if (index != 0 || stopped() || !poll_is_due()) return;
      next_poll = std::chrono::steady_clock::now() + kPollInterval;
      if (poll()) stop.store(true, std::memory_order_relaxed);
    }
  };
  // One batch of a run: `size` rows of the order from row `first` on.
  struct Step {
    Run& run;
    std::ptrdiff_t first, size;
    std::uint64_t draw;
    std::ptrdiff_t after() const { return first + size; }  // where the next batch begins
    std::ptrdiff_t size_after() const { return std::min(size, run.batches.first + run.batches.rows - after()); }
  };
  class Look;

  void run(Mode mode, const TrainingData<T>& data, Batches batches, const std::vector<double>* rates,
           std::int64_t iteration, std::uint64_t draw, Totals& totals, const Poll& poll);
  void run_stretch(Run& run, Range steps, int threads);
  void reserve(const Run& run, std::ptrdiff_t rows, int members);
  void take(const Step& step, int index, int count, Barrier& barrier);
  void step_stationary(const Step& step, int index, int count, Barrier& barrier);
  void step_chunked(const Step& step, int index, int count, Barrier& barrier);
  void step_by_rows(const Step& step, int index, int count, Barrier& barrier);
  GradientSink<T> sink(std::ptrdiff_t l, std::ptrdiff_t rows, T* sums, bool add) const;
  void backward(Pass<T>& pass, std::ptrdiff_t l, Range units, T* sums, bool add) const;
  void update_from(T* sums, Range mine) const;
  std::ptrdiff_t calls_ahead(std::ptrdiff_t units) const;
  bool worth_own_inputs(const StepPlan& plan, std::ptrdiff_t rows) const;
  void use_stored(Mode mode, std::ptrdiff_t told, int index, int count, Barrier& barrier);
  T* merged(Range mine, int members) const;

  std::shared_ptr<Network<T>> network_;
  const Kernels<T>& kernels_;
  HeadSpec<T> head_spec_;
  std::vector<bool> labels_;
  Update<T> update_;

  std::unique_ptr<Head<T>> head_;
  Tape<T> tape_;  // of the whole batch
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Tape<T>> own_tapes_;  // of the members, where each has the whole batch's input to itself; else empty
  Buffer<T> stored_;
  std::ptrdiff_t capacity_ = 0, workspace_bytes_ = 0;
  bool stored_is_zero_ = false;

  Gate turn_;      // tapes and targets are those of one run
  Pace paces_[2];  // of training and of testing
  // Nanoseconds of a step in the last run, which had so many rows a batch.
  double measured_[2] = {0, 0};
  std::ptrdiff_t measured_rows_[2] = {0, 0};
  bool separable() const;
  bool host() const { return network_->host() || head_spec_.host(); }

  bool forced_ = false, forced_long_ = false;
  Schedule forced_schedule_ = Schedule::stationary;
  int forced_threads_ = 0;
};

}  // namespace lamina::engine
