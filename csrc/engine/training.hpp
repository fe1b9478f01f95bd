// Training: runs a step for each batch, a whole epoch in one call.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/choice.hpp"
#include "engine/epochs.hpp"
#include "engine/gradients.hpp"
#include "engine/head.hpp"
#include "engine/lbfgs.hpp"
#include "engine/least_squares.hpp"
#include "engine/network.hpp"
#include "engine/pace.hpp"
#include "engine/schedule.hpp"
#include "engine/segments.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

// The batches of one call.
struct Batches {
  std::ptrdiff_t first;  // row (of the order) where the first begins
  std::ptrdiff_t rows;   // of all batches
  std::ptrdiff_t size;
};

// Flags that the members of a team combine at a barrier.
constexpr unsigned kStop = 1, kPause = 2, kEnough = 4;

template <class T>
class Trainer {
 public:
  using Number = T;
  // `poll` is called on the calling thread, between steps and inside long ones, at most every 20 ms. If it returns
  // true, the run ends after the present step, or inside a long one before a parameter changes. If the run has not
  // begun, Interrupted is thrown.

  [[gnu::cold]] Trainer(std::shared_ptr<Network<T>> network, HeadSpec<T> head, std::vector<bool> labels,
                        UpdateSpec<T> update);

  // Takes a step for each batch, with the learning rate rates[step] (the last one for all later steps). `iteration`
  // counts the optimizer's batches before this call, `draw` the model's: noise depends on it. If a step throws, the
  // totals contain the steps that were completed. Of a method that evaluates the loss at several places,
  // they are those after each step; `added`, if there is one, returns what Python code has added to the rows' losses
  // since it was called before.
  void train(const TrainingData<T>& data, Batches batches, const std::vector<double>& rates, std::int64_t iteration,
             std::uint64_t draw, Totals& totals, const Poll& poll, const std::function<double()>& added = {});
  // Trains epochs, and evaluates after them, until one of the watches stops or the time is over.
  [[gnu::cold]] void train_epochs(Epochs<T>& epochs, EpochRecord& record, const Poll& poll);
  // Computes losses and metrics without training.
  void test(const TrainingData<T>& data, Batches batches, Totals& totals, const Poll& poll);
  // The gradient of one batch's loss, as a vector (Update::vector_size()). Without a draw there is no noise, and
  // batches are normalized by the running moments. `settles`: those are updated, as by a step.
  void gradients(const TrainingData<T>& data, std::optional<std::uint64_t> draw, bool settles, T* vector,
                 Totals& totals, const Poll& poll);
  std::ptrdiff_t vector_size() const { return update_.vector_size(); }

  // Sets the function that is called when a layer's gradient is complete, or null. Any thread may call it at any time,
  // also from inside the function: a pass over the data in progress keeps the one with which it began.
  void set_hook(std::shared_ptr<const typename Update<T>::Hook> hook) {
    const std::lock_guard lock(hook_access_);
    hook_.swap(hook);  // the one before is released after the lock
  }

  // Whether a method that evaluates the loss at several places is at its end; see Lbfgs::step().
  bool converged() const { return converged_; }
  // How often it evaluated the loss, in all.
  std::int64_t evaluations() const { return evaluations_; }
  void set_evaluations(std::int64_t count) { evaluations_ = count; }
  // The damping of the next step of Method::least_squares.
  double damping() const { return damping_; }
  void set_damping(double damping) { damping_ = damping; }

