#include "engine/training.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/caches.hpp"
#include "core/dispatch.hpp"
#include "core/threads.hpp"

namespace lamina::engine {
namespace {

// A step that may take longer than this stores its gradients, so that it can be given up before a parameter changes.
constexpr double kLongStep = 60e6;  // ns
// Assume that a step can take kCautious times the time it would need at 128 GFLOP/s a core (with AVX-512).
constexpr double kCautious = 2;

// A run of shorter time stays on the calling thread.
constexpr double kWorthATeam = 60e3;  // ns, by the same guess: about 100 µs

constexpr auto kStretch = std::chrono::milliseconds(10);

// Each member copies a batch's whole input itself if there are at most so many members, and if it takes at most half of
// the second-level cache.
constexpr int kMostCopies = 4;

template <class Function>
class AtEnd {
 public:
  explicit AtEnd(Function function) : function_(std::move(function)) {}
  ~AtEnd() { function_(); }

 private:
  Function function_;
};

}  // namespace

template <class T>
Trainer<T>::Trainer(std::shared_ptr<Network<T>> network, HeadSpec<T> head, std::vector<bool> labels,
                    UpdateSpec<T> update)
    : network_(std::move(network)),
      kernels_(network_->kernels()),
      head_spec_(std::move(head)),
      labels_(std::move(labels)),
      update_(std::move(update), kernels_, network_->all_parameters()) {
  if (update_.method() == Method::least_squares)  // it may refuse the layers
    least_squares_ = std::make_unique<LeastSquares<T>>(network_, update_, head_spec_, labels_);
}

template <class T>
bool Trainer<T>::allows(Schedule schedule) const {
  if (schedule == Schedule::stationary) return true;
  const bool segmentable = network_->rows_alone(true) && !head_spec_.host() && !gives_entries(network_->input());
  return segmentable && (schedule == Schedule::chunked || separable());
}

template <class T>
StepPlan Trainer<T>::plan(std::ptrdiff_t rows) const {
  std::ptrdiff_t upper = 0;
  for (std::ptrdiff_t l = network_->first_trained() + 1; l < network_->depth(); ++l)
    if (update_.layer(l).trained()) upper += update_.layer(l).parameters->size();
  const StepShape shape{.rows = rows,
                        .work = network_->work() * sizeof(T) / sizeof(float),
                        .parameter_bytes = update_.gradient_size() * static_cast<std::ptrdiff_t>(sizeof(T)),
                        .upper_bytes = upper * static_cast<std::ptrdiff_t>(sizeof(T)),
                        .row_bytes = network_->row_bytes(),
                        .layers = network_->depth(),
                        .segmentable = allows(Schedule::chunked),
                        .separable = allows(Schedule::by_rows),
                        .narrow = narrow()};
  StepPlan plan = plan_step(shape, host() ? 1 : available_threads(num_threads()));
  if (forced_) {
    plan.schedule = allows(forced_schedule_) ? forced_schedule_ : Schedule::stationary;
    plan.alternatives = 0;
    if (shape.narrow) plan.schedule = Schedule::chunked;
    if (forced_threads_ > 0 && !host()) plan.threads = forced_threads_;
  }
  return plan;
}

template <class T>
bool Trainer<T>::is_large(std::ptrdiff_t rows, std::ptrdiff_t trainings) const {
  const int threads = plan(rows).threads;
  const std::ptrdiff_t share = caches().last.bytes / std::max(1, num_threads());
  const std::ptrdiff_t bytes = 3 * update_.gradient_size() * static_cast<std::ptrdiff_t>(sizeof(T));
  return threads > 1 && (threads > trainings || bytes > std::max(share, caches().second.share()));
}

template <class T>
void Trainer<T>::release() {
  head_.reset();
  tape_ = Tape<T>();
  members_.clear();
  own_tapes_.clear();
  stored_ = Buffer<T>();
  lbfgs_.reset();
  if (least_squares_ != nullptr) least_squares_->release();
  capacity_ = workspace_bytes_ = 0;
}

template <class T>
void Trainer<T>::reserve(const Run& run, std::ptrdiff_t rows, int members) {
  const bool chunked = run.schedule == Schedule::chunked;
  const std::ptrdiff_t entries = run.data.x.most_entries(rows);
  const std::ptrdiff_t before = static_cast<std::ptrdiff_t>(allocated_bytes());
  if (head_ == nullptr || rows > capacity_) {
    head_ = std::make_unique<Head<T>>(head_spec_, kernels_, labels_, network_->boundaries().back(), rows,
                                      network_->penalizes(), narrow());
    capacity_ = rows;
  }
  if (chunked) {
    while (static_cast<int>(members_.size()) < members)
      members_.push_back(std::make_unique<Member>(kernels_, update_.gradient_size()));
    const std::ptrdiff_t segments = gradient_segments(rows);
    std::ptrdiff_t most = 0;
    for (std::ptrdiff_t s = 0; s < segments; ++s)
      most = std::max(most, gradient_segment_begin(rows, s + 1, segments) - gradient_segment_begin(rows, s, segments));
    for (const auto& member : members_) {
      if (narrow()) {
        if (member->narrow.capacity() < most) member->narrow = NarrowTape<T>(network_->boundaries(), most, true);
      } else if (member->tape.capacity() < most) {
        member->tape = Tape<T>(network_->boundaries(), most, true);
      }
    }
  } else if (tape_.capacity() < rows) {
    tape_ = Tape<T>(network_->boundaries(), rows, true);
  }
  if (run.own_inputs) {
    own_tapes_.resize(std::max(own_tapes_.size(), static_cast<std::size_t>(members)));
    for (Tape<T>& tape : own_tapes_) tape.reserve_input(tape_);
  }
  if (gives_entries(network_->input())) tape_.reserve_entries(entries);
  const bool sparse = gives_entries(network_->input());
  if ((run.stores || sparse) && stored_.size() < update_.gradient_size()) {
    stored_ = Buffer<T>(update_.gradient_size());
    stored_is_zero_ = true;
  }
  // The gradient of a sparse layer needs zeros in stored_, and leaves zeros there.
  if (sparse && !run.stores && !stored_is_zero_) std::fill(stored_.data(), stored_.data() + stored_.size(), T(0));
  stored_is_zero_ = false;
  workspace_bytes_ += static_cast<std::ptrdiff_t>(allocated_bytes()) - before;
}

// Whether each member copies the whole batch's input itself, instead of reading rows that other members copied.
template <class T>
bool Trainer<T>::worth_own_inputs(const StepPlan& plan, std::ptrdiff_t rows) const {
  const BoundaryShape& input = network_->boundaries()[0];
  const std::ptrdiff_t bytes = rows * input.factor * input.width * static_cast<std::ptrdiff_t>(sizeof(T));
  return plan.schedule == Schedule::stationary && plan.threads > 1 && plan.threads <= kMostCopies &&
         bytes <= caches().second.share() / 2 && !gives_entries(network_->input()) && !host() &&
         !network_->layer(0).forward_by_rows(rows, plan.threads);
}

// Runs some steps of a run on a team of that many threads, and returns how many: a team ends after kStretch, and finds
// out before the next stretch whether all its members get a CPU.
template <class T>
std::ptrdiff_t Trainer<T>::run_stretch(Run& run, Range steps, int threads) {
  const Batches& batches = run.batches;
  const auto enough = std::chrono::steady_clock::now() + kStretch;
  std::ptrdiff_t done = steps.size();
  const std::ptrdiff_t last = batches.first + batches.rows;
  run_together(threads, [&](int index, int count, Barrier& barrier) {
    network_->reserve_scratch(std::min(batches.size, batches.rows));
    std::ptrdiff_t rows_before = -1;
    for (std::ptrdiff_t step = steps.begin; step < steps.end; ++step) {
      const std::ptrdiff_t first = batches.first + step * batches.size, size = std::min(batches.size, last - first);
      if (run.schedule != Schedule::chunked && size != rows_before) {
        if (index == 0) tape_.set_rows(size);
        barrier.wait();
        if (run.own_inputs) own_tapes_[static_cast<std::size_t>(index)].follow(tape_);
        rows_before = size;
      }
      // What is set here is first read after the next barrier.
      if (index == 0 && update_.divides_penalties()) update_.set_rows(Head<T>::rows_of(run.data, first, size));
      if (index == 0 && run.rates != nullptr)
        update_.begin_step(
            run.iteration + step,
            (*run.rates)[std::min(run.first_rate + static_cast<std::size_t>(step), run.rates->size() - 1)]);
      take({run, first, size, run.draw + static_cast<std::uint64_t>(step)}, index, count, barrier);
      const bool given_up = run.given_up();
      if (!run.settled) barrier.wait();
      if (index == 0 && !given_up) {
        head_->collect(size, head_->divisor(run.data, first, size), update_.penalty(), run.totals);
        run.totals.count_step();
        if ((host() || update_.hooked()) && run.mode == Mode::train)
          update_.mark_changed();  // Python code in the next step may read them
      }
      unsigned flags = index == 0 && run.stopped() ? kStop : 0u;
      if (index == 0 && ((run.passage.is_wanted() && !run.inside) || run.poll_is_due())) flags |= kPause;
      if (index == 0 && count > 1 && std::chrono::steady_clock::now() >= enough) {
        flags |= kEnough;
        done = step + 1 - steps.begin;
      }
      flags = barrier.wait(flags);
      if ((flags & kStop) != 0) return;
      if ((flags & kPause) == 0) {
        if ((flags & kEnough) != 0) return;
        continue;
      }
      if (index == 0) {  // all members have completed the step: parameters are consistent
        if (run.mode == Mode::train) update_.mark_changed();
        run.poll_if_due(index);
        if (!run.inside) run.passage.let_through();
      }
      if ((barrier.wait(index == 0 && run.stopped() ? kStop : 0u) & kStop) != 0 || (flags & kEnough) != 0) return;
    }
  });
  return done;
}

template <class T>
Trainer<T>::Admission::Turn::Turn(Gate& of, const Poll* poll) : gate(of) {
  if (gate.try_announce()) return;
  if (Passage::is_inside())
    throw std::logic_error("a model that is being trained cannot be trained or evaluated from inside a step.");
  wait_until([this] { return gate.try_announce(); }, poll);
}
template <class T>
Trainer<T>::Admission::Turn::~Turn() {
  gate.withdraw();
}

namespace {

const std::vector<Gate*>& not_held(const std::vector<Gate*>& gates) {
  for (const Gate* gate : gates)
    if (Passage::holds(gate))
      throw std::logic_error("a model cannot be trained or evaluated from inside a step that uses its layers.");
  return gates;
}

}  // namespace

template <class T>
Trainer<T>::Admission::Admission(Trainer& trainer, const Poll& poll)
    : turn(trainer.turn_, &poll), passage(not_held(trainer.network_->gates()), Access::exclusive, &poll) {}

template <class T>
void Trainer<T>::run(const Task& task, const Poll& poll) {
  if (task.batches.rows == 0) return;
  Admission admission(*this, poll);
  if (task.mode == Mode::train)
    train_batches(task, admission.passage, poll);
  else
    run_batches(task, admission.passage, poll);
}

// Gets a run ready for a schedule, before its first step and between two steps.
template <class T>
void Trainer<T>::prepare(Run& run, const StepPlan& plan, std::ptrdiff_t rows) {
  run.schedule = allows(plan.schedule) ? plan.schedule : Schedule::stationary;
  if (narrow()) run.schedule = Schedule::chunked;
  // Also if user code runs in a step: while it waits for a gate, other threads may read the parameters.
  run.stores = run.mode == Mode::store
                   ? update_.hooked() || run.vector == nullptr
                   : run.mode == Mode::train &&
                         (update_.stores() || host() || (run.interruptible && run.schedule != Schedule::chunked));
  run.own_inputs = worth_own_inputs({run.schedule, plan.threads}, rows);
  reserve(run, rows, plan.threads);
}

// Returns whether all batches were run; else `poll` has stopped them.
template <class T>
bool Trainer<T>::run_batches(const Task& task, Passage& passage, const Poll& poll) {
  const Mode mode = task.mode;
  const Batches& batches = task.batches;
  if (batches.rows == 0) return true;
  update_.set_hook(hook());
  const AtEnd released([&] { update_.set_hook(nullptr); });  // it may keep what it belongs to alive
  const std::ptrdiff_t largest = std::min(batches.size, batches.rows);
  const std::ptrdiff_t steps = (batches.rows + batches.size - 1) / batches.size;
  StepPlan plan = this->plan(largest);
  const double guess = 3 * network_->work() * static_cast<double>(largest) / lamina::kernels().vector_bytes;
  // Waking a team costs more than a few small steps.
  if (guess * static_cast<double>(steps) < kWorthATeam && !task.repeats && forced_threads_ == 0) plan.threads = 1;
  const bool test = mode == Mode::test;
  if (largest != measured_rows_[test]) measured_[test] = 0;
  measured_rows_[test] = largest;
  const bool maybe_long = kCautious * guess / plan.threads > kLongStep;
  Run run{task, poll, passage};
  run.interruptible = (maybe_long && (measured_[test] == 0 || measured_[test] > kLongStep)) || forced_long_;
  if (run.interruptible) {
    plan.alternatives &= ~(1u << static_cast<unsigned>(Schedule::by_rows));
    if (plan.schedule == Schedule::by_rows) plan.schedule = Schedule::stationary;
  }
  run.settled = mode != Mode::test && network_->first_trained() < network_->depth();
  const bool chooses = mode == Mode::train && plan.alternatives != 0 && plan.threads > 1;
  const AtEnd changed([&] {  // also if a step fails
    if (mode == Mode::train) update_.mark_changed();
  });
  for (std::ptrdiff_t step = 0; step < steps && !run.stopped();) {
    Pace::Stretch stretch{plan.threads, steps - step, false};
    if (forced_threads_ == 0) stretch = paces_[test].next(plan.threads, guess, steps - step);
    ScheduleChoice::Turn turn{plan.schedule, stretch.steps, false};
    if (chooses && stretch.threads == plan.threads && !stretch.timed)
      turn = choice_.next(plan, largest, stretch.steps);
    else if (chooses)
      turn.schedule = choice_.chosen(plan);
    if (alternates_) turn = {static_cast<Schedule>(step / 2 % 3), std::min<std::ptrdiff_t>(2, stretch.steps), false};
    if (step == 0 || turn.schedule != run.schedule) prepare(run, {turn.schedule, plan.threads}, largest);
    const auto begun = std::chrono::steady_clock::now();
    turn.steps = stretch.steps = run_stretch(run, {step, step + turn.steps}, stretch.threads);
    const double took = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begun).count();
    if (!turn.tries) paces_[test].note(stretch, took);
    if (chooses && stretch.threads == plan.threads && !stretch.timed) choice_.note(turn, took);
    if (!run.stopped()) measured_[test] = took / static_cast<double>(stretch.steps);
    step += stretch.steps;
  }
  stored_is_zero_ = !run.stores;
  return !run.stopped();
}

template <class T>
void Trainer<T>::train(const TrainingData<T>& data, Batches batches, const std::vector<double>& rates,
                       std::int64_t iteration, std::uint64_t draw, Totals& totals, const Poll& poll,
                       const std::function<double()>& added) {
  run({.mode = Mode::train,
       .data = data,
       .batches = batches,
       .rates = &rates,
       .iteration = iteration,
       .draw = draw,
       .totals = totals,
       .added = &added},
      poll);
}

template <class T>
void Trainer<T>::test(const TrainingData<T>& data, Batches batches, Totals& totals, const Poll& poll) {
  run({.mode = Mode::test, .data = data, .batches = batches, .totals = totals}, poll);
}

template <class T>
void Trainer<T>::gradients(const TrainingData<T>& data, std::optional<std::uint64_t> draw, bool settles, T* vector,
                           Totals& totals, const Poll& poll) {
  const std::ptrdiff_t rows = data.x.rows();
  run({.mode = Mode::store,
       .data = data,
       .batches = {0, rows, rows},
       .draw = draw ? *draw : network_->next_draw(),
       .totals = totals,
       .random = draw.has_value(),
       .settles = settles,
       .vector = vector},
      poll);
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace lamina::engine
