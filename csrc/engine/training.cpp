#include "engine/training.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/dispatch.hpp"
#include "core/threads.hpp"

namespace lamina::engine {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(20);
// A step that may take longer than this stores its gradients, so that it can be given up before anything has changed.
constexpr double kLongStep = 30e6;  // ns

// A run of less than this stays on the calling thread.
constexpr double kWorthATeam = 60e3;  // ns, by the same guess: about 100 µs

constexpr unsigned kStop = 1, kPause = 2;

template <class Function>
class AtEnd {
 public:
  explicit AtEnd(Function function) : function_(std::move(function)) {}
  ~AtEnd() { function_(); }

 private:
  Function function_;
};

class Turn {
 public:
  explicit Turn(Turns& turns) : turns_(turns) { turns_.enter(); }
  ~Turn() { turns_.leave(); }

 private:
  Turns& turns_;
};

}  // namespace

// Keeps predictions out of the parameters while steps change them.
template <class T>
class Exclusive {
 public:
  explicit Exclusive(const Network<T>& network) : gates_(network.gates()) { close(); }
  ~Exclusive() { open(); }
  bool wanted() const {
    return std::any_of(gates_.begin(), gates_.end(), [](const Gate* gate) { return gate->wanted(); });
  }
  void let_through() {
    open();
    Gate::wait_until([this] { return !wanted(); });
    close();
  }

 private:
  void open() {
    for (Gate* gate : gates_) gate->leave_exclusive();
    Gate::held_here() = false;
  }
  void close() {
    for (Gate* gate : gates_) gate->enter_exclusive();
    Gate::held_here() = true;
  }
  const std::vector<Gate*>& gates_;
};

// One call of run().
template <class T>
struct Trainer<T>::Run {
  Mode mode;
  const TrainingData<T>& data;
  Batches batches;
  const std::vector<double>* rates;
  std::int64_t iteration;
  Totals& totals;
  Exclusive<T>& exclusive;
  bool chunked, settled;
};

template <class T>
Trainer<T>::Trainer(std::shared_ptr<Network<T>> network, HeadPlan<T> head, std::vector<bool> labels,
                    UpdatePlan<T> update)
    : network_(std::move(network)),
      kernels_(network_->kernels()),
      head_plan_(std::move(head)),
      labels_(std::move(labels)),
      update_(std::move(update), kernels_, network_->all_parameters()) {}

template <class T>
StepPlan Trainer<T>::plan(std::ptrdiff_t rows) const {
  const bool segmentable = network_->rows_alone() && !head_plan_.host() && network_->input() == InputKind::dense;
  const StepShape shape{rows,
                        network_->work(),
                        update_.gradient_size() * static_cast<std::ptrdiff_t>(sizeof(T)),
                        network_->row_bytes(),
                        network_->depth(),
                        lamina::kernels().vector_bytes,
                        segmentable};
  StepPlan plan = plan_step(shape, host() ? 1 : num_threads());
  if (forced_) {
    if (forced_schedule_ == Schedule::stationary || segmentable) plan.schedule = forced_schedule_;
    if (forced_threads_ > 0 && !host()) plan.threads = forced_threads_;
  }
  return plan;
}

template <class T>
void Trainer<T>::reserve(std::ptrdiff_t rows, std::ptrdiff_t entries, int members, bool chunked) {
  const std::ptrdiff_t before = static_cast<std::ptrdiff_t>(allocated_bytes());
  if (head_ == nullptr || rows > capacity_) {
    head_ = std::make_unique<Head<T>>(head_plan_, kernels_, labels_, network_->outputs(), rows);
    capacity_ = rows;
  }
  if (chunked) {
    while (static_cast<int>(members_.size()) < members) members_.push_back(std::make_unique<Member>());
    const std::ptrdiff_t segments = gradient_segments(rows);
    std::ptrdiff_t most = 0;
    for (std::ptrdiff_t s = 0; s < segments; ++s)
      most = std::max(most, gradient_segment_begin(rows, s + 1, segments) - gradient_segment_begin(rows, s, segments));
    for (const auto& member : members_)
      if (member->tape.capacity() < most) member->tape = Tape<T>(network_->plan(), most, true);
  } else if (tape_.capacity() < rows) {
    tape_ = Tape<T>(network_->plan(), rows, true);
  }
  if (network_->input() != InputKind::dense) tape_.reserve_entries(entries);
  const bool sparse = network_->input() != InputKind::dense;
  if ((stores_ || sparse) && stored_.size() < update_.gradient_size()) {
    stored_ = Buffer<T>(update_.gradient_size());
    stored_is_zero_ = true;
  }
  // A sparse layer relies on zeros, and leaves them behind.
  if (sparse && !stores_ && !stored_is_zero_) std::fill(stored_.data(), stored_.data() + stored_.size(), T(0));
  stored_is_zero_ = false;
  workspace_bytes_ += static_cast<std::ptrdiff_t>(allocated_bytes()) - before;
}

