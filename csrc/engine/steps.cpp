// A step (one batch) by each of the three schedules: forward, losses, backward, and the use of the gradients.
#include <algorithm>

#include "engine/training.hpp"

namespace lamina::engine {
template <class T>
GradientSink<T> Trainer<T>::sink(std::ptrdiff_t l, std::ptrdiff_t rows, const Destination<T>& to) const {
  T* zeros = to.sums == nullptr && stored_.size() != 0 ? stored_.data() + update_.offset(l) : nullptr;
  return {kernels_, update_, l, rows, to, zeros};
}

template <class T>
void Trainer<T>::backward(Pass<T>& pass, std::ptrdiff_t l, Range units, const Destination<T>& to) const {
  const Layer<T>* below = l > 0 ? &network_->layer(l - 1) : nullptr;
  if (!update_.layer(l).trained()) return network_->layer(l).backward(pass, units, below, nullptr);
  GradientSink<T> gradients = sink(l, pass.tape.rows(), to);
  network_->layer(l).backward(pass, units, below, &gradients);
}

template <class T>
Pass<T> Trainer<T>::pass_of(const Step& step, Tape<T>& tape) const {
  const bool training = step.run.mode != Mode::test;
  return {.kernels = kernels_,
          .tape = tape,
          .training = training,
          .random = training && step.run.random,
          .draw = step.draw,
          .batch = step.size,
          .penalties = head_->penalties(),
          .ahead = {}};
}

// How often the first layer calls Ahead::some() in that many units of backward.
template <class T>
std::ptrdiff_t Trainer<T>::calls_ahead(std::ptrdiff_t units) const {
  return units * panel_count(network_->boundaries()[0].width, kPanelWidth<T>);
}

// Uses stored gradients: calls the hook for layers `told` and below, then updates the parameters (Mode::train) or
// writes the vector (Mode::store).
template <class T>
void Trainer<T>::use_stored(const Run& run, std::ptrdiff_t told, int index, int count, Barrier& barrier) {
  if (update_.hooked()) {
    if (index == 0) {
      for (std::ptrdiff_t l = told; l >= network_->first_trained(); --l) update_.tell(l, stored_.data());
      update_.tell(-1, nullptr);
    }
    barrier.wait();
  }
  if (run.mode == Mode::store && run.vector == nullptr)
    update_.add_penalties(stored_.data(), index, count);
  else if (run.mode == Mode::store)
    update_.write_all(stored_.data(), index, count, run.vector);
  else
    update_.apply(stored_.data(), index, count, barrier);
}

// Tells a member inside a long step whether to give the step up.
template <class T>
class Trainer<T>::Look final : public Interrupt {
 public:
  Look(Run& run, int index) : run_(run), index_(index) {}
  bool stop() override {
    run_.poll_if_due(index_);
    return run_.stopped();
  }

