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

}  // namespace

template <class T>
Trainer<T>::Trainer(std::shared_ptr<Network<T>> network, HeadPlan<T> head, std::vector<bool> labels,
                    OptimizerPlan<T> optimizer)
    : network_(std::move(network)),
      kernels_(network_->kernels()),
      head_plan_(std::move(head)),
      labels_(std::move(labels)),
      optimizer_(&kernels_.optimizers[optimizer.number]),
      settings_(std::move(optimizer.settings)),
      updates_(static_cast<std::size_t>(network_->depth())),
      scalars_(settings_.size(), std::vector<T>(kMostSettings)) {
  plain_ = std::all_of(settings_.begin(), settings_.end(),
                       [&](const auto& group) { return optimizer_->adds_scaled_gradient(group.data()); });
  for (std::ptrdiff_t l = 0; l < network_->depth(); ++l) {
    const auto i = static_cast<std::size_t>(l);
    offsets_.push_back(gradient_size_);
    Parameters<T>* parameters = network_->layer(l).parameters();
    if (parameters == nullptr) continue;
    updates_[i].parameters = parameters;
    updates_[i].slots = std::move(optimizer.layers[i].slots);
    for (const int group : optimizer.layers[i].groups)
      updates_[i].rules.push_back(
          {group >= 0, group >= 0 ? scalars_[static_cast<std::size_t>(group)].data() : nullptr});
    if (updates_[i].trained()) gradient_size_ += parameters->size();
  }
}