// Lets the calling thread's owner have a word, where it is time.
template <class T>
void Trainer<T>::look_up(int index) {
  if (index != 0 || poll_ == nullptr || !*poll_ || stop_.load(std::memory_order_relaxed)) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_poll_) return;
  next_poll_ = now + kPollInterval;
  if ((*poll_)()) stop_.store(true, std::memory_order_relaxed);
}

template <class T>
void Trainer<T>::backward(Pass<T>& pass, std::ptrdiff_t l, Range units, T* sums, bool add) const {
  const Layer<T>* below = l > 0 ? &network_->layer(l - 1) : nullptr;
  if (!update_.layer(l).trained()) return network_->layer(l).backward(pass, units, below, nullptr);
  T* zeros = sums == nullptr && stored_.size() != 0 ? stored_.data() + update_.offset(l) : nullptr;
  GradientSink<T> sink(kernels_, update_, l, sums == nullptr ? nullptr : sums + update_.offset(l), add, zeros);
  network_->layer(l).backward(pass, units, below, &sink);
}

// Steps part of all layers' parameters, given all gradients.
template <class T>
void Trainer<T>::update_from(T* sums, Range mine) const {
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l) {
    const LayerUpdate<T>& layer = update_.layer(l);
    if (!layer.trained()) continue;
    const std::ptrdiff_t begin = std::max(mine.begin - update_.offset(l), std::ptrdiff_t{0});
    const std::ptrdiff_t end = std::min(mine.end - update_.offset(l), layer.parameters->size());
    if (begin >= end) continue;
    for_each_part(*layer.parameters, begin, end, [&](int tensor, std::ptrdiff_t first, std::ptrdiff_t count) {
      if (layer.rules[static_cast<std::size_t>(tensor)].trained)
        update_.step(layer, tensor, sums + update_.offset(l) + first, first, count);
    });
  }
}

// What follows when all gradients lie in memory.
template <class T>
void Trainer<T>::use_stored(Mode mode, int index, int count, Barrier& barrier) {
  if (mode == Mode::store)
    update_.add_penalties(stored_.data(), index, count);
  else
    update_.apply(stored_.data(), index, count, barrier);
}

template <class T>
class Trainer<T>::Look final : public Interrupt {
 public:
  Look(Trainer& trainer, int index) : trainer_(trainer), index_(index) {}
  bool stop() override {
    trainer_.look_up(index_);
    return trainer_.stop_.load(std::memory_order_relaxed);
  }

 private:
  Trainer& trainer_;
  int index_;
};