 private:
  Run& run_;
  int index_;
};

// Schedule::stationary: all members go through the layers together.
template <class T>
void Trainer<T>::step_stationary(const Step& step, int index, int count, Barrier& barrier) {
  constexpr std::ptrdiff_t grain = kPanelWidth<T> / 2;  // rows, so that members write whole vectors of dzᵀ
  const Range rows = share_of(step.size, grain, index, count);
  Run& run = step.run;
  const bool test = run.mode == Mode::test;
  Tape<T>& tape = run.own_inputs ? own_tapes_[static_cast<std::size_t>(index)] : tape_;
  Pass<T> pass = pass_of(step, tape);
  const Range fetched = run.own_inputs ? Range{0, step.size} : rows;
  if (fetched.begin < fetched.end)
    fetch(kernels_, run.data.x, run.data.order, step.first, fetched, tape[0], network_->boundaries()[0].factor);
  if (rows.begin < rows.end) head_->gather(run.data, step.first, rows);
  update_.measure_penalties(index, count);
  if (!run.own_inputs) barrier.wait();
  Look interrupt(run, index);
  if (run.interruptible) pass.interrupt = &interrupt;
  network_->forward(pass, index, count, &barrier);
  if (run.interruptible) run.poll_if_due(index);
  head_->evaluate(tape_[network_->depth()], 0, rows, head_->divisor(run.data, step.first, step.size), !test);
  if (test) return;
  const std::ptrdiff_t depth = network_->depth(), lowest = network_->first_trained();
  if (lowest == depth && run.settles) return network_->settle(pass, index, count);
  if (lowest == depth) return;
  const Panels<T>& scores = tape_[depth].gradient;
  const std::ptrdiff_t lines = network_->boundaries().back().factor;
  if (rows.begin < rows.end)
    network_->layer(depth - 1).finish_gradient(pass, {rows.begin * lines, rows.end * lines},
                                               {0, panel_count(scores.cols, kPanelWidth<T>)});
  const Destination<T> to = destination(run);
  for (std::ptrdiff_t l = depth - 1; l >= lowest; --l) {
    if ((barrier.wait(run.given_up() ? kStop : 0) & kStop) != 0) return;
    if (index == 0 && l + 1 < depth) update_.tell(l + 1, to.sums);
    const Range units = share_of(network_->layer(l).backward_units(tape_), 1, index, count);
    if (l == 0) {
      const Range next =
          run.own_inputs ? Range{0, step.size_after()} : share_of(step.size_after(), grain, index, count);
      pass.ahead = Ahead(run.data.x, run.data.order, step.after(), next, calls_ahead(units.size()));
    }
    if (!run.interruptible) {
      if (units.begin < units.end) backward(pass, l, units, to);
      continue;
    }
    const std::ptrdiff_t together = network_->layer(l).units_together(tape_);
    for (std::ptrdiff_t unit = units.begin; unit < units.end && !run.given_up(); unit += together) {
      backward(pass, l, {unit, std::min(units.end, unit + together)}, to);
      run.poll_if_due(index);
    }
  }
  if ((run.stores || run.interruptible) && (barrier.wait(run.given_up() ? kStop : 0) & kStop) != 0) return;
  if (run.stores) use_stored(run, lowest, index, count, barrier);
  if (run.settles) network_->settle(pass, index, count);
  if (run.mode == Mode::train) update_.finish(index, count, barrier);
}

// Adds up the gradients of all segments, for parameters mine.begin … mine.end - 1.
template <class T>
T* Trainer<T>::merged(Range mine, int members) const {
  SegmentTree<T> tree(kernels_, mine);
  for (int m = 0; m < members; ++m) tree.add(members_[static_cast<std::size_t>(m)]->sums);
  return tree.finish();
}

// Runs rows of the batch forward through all layers, on the tape of one member, and evaluates losses and metrics.
template <class T>
void Trainer<T>::forward_segment(const Step& step, Member& member, Pass<T>& pass, Range rows, double divisor) {
  const TrainingData<T>& data = step.run.data;
  const bool gradient = step.run.mode != Mode::test;
  pass.offset = rows.begin;
  head_->gather(data, step.first, rows);
  if (narrow()) {
    NarrowTape<T>& tape = member.narrow;
    if (tape.rows() != rows.size()) tape.set_rows(rows.size());
    kernels_.gather({.source = data.x.dense,
                     .order = data.order,
                     .first = step.first + rows.begin,
                     .count = rows.size(),
                     .to = tape[0].value,
                     .transposed = true});
    network_->forward_narrow({kernels_, tape, pass.training}, !head_->narrow() || head_->has_metrics());
    if (!head_->narrow()) {
      head_->evaluate(tape.output(), rows.begin, rows, divisor, gradient);
      if (gradient) tape.write_gradient(kernels_);
      return;
    }
    head_->evaluate_narrow(tape[network_->depth()], rows, divisor, gradient);
    if (head_->has_metrics()) head_->evaluate_metrics(tape.output(), rows.begin, rows);
    return;
  }
  if (member.tape.rows() != rows.size()) member.tape.set_rows(rows.size());
  fetch(kernels_, data.x, data.order, step.first + rows.begin, {0, rows.size()}, member.tape[0],
        network_->boundaries()[0].factor);
  network_->forward(pass, 0, 1, nullptr);
  head_->evaluate(member.tape[network_->depth()], rows.begin, rows, divisor, gradient);
}

// Runs these rows backward, from the gradient of the output.
template <class T>
void Trainer<T>::backward_segment(Member& member, Pass<T>& pass, const Destination<T>& to) {
  const std::ptrdiff_t depth = network_->depth(), lowest = network_->first_trained();
  if (narrow()) {
    const NarrowPass<T> narrow_pass{kernels_, member.narrow, true};
    network_->layer(depth - 1).finish_narrow_gradient(narrow_pass);
    for (std::ptrdiff_t l = depth - 1; l >= lowest; --l)
      network_->layer(l).backward_narrow(narrow_pass, l > 0 ? &network_->layer(l - 1) : nullptr,
                                         update_.layer(l).trained() ? to.sums + update_.offset(l) : nullptr, to.add);
    return;
  }
  const Panels<T>& scores = member.tape[depth].gradient;
  network_->layer(depth - 1).finish_gradient(pass, {0, scores.rows}, {0, panel_count(scores.cols, kPanelWidth<T>)});
  for (std::ptrdiff_t l = depth - 1; l >= lowest; --l)
    backward(pass, l, {0, network_->layer(l).backward_units(member.tape)}, to);
}

// Schedule::chunked: each member takes segments of rows through all layers.
template <class T>
void Trainer<T>::step_chunked(const Step& step, int index, int count, Barrier& barrier) {
  Member& member = *members_[static_cast<std::size_t>(index)];
  Run& run = step.run;
  const bool test = run.mode == Mode::test;
  const std::ptrdiff_t segments = gradient_segments(step.size), depth = network_->depth();
  const std::ptrdiff_t lowest = test ? depth : network_->first_trained();
  member.sums.clear();
  Pass<T> pass = pass_of(step, member.tape);
  update_.measure_penalties(index, count);
  const double divisor = head_->divisor(run.data, step.first, step.size);
  const std::ptrdiff_t begin = segments * index / count, end = segments * (index + 1) / count;
  const auto segment = [](std::ptrdiff_t batch, std::ptrdiff_t s) -> Range {
    const std::ptrdiff_t of = gradient_segments(batch);
    return {gradient_segment_begin(batch, s, of), gradient_segment_begin(batch, s + 1, of)};
  };
  for (std::ptrdiff_t s = begin; s < end; ++s) {
    const Range rows = segment(step.size, s);
    forward_segment(step, member, pass, rows, divisor);
    if (run.interruptible) run.poll_if_due(index);
    if (run.given_up()) break;
    if (lowest == depth) continue;
    if (lowest == 0 && !narrow()) {
      const bool here = s + 1 < end;
      pass.ahead = Ahead(run.data.x, run.data.order, here ? step.first : step.after(),
                         here ? segment(step.size, s + 1) : segment(step.size_after(), begin),
                         calls_ahead(network_->layer(0).backward_units(member.tape)));
    }
    backward_segment(member, pass, member.sums.open(s));
    member.sums.close();
  }
  if (lowest == depth) return;
  if ((barrier.wait(run.given_up() ? kStop : 0) & kStop) != 0) return;
  const Range mine = share_of(update_.gradient_size(), kPanelWidth<T>, index, count);
  if (mine.begin < mine.end) {
    T* sums = merged(mine, count);
    if (run.stores)
      std::copy(sums + mine.begin, sums + mine.end, stored_.data() + mine.begin);
    else
      update_.use(sums, mine, run.vector);
  }
  if (run.stores) {
    barrier.wait();
    use_stored(run, depth - 1, index, count, barrier);
  }
  if (run.mode == Mode::train) update_.finish(index, count, barrier);
}

template <class T>
bool Trainer<T>::separable() const {
  for (std::ptrdiff_t l = 0; l < network_->depth(); ++l)
    if (!network_->layer(l).separable()) return false;
  return true;
}

// Schedule::by_rows: each member takes rows forward and back through all layers. After a barrier, it computes the
// gradients of some panels of weights from the whole batch.
template <class T>
void Trainer<T>::step_by_rows(const Step& step, int index, int count, Barrier& barrier) {
  constexpr std::ptrdiff_t grain = kPanelWidth<T> / 2;
  const Range rows = share_of(step.size, grain, index, count);
  Run& run = step.run;
  const bool test = run.mode == Mode::test;
  const std::ptrdiff_t depth = network_->depth(), lowest = test ? depth : network_->first_trained();
  Pass<T> pass = pass_of(step, tape_);
  const auto lines = [&](std::ptrdiff_t l, Range of) -> Range {
    const std::ptrdiff_t factor = network_->boundaries()[static_cast<std::size_t>(l)].factor;
    return {of.begin * factor, of.end * factor};
  };
  const auto panels = [&](std::ptrdiff_t l) -> Range { return {0, panel_count(tape_[l].value.cols, kPanelWidth<T>)}; };
  update_.measure_penalties(index, count);
  if (rows.begin < rows.end) {
    fetch(kernels_, run.data.x, run.data.order, step.first, rows, tape_[0], network_->boundaries()[0].factor);
    head_->gather(run.data, step.first, rows);
    for (std::ptrdiff_t l = 0; l < depth; ++l) network_->layer(l).forward(pass, lines(l + 1, rows), panels(l + 1));
    head_->evaluate(tape_[depth], 0, rows, head_->divisor(run.data, step.first, step.size), !test);
    if (lowest < depth) network_->layer(depth - 1).finish_gradient(pass, lines(depth, rows), panels(depth));
    for (std::ptrdiff_t l = depth - 1; l > lowest; --l)
      network_->layer(l).propagate(pass, lines(l, rows), &network_->layer(l - 1));
  }
  if (lowest == depth) return;
  barrier.wait();
  // A unit belongs to the member whose share of all the work contains its middle.
  const auto work = [&](std::ptrdiff_t l) -> double {
    const Layer<T>& layer = network_->layer(l);
    return update_.layer(l).trained() ? layer.gradient_work() * static_cast<double>(lines(l, {0, 1}).end) : 0;
  };
  double all = 0, before = 0;
  std::ptrdiff_t units = 0;
  for (std::ptrdiff_t l = lowest; l < depth; ++l) {
    units += network_->layer(l).gradient_units();
    all += work(l) * static_cast<double>(network_->layer(l).gradient_units());
  }
  pass.ahead = Ahead(run.data.x, run.data.order, step.after(), share_of(step.size_after(), grain, index, count),
                     std::max<std::ptrdiff_t>(1, units / count));
  const Destination<T> to = destination(run);
  for (std::ptrdiff_t l = depth - 1; l >= lowest; --l) {
    const Layer<T>& layer = network_->layer(l);
    const double each = work(l);
    if (each == 0) continue;
    const auto bound = [&](int member) {
      const double place = (all * member / count - before) / each + 0.5;
      return place <= 0 ? 0 : std::min(layer.gradient_units(), static_cast<std::ptrdiff_t>(place));
    };
    const Range mine{bound(index), bound(index + 1)};
    before += each * static_cast<double>(layer.gradient_units());
    if (mine.begin < mine.end) layer.gradient(pass, mine, sink(l, step.size, to));
  }
  if (run.stores) {
    barrier.wait();
    use_stored(run, depth - 1, index, count, barrier);
  }
  if (run.mode == Mode::train) update_.finish(index, count, barrier);
}

template <class T>
void Trainer<T>::take(const Step& step, int index, int count, Barrier& barrier) {
  switch (step.run.schedule) {
    case Schedule::stationary:
      return step_stationary(step, index, count, barrier);
    case Schedule::chunked:
      return step_chunked(step, index, count, barrier);
    case Schedule::by_rows:
      return step_by_rows(step, index, count, barrier);
  }
}

template bool Trainer<float>::separable() const;
template bool Trainer<double>::separable() const;
template void Trainer<float>::take(const Step&, int, int, Barrier&);
template void Trainer<double>::take(const Step&, int, int, Barrier&);

}  // namespace lamina::engine
