// Steps of methods that evaluate the loss of a batch at several places.
#include <algorithm>

#include "engine/training.hpp"

namespace lamina::engine {

template <class T>
bool Trainer<T>::train_batches(const Task& task, Passage& passage, const Poll& poll) {
  converged_ = false;
  if (update_.method() == Method::formula) return run_batches(task, passage, poll);
  return minimize_batches(task, passage, poll);
}

// Takes a step for each batch. Loss and metrics of a batch are those after its step.
template <class T>
bool Trainer<T>::minimize_batches(const Task& task, Passage& passage, const Poll& poll) {
  const Batches& batches = task.batches;
  if (batches.rows == 0 || update_.gradient_size() == 0) return run_batches(task, passage, poll);
  const bool by_lines = update_.method() == Method::lbfgs;
  if (by_lines && lbfgs_ == nullptr) lbfgs_ = std::make_unique<Lbfgs<T>>(update_, kernels_);
  if (by_lines && !task.follows) lbfgs_->forget();  // others may have loaded its state
  const auto versions = [&] {
    std::vector<std::int64_t> found;
    for (std::ptrdiff_t l = 0; l < update_.depth(); ++l)
      if (update_.layer(l).trained()) found.push_back(update_.layer(l).parameters->version());
    return found;
  };
  bool repeats = batches.rows <= batches.size, moved = false;
  for (std::ptrdiff_t l = 0; l < network_->depth(); ++l) repeats &= network_->layer(l).repeats();
  const std::ptrdiff_t steps = (batches.rows + batches.size - 1) / batches.size;
  auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
  for (std::ptrdiff_t step = 0; step < steps; ++step) {
    const std::ptrdiff_t first = batches.first + step * batches.size;
    const std::ptrdiff_t size = std::min(batches.size, batches.first + batches.rows - first);
    const bool fresh = task.follows && repeats && versions() == versions_;
    Totals here{std::vector<double>(task.totals.sum.size()), std::vector<double>(task.totals.sum.size())};
    Totals at_first = fresh ? found_ : here;
    bool has_first = false;
    // What a step begins with was counted at the end of the last one, also if it is evaluated again: how often that is
    // depends on how many epochs a call trains, and so on time.
    const bool counted = by_lines && repeats && task.iteration + step > 0;
    const auto evaluate = [&](Mode mode, bool settles) {
      std::fill(here.sum.begin(), here.sum.end(), 0.0);
      std::fill(here.count.begin(), here.count.end(), 0.0);
      const bool done = run_batches({.mode = mode,
                                     .data = task.data,
                                     .batches = {first, size, size},
                                     .draw = task.draw + static_cast<std::uint64_t>(step),
                                     .totals = here,
                                     .settles = settles,
                                     .repeats = true,
                                     .inside = true},
                                    passage, poll);
      if (!done) throw Interrupted{};
      if (!counted || !settles || has_first) ++evaluations_;
      if (poll && std::chrono::steady_clock::now() >= next_poll) {  // evaluations may be shorter
        if (poll()) throw Interrupted{};
        next_poll = std::chrono::steady_clock::now() + kPollInterval;
      }
      if (task.added != nullptr && *task.added) here.sum[0] += (*task.added)();
      if (settles && !has_first) at_first = here;
      has_first |= settles;
      return here.sum[0] / here.count[0];
    };
    const auto gradient_at = [&](bool first_place) {
      return [&evaluate, first_place, this](T* gradient) {
        const double loss = evaluate(Mode::store, first_place);
        std::copy_n(stored_.data(), update_.gradient_size(), gradient);
        return loss;
      };
    };
    const double rate =
        (*task.rates)[std::min(task.first_rate + static_cast<std::size_t>(step), task.rates->size() - 1)];
    bool lower;
    try {
      if (by_lines)
        lower = lbfgs_->step(task.iteration + step, rate, fresh, gradient_at(true), gradient_at(false));
      else
        lower = least_squares_->step(
            {task.data, first, size}, rate, damping_, [&] { return evaluate(Mode::test, true); }, poll);
    } catch (const Interrupted&) {
      return false;
    }
    update_.mark_changed();
    moved |= lower && !(by_lines && lbfgs_->flat());
    found_ = lower ? here : at_first;
    for (std::size_t i = 0; i < found_.sum.size(); ++i) {
      task.totals.sum[i] += found_.sum[i];
      task.totals.count[i] += found_.count[i];
    }
    task.totals.count_step();
    versions_ = versions();
    if (passage.is_wanted()) passage.let_through();
  }
  const std::int64_t most = by_lines ? update_.lbfgs().most : 0;
  converged_ = !moved || (most > 0 && evaluations_ >= most);
  return true;
}

template bool Trainer<float>::train_batches(const Task&, Passage&, const Poll&);
template bool Trainer<double>::train_batches(const Task&, Passage&, const Poll&);

}  // namespace lamina::engine