// All members go through the layers together.
template <class T>
void Trainer<T>::step_together(Mode mode, const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size,
                               std::ptrdiff_t last, int index, int count, Barrier& barrier) {
  constexpr std::ptrdiff_t grain = kPanelWidth<T> / 2;  // whole vectors of the transposed gradient
  const Range rows = share_of(size, grain, index, count);
  const bool test = mode == Mode::test;
  Pass<T> pass{kernels_, tape_, !test};
  const auto stopped = [&] { return interruptible_ && stop_.load(std::memory_order_relaxed); };
  if (rows.begin < rows.end) {
    const std::ptrdiff_t factor = network_->plan()[0].factor;
    fetch(kernels_, data.x, data.order, first, rows, tape_[0], factor, last - first - rows.end);
    head_->gather(data, first, rows);
  }
  update_.measure_penalties(index, count);
  barrier.wait();
  Look interrupt(*this, index);
  network_->forward(pass, index, count, &barrier, interruptible_ ? &interrupt : nullptr);
  look_up(index);
  head_->evaluate(tape_[network_->depth()], 0, rows, size, !test);
  if (test) return;
  const std::ptrdiff_t depth = network_->depth(), lowest = network_->first_trained();
  if (lowest == depth) return;
  const Panels<T>& scores = tape_[depth].gradient;
  if (rows.begin < rows.end)
    network_->layer(depth - 1).finish_gradient(pass, rows, {0, panel_count(scores.cols, kPanelWidth<T>)});
  T* sums = stores_ ? stored_.data() : nullptr;
  for (std::ptrdiff_t l = depth - 1; l >= lowest; --l) {
    if ((barrier.wait(stopped() ? kStop : 0) & kStop) != 0) return;
    if (index == 0 && l + 1 < depth) update_.tell(l + 1, sums);
    const Range units = share_of(network_->layer(l).backward_units(tape_), 1, index, count);
    if (!interruptible_) {
      if (units.begin < units.end) backward(pass, l, units, sums, false);
      continue;
    }
    for (std::ptrdiff_t unit = units.begin; unit < units.end && !stopped(); ++unit) {
      backward(pass, l, {unit, unit + 1}, sums, false);
      look_up(index);
    }
  }
  if (stores_) {
    if ((barrier.wait(stopped() ? kStop : 0) & kStop) != 0) return;
    if (update_.hooked()) {
      if (index == 0) {
        update_.tell(lowest, sums);
        update_.tell(-1, nullptr);
      }
      barrier.wait();
    }
    use_stored(mode, index, count, barrier);
  }
  if (mode == Mode::train) update_.finish(index, count, barrier);
}

template <class T>
T* Trainer<T>::take_sums(Member& member) {
  if (member.free.empty()) {
    member.sums.emplace_back(update_.gradient_size());
    member.free.push_back(member.sums.back().data());
  }
  T* sums = member.free.back();
  member.free.pop_back();
  return sums;
}

// Adds what the members' nodes hold for parameters begin … end - 1 of all layers' gradients, in the order of the tree.
template <class T>
T* Trainer<T>::merge_nodes(std::ptrdiff_t begin, std::ptrdiff_t end, int members) const {
  Node stack[64];
  int depth = 0;
  const auto merge = [&] {
    kernels_.add(stack[depth - 1].sums + begin, stack[depth - 2].sums + begin, end - begin);
    --depth;
  };
  for (int m = 0; m < members; ++m) {
    for (const Node& node : members_[static_cast<std::size_t>(m)]->nodes) {
      stack[depth++] = node;
      while (depth > 1 && (stack[depth - 1].index & 1) != 0 && stack[depth - 2].level == stack[depth - 1].level) {
        merge();
        ++stack[depth - 1].level;
        stack[depth - 1].index /= 2;
      }
    }
  }
  while (depth > 1) merge();
  return stack[0].sums;
}