  // For tests: forces the schedule of all later steps if the network allows it, and the number of threads if not 0.
  // `as_long`: steps are treated as long ones, which store their gradients and can be given up.
  void force(Schedule schedule, int threads, bool as_long) {
    forced_ = true;
    forced_long_ = as_long;
    forced_schedule_ = schedule;
    forced_threads_ = threads;
    alternates_ = false;
  }
  // For tests: the schedule changes every two steps.
  void alternate(int threads) {
    force(Schedule::stationary, threads, false);
    alternates_ = true;
  }
  StepPlan plan(std::ptrdiff_t rows) const;
  // Multiply-adds forward, for each row.
  double work() const { return network_->work(); }
  // Whether steps of that many rows are worth a team beside that many other trainings: weights and their state do not
  // fit into one core's share of the caches, or there are fewer trainings than threads that steps can use.
  bool is_large(std::ptrdiff_t rows, std::ptrdiff_t trainings) const;
  // Frees memory that the next call allocates again. Nobody may train or evaluate meanwhile.
  void release();
  std::ptrdiff_t inputs() const { return network_->inputs(); }
  InputKind input() const { return network_->input(); }
  std::ptrdiff_t outputs() const { return network_->outputs(); }
  std::ptrdiff_t lines() const { return network_->boundaries().back().factor; }  // of the output, for each row
  const std::vector<bool>& labels() const { return labels_; }
  bool host() const { return network_->host() || head_spec_.host(); }  // Python code runs in a step
  std::ptrdiff_t metrics() const { return static_cast<std::ptrdiff_t>(head_spec_.metrics.size()); }
  // Bytes allocated for tapes, gradients and targets.
  std::ptrdiff_t workspace_bytes() const { return workspace_bytes_; }

 private:
  // Memory of one member in chunked steps.
  struct Member {
    Member(const Kernels<T>& kernels, std::ptrdiff_t size) : sums(kernels, size) {}
    Tape<T> tape;
    NarrowTape<T> narrow;  // used instead of `tape` if the network is narrow
    SegmentSums<T> sums;
  };
  enum class Mode { train, test, store };
  // Batches to run, and how.
  struct Task {
    Mode mode;
    const TrainingData<T>& data;
    Batches batches;
    const std::vector<double>* rates = nullptr;  // null where nothing is updated
    std::size_t first_rate = 0;                  // index into rates of the first step
    std::int64_t iteration = 0;
    std::uint64_t draw = 0;
    Totals& totals;
    bool random = true, settles = true;  // as in gradients()
    T* vector = nullptr;  // where gradients are written (Mode::store); null: they stay in stored_, with the penalties'
    const std::function<double()>* added = nullptr;
    bool repeats = false;  // the same batches follow at once, so that a team need not be woken for these alone
    bool follows = false;  // the same data were trained just before, in the same call
    bool inside = false;   // the batch is a part of a step: nobody is let in after it
  };
  // A task, and state that the members of its team share.
  struct Run : Task {
    const Poll& poll;
    Passage& passage;
    Schedule schedule = Schedule::stationary;
    bool settled = false;        // no barrier is needed after a step to have all its losses
    bool own_inputs = false;     // each member copies the whole input to its own tape
    bool stores = false;         // gradients are stored before they are applied
    bool interruptible = false;  // a step may be given up
    std::atomic<bool> stop{false};
    std::chrono::steady_clock::time_point next_poll = std::chrono::steady_clock::now() + kPollInterval;

    bool stopped() const { return stop.load(std::memory_order_relaxed); }
    bool given_up() const { return interruptible && stopped(); }
    bool poll_is_due() const { return poll && std::chrono::steady_clock::now() >= next_poll; }
    // Polls if due; only on member 0. The poll may run Python code that reads parameters: none may be half changed.
    void poll_if_due(int index) {
      if (index != 0 || stopped() || !poll_is_due()) return;
      next_poll = std::chrono::steady_clock::now() + kPollInterval;
      if (poll()) stop.store(true, std::memory_order_relaxed);
    }
  };
  // One batch of a run: `size` rows, from row `first` of the order on.
  struct Step {
    Run& run;
    std::ptrdiff_t first, size;
    std::uint64_t draw;
    std::ptrdiff_t after() const { return first + size; }  // where the next batch begins
    std::ptrdiff_t size_after() const { return std::min(size, run.batches.first + run.batches.rows - after()); }
  };
  class Look;
  // Admits one run of the trainer at a time, and enters the gates of its parameters. A thread that is inside a step of
  // any model raises instead of waiting, because the other run may be waiting for it.
  struct Admission {
    Admission(Trainer& trainer, const Poll& poll);
    struct Turn {
      Turn(Gate& gate, const Poll* poll);
      ~Turn();
      Gate& gate;
    } turn;
    Passage passage;
  };