template <class T>
StepPlan Trainer<T>::plan(std::ptrdiff_t rows) const {
  const bool segmentable = network_->rows_alone() && !head_plan_.host();
  const StepShape shape{rows,
                        network_->work(),
                        gradient_size_ * static_cast<std::ptrdiff_t>(sizeof(T)),
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
void Trainer<T>::reserve(std::ptrdiff_t rows, int members, bool chunked, bool stored) {
  const std::ptrdiff_t before = static_cast<std::ptrdiff_t>(allocated_bytes());
  if (head_ == nullptr || rows > capacity_) {
    head_ = std::make_unique<Head<T>>(head_plan_, kernels_, labels_, network_->outputs(), rows);
    capacity_ = rows;
  }
  if (chunked) {
    while (static_cast<int>(members_.size()) < members) members_.push_back(std::make_unique<Member>());
    const std::ptrdiff_t segments = gradient_segments(rows);
    std::ptrdiff_t longest = 0;
    for (std::ptrdiff_t s = 0; s < segments; ++s)
      longest =
          std::max(longest, gradient_segment_begin(rows, s + 1, segments) - gradient_segment_begin(rows, s, segments));
    for (const auto& member : members_)
      if (member->tape.capacity() < longest) member->tape = Tape<T>(network_->plan(), longest, true);
  } else if (tape_.capacity() < rows) {
    tape_ = Tape<T>(network_->plan(), rows, true);
  }
  if (stored && stored_.size() < gradient_size_) stored_ = Buffer<T>(gradient_size_);
  workspace_bytes_ += static_cast<std::ptrdiff_t>(allocated_bytes()) - before;
}

template <class T>
void Trainer<T>::begin_step(std::ptrdiff_t step, const std::vector<double>* rates, std::int64_t iteration) {
  if (rates == nullptr) return;
  const double rate = (*rates)[std::min(static_cast<std::size_t>(step), rates->size() - 1)];
  for (std::size_t g = 0; g < settings_.size(); ++g)
    optimizer_->prepare(settings_[g].data(), rate, iteration + step + 1, scalars_[g].data());
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
  const LayerUpdate<T>& update = updates_[static_cast<std::size_t>(l)];
  const Layer<T>* below = l > 0 ? &network_->layer(l - 1) : nullptr;
  if (!update.trained()) return network_->layer(l).backward(pass, units, below, nullptr);
  T* stored = sums == nullptr ? nullptr : sums + offsets_[static_cast<std::size_t>(l)];
  GradientSink<T> sink(kernels_, optimizer_, update, plain_, stored, add);
  network_->layer(l).backward(pass, units, below, &sink);
}

template <class T>
void Trainer<T>::update_from(const T* sums, int index, int count) const {
  for (std::size_t l = 0; l < updates_.size(); ++l) {
    if (!updates_[l].trained()) continue;
    const Range mine = share_of(updates_[l].parameters->size(), kPanelWidth<T>, index, count);
    if (mine.begin < mine.end) update_range(*optimizer_, updates_[l], sums + offsets_[l], mine.begin, mine.end);
  }
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
    kernels_.gather({data.x, data.order, first + rows.begin, rows.size(), tape_[0].value,
                     rows.begin * network_->plan()[0].factor, network_->plan()[0].factor, last - first - rows.end});
    head_->gather(data, first, rows);
  }
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
  if (!stores_ || mode == Mode::store) return;
  if ((barrier.wait(stopped() ? kStop : 0) & kStop) != 0) return;
  update_from(stored_.data(), index, count);
}

template <class T>
T* Trainer<T>::take_sums(Member& member) {
  if (member.free.empty()) {
    member.sums.emplace_back(gradient_size_);
    member.free.push_back(member.sums.back().data());
  }
  T* sums = member.free.back();
  member.free.pop_back();
  return sums;
}

// Adds what the members' nodes hold for parameters begin … end - 1 of all layers' gradients, in the order of the tree.
template <class T>
const T* Trainer<T>::merge_nodes(std::ptrdiff_t begin, std::ptrdiff_t end, int members) const {
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
  for (std::ptrdiff_t s = segments * index / count; s < segments * (index + 1) / count; ++s) {
    const Range rows{gradient_segment_begin(size, s, segments), gradient_segment_begin(size, s + 1, segments)};
    if (member.tape.rows() != rows.size()) member.tape.set_rows(rows.size());
    kernels_.gather({data.x, data.order, first + rows.begin, rows.size(), member.tape[0].value, 0, factor,
                     last - first - rows.end});
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
      kernels_.add(last->sums, last[-1].sums, gradient_size_);
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
  const Range mine = share_of(gradient_size_, kPanelWidth<T>, index, count);
  if (mine.begin >= mine.end) return;
  const T* sums = merge_nodes(mine.begin, mine.end, count);
  if (mode == Mode::store) {
    std::copy(sums + mine.begin, sums + mine.end, stored_.data() + mine.begin);
    return;
  }
  for (std::size_t l = 0; l < updates_.size(); ++l) {
    if (!updates_[l].trained()) continue;
    const std::ptrdiff_t begin = std::max(mine.begin - offsets_[l], std::ptrdiff_t{0});
    const std::ptrdiff_t end = std::min(mine.end - offsets_[l], updates_[l].parameters->size());
    if (begin < end) update_range(*optimizer_, updates_[l], sums + offsets_[l], begin, end);
  }
}

template <class T>
void Trainer<T>::mark_changed() {
  for (const LayerUpdate<T>& update : updates_) {
    if (update.parameters == nullptr) continue;
    update.parameters->changed();
    for (const auto& slot : update.slots)
      if (slot != nullptr) slot->changed();
  }
}

template <class T>
std::ptrdiff_t Trainer<T>::run(Mode mode, const TrainingData<T>& data, Batches batches,
                               const std::vector<double>* rates, std::int64_t iteration, Totals& totals,
                               const Poll& poll) {
  if (batches.rows == 0) return 0;
  if (Gate::held_here())
    throw std::logic_error(
        "a model cannot be trained or evaluated from inside a step: by a layer, a loss or a metric.");
  struct Turn {
    Turns& turns;
    explicit Turn(Turns& t) : turns(t) { turns.enter(); }
    ~Turn() { turns.leave(); }
  } const turn(turns_);  // tapes and targets are those of one run
  Exclusive<T> exclusive(*network_);
  const std::ptrdiff_t largest = std::min(batches.size, batches.rows);
  const std::ptrdiff_t steps = (batches.rows + batches.size - 1) / batches.size;
  StepPlan plan = this->plan(largest);
  const double guess = 3 * network_->work() * static_cast<double>(largest) / lamina::kernels().vector_bytes;
  // Waking a team costs more than a few small steps.
  if (guess * static_cast<double>(steps) < kWorthATeam && forced_threads_ == 0) plan.threads = 1;
  interruptible_ = guess / plan.threads > kLongStep || forced_long_;
  stores_ = mode == Mode::store || (interruptible_ && mode == Mode::train);
  const bool chunked = plan.schedule == Schedule::chunked;
  reserve(largest, plan.threads, chunked, stores_);
  stop_.store(false);
  poll_ = &poll;
  next_poll_ = std::chrono::steady_clock::now() + kPollInterval;
  // Whether all losses of a step are there before its last phase.
  const bool settled = mode != Mode::test && network_->first_trained() < network_->depth();
  std::ptrdiff_t completed = 0;
  TeamBarrier team;
  run_team(plan.threads, [&](int index, int count) {
    Barrier& barrier = team.of(count);
    std::ptrdiff_t rows_before = -1;
    const std::ptrdiff_t last = batches.first + batches.rows;
    for (std::ptrdiff_t step = 0; step < steps; ++step) {
      const std::ptrdiff_t first = batches.first + step * batches.size;
      const std::ptrdiff_t size = std::min(batches.size, batches.first + batches.rows - first);
      if (!chunked && size != rows_before) {
        if (index == 0) tape_.set_rows(size);
        barrier.wait();
        rows_before = size;
      }
      if (index == 0) begin_step(step, rates, iteration);  // first read after the next barrier
      if (chunked)
        step_by_segments(mode, data, first, size, last, index, count, barrier);
      else
        step_together(mode, data, first, size, last, index, count, barrier);
      const bool given_up = interruptible_ && stop_.load(std::memory_order_relaxed);
      if (!settled) barrier.wait();
      if (index == 0 && !given_up) {
        head_->collect(size, totals);
        ++completed;
        if (host() && mode == Mode::train) mark_changed();  // what runs in the next step reads them
      }
      look_up(index);
      unsigned flags = index == 0 && stop_.load(std::memory_order_relaxed) ? kStop : 0u;
      if (index == 0 && exclusive.wanted()) flags |= kPause;
      flags = barrier.wait(flags);
      if ((flags & kStop) != 0) return;
      if ((flags & kPause) == 0) continue;
      if (index == 0) exclusive.let_through();
      barrier.wait();
    }
  });
  if (mode == Mode::train) mark_changed();
  return completed;
}

template <class T>
std::ptrdiff_t Trainer<T>::train(const TrainingData<T>& data, Batches batches, const std::vector<double>& rates,
                                 std::int64_t iteration, Totals& totals, const Poll& poll) {
  return run(Mode::train, data, batches, &rates, iteration, totals, poll);
}

template <class T>
std::ptrdiff_t Trainer<T>::test(const TrainingData<T>& data, Batches batches, Totals& totals, const Poll& poll) {
  return run(Mode::test, data, batches, nullptr, 0, totals, poll);
}

template <class T>
std::vector<std::shared_ptr<Parameters<T>>> Trainer<T>::gradients(const TrainingData<T>& data, std::ptrdiff_t rows,
                                                                  Totals& totals) {
  run(Mode::store, data, {0, rows, rows}, nullptr, 0, totals, nullptr);
  std::vector<std::shared_ptr<Parameters<T>>> found(updates_.size());
  for (std::size_t l = 0; l < updates_.size(); ++l) {
    if (!updates_[l].trained()) continue;
    found[l] = std::make_shared<Parameters<T>>(updates_[l].parameters->layout());
    std::copy(stored_.data() + offsets_[l], stored_.data() + offsets_[l] + found[l]->size(), found[l]->data());
  }
  return found;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace lamina::engine