// Each member takes segments of rows through all layers.
template <class T>
void Trainer<T>::step_by_segments(Mode mode, const TrainingData<T>& data, std::ptrdiff_t first, std::ptrdiff_t size,
                                  std::ptrdiff_t last, int index, int count, Barrier& barrier) {
  Member& member = *members_[static_cast<std::size_t>(index)];
  const bool test = mode == Mode::test;
  const std::ptrdiff_t segments = gradient_segments(size), depth = network_->depth();
  const std::ptrdiff_t lowest = test ? depth : network_->first_trained(), factor = network_->plan()[0].factor;
  for (const Node& node : member.nodes) member.free.push_back(node.sums);
  member.nodes.clear();
  Pass<T> pass{kernels_, member.tape, !test};
  update_.measure_penalties(index, count);
  for (std::ptrdiff_t s = segments * index / count; s < segments * (index + 1) / count; ++s) {
    const Range rows{gradient_segment_begin(size, s, segments), gradient_segment_begin(size, s + 1, segments)};
    if (member.tape.rows() != rows.size()) member.tape.set_rows(rows.size());
    fetch(kernels_, data.x, data.order, first + rows.begin, {0, rows.size()}, member.tape[0], factor,
          last - first - rows.end);
    head_->gather(data, first, rows);
    network_->forward(pass, 0, 1, nullptr);
    head_->evaluate(member.tape[depth], rows.begin, rows, size, !test);
    look_up(index);
    if (interruptible_ && stop_.load(std::memory_order_relaxed)) break;
    if (lowest == depth) continue;
    const Panels<T>& scores = member.tape[depth].gradient;
    network_->layer(depth - 1).finish_gradient(pass, {0, scores.rows}, {0, panel_count(scores.cols, kPanelWidth<T>)});
    // The second segment of a pair is added to the first.
    const bool add = (s & 1) != 0 && !member.nodes.empty() && member.nodes.back().level == 0;
    T* sums = add ? member.nodes.back().sums : take_sums(member);
    for (std::ptrdiff_t l = depth - 1; l >= lowest; --l)
      backward(pass, l, {0, network_->layer(l).backward_units(member.tape)}, sums, add);
    if (!add) {
      member.nodes.push_back({0, s, sums});
      continue;
    }
    Node* last = &member.nodes.back();
    ++last->level;
    last->index /= 2;
    while (member.nodes.size() > 1 && (last->index & 1) != 0 && last[-1].level == last->level) {
      kernels_.add(last->sums, last[-1].sums, update_.gradient_size());
      member.free.push_back(last->sums);
      member.nodes.pop_back();
      last = &member.nodes.back();
      ++last->level;
      last->index /= 2;
    }
  }
  if (lowest == depth) return;
  const bool stopped = interruptible_ && stop_.load(std::memory_order_relaxed);
  if ((barrier.wait(stopped ? kStop : 0) & kStop) != 0) return;
  const Range mine = share_of(update_.gradient_size(), kPanelWidth<T>, index, count);
  if (mine.begin < mine.end) {
    T* sums = merge_nodes(mine.begin, mine.end, count);
    if (stores_)
      std::copy(sums + mine.begin, sums + mine.end, stored_.data() + mine.begin);
    else
      update_from(sums, mine);
  }
  if (stores_) {
    barrier.wait();
    if (update_.hooked()) {
      if (index == 0)
        for (std::ptrdiff_t l = depth - 1; l >= -1; --l)
          if (l < 0 || l >= lowest) update_.tell(l, stored_.data());
      barrier.wait();
    }
    use_stored(mode, index, count, barrier);
  }
  if (mode == Mode::train) update_.finish(index, count, barrier);
}

// Some steps of a run, by so many threads.
template <class T>
void Trainer<T>::run_stretch(Run& run, Range steps, int threads) {
  const Batches& batches = run.batches;
  const std::ptrdiff_t last = batches.first + batches.rows;
  run_together(threads, [&](int index, int count, Barrier& barrier) {
    network_->reserve_scratch(std::min(batches.size, batches.rows));
    std::ptrdiff_t rows_before = -1;
    for (std::ptrdiff_t step = steps.begin; step < steps.end; ++step) {
      const std::ptrdiff_t first = batches.first + step * batches.size, size = std::min(batches.size, last - first);
      if (!run.chunked && size != rows_before) {
        if (index == 0) tape_.set_rows(size);
        barrier.wait();
        rows_before = size;
      }
      if (index == 0 && run.rates != nullptr)  // first read after the next barrier
        update_.begin_step(run.iteration + step,
                           (*run.rates)[std::min(static_cast<std::size_t>(step), run.rates->size() - 1)]);
      if (run.chunked)
        step_by_segments(run.mode, run.data, first, size, last, index, count, barrier);
      else
        step_together(run.mode, run.data, first, size, last, index, count, barrier);
      const bool given_up = interruptible_ && stop_.load(std::memory_order_relaxed);
      if (!run.settled) barrier.wait();
      if (index == 0 && !given_up) {
        head_->collect(size, update_.penalty(), run.totals);
        ++run.totals.steps;
        if ((host() || update_.hooked()) && run.mode == Mode::train)
          update_.mark_changed();  // what runs in the next step reads them
      }
      look_up(index);
      unsigned flags = index == 0 && stop_.load(std::memory_order_relaxed) ? kStop : 0u;
      if (index == 0 && run.exclusive.wanted()) flags |= kPause;
      flags = barrier.wait(flags);
      if ((flags & kStop) != 0) return;
      if ((flags & kPause) == 0) continue;
      if (index == 0) run.exclusive.let_through();
      barrier.wait();
    }
  });
}