  std::shared_ptr<const typename Update<T>::Hook> hook() {
    const std::lock_guard lock(hook_access_);
    return hook_;
  }
  void run(const Task& task, const Poll& poll);
  bool run_batches(const Task& task, Passage& passage, const Poll& poll);
  bool train_batches(const Task& task, Passage& passage, const Poll& poll);
  bool minimize_batches(const Task& task, Passage& passage, const Poll& poll);
  std::ptrdiff_t run_stretch(Run& run, Range steps, int threads);
  void prepare(Run& run, const StepPlan& plan, std::ptrdiff_t rows);
  bool allows(Schedule schedule) const;
  [[gnu::cold]] void reserve(const Run& run, std::ptrdiff_t rows, int members);
  void take(const Step& step, int index, int count, Barrier& barrier);
  void step_stationary(const Step& step, int index, int count, Barrier& barrier);
  void step_chunked(const Step& step, int index, int count, Barrier& barrier);
  void forward_segment(const Step& step, Member& member, Pass<T>& pass, Range rows, double divisor);
  void backward_segment(Member& member, Pass<T>& pass, const Destination<T>& to);
  bool narrow() const { return network_->narrow(true) && !head_spec_.host(); }
  void step_by_rows(const Step& step, int index, int count, Barrier& barrier);
  Pass<T> pass_of(const Step& step, Tape<T>& tape) const;
  Destination<T> destination(const Run& run) const {
    return {.sums = run.stores ? stored_.data() : nullptr, .vector = run.vector};
  }
  GradientSink<T> sink(std::ptrdiff_t l, std::ptrdiff_t rows, const Destination<T>& to) const;
  void backward(Pass<T>& pass, std::ptrdiff_t l, Range units, const Destination<T>& to) const;
  std::ptrdiff_t calls_ahead(std::ptrdiff_t units) const;
  bool worth_own_inputs(const StepPlan& plan, std::ptrdiff_t rows) const;
  void use_stored(const Run& run, std::ptrdiff_t told, int index, int count, Barrier& barrier);
  T* merged(Range mine, int members) const;

  std::shared_ptr<Network<T>> network_;
  const Kernels<T>& kernels_;
  HeadSpec<T> head_spec_;
  std::vector<bool> labels_;
  Update<T> update_;
  std::mutex hook_access_;
  std::shared_ptr<const typename Update<T>::Hook> hook_;  // of the passes that begin now

  std::unique_ptr<Head<T>> head_;
  Tape<T> tape_;  // of the whole batch
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Tape<T>> own_tapes_;  // one for each member, used if run.own_inputs
  Buffer<T> stored_;
  std::unique_ptr<Lbfgs<T>> lbfgs_;
  std::vector<std::int64_t> versions_;  // of the parameters after the last step of lbfgs_
  Totals found_;                        // by that step
  std::unique_ptr<LeastSquares<T>> least_squares_;
  bool converged_ = false;
  double damping_ = 0;
  std::int64_t evaluations_ = 0;
  std::ptrdiff_t capacity_ = 0, workspace_bytes_ = 0;
  bool stored_is_zero_ = false;

  Gate turn_;      // held by the run that uses tapes and targets
  Pace paces_[2];  // of training and of testing
  ScheduleChoice choice_;
  // Nanoseconds of a step in the last run of training and of testing, and the rows of its largest batch.
  double measured_[2] = {0, 0};
  std::ptrdiff_t measured_rows_[2] = {0, 0};
  bool separable() const;

  bool forced_ = false, forced_long_ = false, alternates_ = false;
  Schedule forced_schedule_ = Schedule::stationary;
  int forced_threads_ = 0;
};

}  // namespace lamina::engine