template <class T>
void Trainer<T>::run(Mode mode, const TrainingData<T>& data, Batches batches, const std::vector<double>* rates,
                     std::int64_t iteration, Totals& totals, const Poll& poll) {
  if (batches.rows == 0) return;
  if (Gate::held_here())
    throw std::logic_error(
        "a model cannot be trained or evaluated from inside a step: by a layer, a loss or a metric.");
  const Turn turn(turns_);  // tapes and targets are those of one run
  Exclusive<T> exclusive(*network_);
  const std::ptrdiff_t largest = std::min(batches.size, batches.rows);
  const std::ptrdiff_t steps = (batches.rows + batches.size - 1) / batches.size;
  StepPlan plan = this->plan(largest);
  const double guess = 3 * network_->work() * static_cast<double>(largest) / lamina::kernels().vector_bytes;
  // Waking a team costs more than a few small steps.
  if (guess * static_cast<double>(steps) < kWorthATeam && forced_threads_ == 0) plan.threads = 1;
  interruptible_ = guess / plan.threads > kLongStep || forced_long_;
  const bool chunked = plan.schedule == Schedule::chunked;
  stores_ = mode == Mode::store || (mode == Mode::train && (update_.stores() || (interruptible_ && !chunked)));
  reserve(largest, data.x.most_entries(largest), plan.threads, chunked);
  stop_.store(false);
  poll_ = &poll;
  next_poll_ = std::chrono::steady_clock::now() + kPollInterval;
  // Whether all losses of a step are there before its last phase.
  const bool settled = mode != Mode::test && network_->first_trained() < network_->depth();
  const AtEnd changed([&] {  // also where a step fails
    if (mode == Mode::train) update_.mark_changed();
  });
  Run run{mode, data, batches, rates, iteration, totals, exclusive, chunked, settled};
  for (std::ptrdiff_t step = 0; step < steps && !stop_.load(std::memory_order_relaxed);) {
    Pace::Stretch stretch{plan.threads, steps - step, false};
    if (forced_threads_ == 0) stretch = paces_[mode == Mode::test].next(plan.threads, guess, steps - step);
    const auto begun = std::chrono::steady_clock::now();
    run_stretch(run, {step, step + stretch.steps}, stretch.threads);
    paces_[mode == Mode::test].note(
        stretch, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begun).count());
    step += stretch.steps;
  }
  stored_is_zero_ = !stores_;
}

template <class T>
void Trainer<T>::train(const TrainingData<T>& data, Batches batches, const std::vector<double>& rates,
                       std::int64_t iteration, Totals& totals, const Poll& poll) {
  run(Mode::train, data, batches, &rates, iteration, totals, poll);
}

template <class T>
void Trainer<T>::test(const TrainingData<T>& data, Batches batches, Totals& totals, const Poll& poll) {
  run(Mode::test, data, batches, nullptr, 0, totals, poll);
}

template <class T>
std::vector<std::shared_ptr<Parameters<T>>> Trainer<T>::gradients(const TrainingData<T>& data, std::ptrdiff_t rows,
                                                                  Totals& totals) {
  run(Mode::store, data, {0, rows, rows}, nullptr, 0, totals, nullptr);
  std::vector<std::shared_ptr<Parameters<T>>> found(static_cast<std::size_t>(update_.depth()));
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l) {
    if (!update_.layer(l).trained()) continue;
    auto& gradient = found[static_cast<std::size_t>(l)];
    gradient = std::make_shared<Parameters<T>>(update_.layer(l).parameters->layout());
    const T* from = stored_.data() + update_.offset(l);
    std::copy(from, from + gradient->size(), gradient->data());
  }
  return found;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace lamina::engine
