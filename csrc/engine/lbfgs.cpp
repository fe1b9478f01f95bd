#include "engine/lbfgs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace lamina::engine {
namespace {

// The strong Wolfe conditions: the loss falls by at least kFall of what the slope promises, and the slope becomes at
// most kFlatter of what it was.
constexpr double kFall = 1e-4, kFlatter = 0.9;
constexpr int kMostEvaluations = 25;
constexpr double kLongest = 10;  // a place that is not far enough away is left for one so many times as far, at most
constexpr double kMargin = 0.1;  // of an interval, at both ends, where no new place lies
// A pair whose Σ s y is smaller than this share of Σ y y is not kept: the estimate would not be positive definite.
constexpr double kFlat = 1e-10;

// Where a cubic polynomial with these values and slopes has its minimum, kept away from the ends of the interval.
double cubic_minimum(double a, double loss_a, double slope_a, double b, double loss_b, double slope_b) {
  const double low = std::min(a, b), high = std::max(a, b), margin = kMargin * (high - low);
  const double first = slope_a + slope_b - 3 * (loss_a - loss_b) / (a - b), square = first * first - slope_a * slope_b;
  double found = (a + b) / 2;
  if (square >= 0) {
    const double root = std::copysign(std::sqrt(square), b - a), divisor = slope_b - slope_a + 2 * root;
    const double place = b - (b - a) * ((slope_b + root - first) / divisor);
    if (std::isfinite(place)) found = place;
  }
  return std::clamp(found, low + margin, high - margin);
}

template <class T>
int adding_kernel(const Kernels<T>& kernels) {
  int index = 0;
  while (std::strcmp(kernels.optimizers[index].info.name, "sgd") != 0) ++index;
  return index;
}

}  // namespace

template <class T>
Lbfgs<T>::Lbfgs(Update<T>& update, const Kernels<T>& kernels)
    : update_(update),
      kernels_(kernels),
      adding_(adding_kernel(kernels)),
      start_(update.gradient_size()),
      gradient_(update.gradient_size()),
      direction_(update.gradient_size()),
      next_(update.gradient_size()) {}

// to += factor from.
template <class T>
template <class To, class From>
void Lbfgs<T>::add(To&& to, double factor, From&& from) const {
  T scalars[kMostSettings] = {static_cast<T>(factor)};
  update_.for_each_trained([&](std::ptrdiff_t l, std::ptrdiff_t begin, std::ptrdiff_t count) {
    kernels_.optimizers[adding_].update(
        {.parameter = to(l, begin), .gradient = from(l, begin), .size = count, .scalars = scalars});
  });
}

template <class T>
double Lbfgs<T>::largest(const Buffer<T>& gradient) const {
  double found = 0;
  update_.for_each_trained([&](std::ptrdiff_t l, std::ptrdiff_t begin, std::ptrdiff_t count) {
    const T* g = gradient.data() + update_.offset(l) + begin;
    for (std::ptrdiff_t i = 0; i < count; ++i) found = std::max(found, std::fabs(static_cast<double>(g[i])));
  });
  return found;
}

// direction = -H gradient; H is the estimate of the inverse Hessian from the pairs, or the unit matrix without any.
template <class T>
void Lbfgs<T>::find_direction(std::int64_t iteration) {
  const std::ptrdiff_t most = update_.lbfgs().history;
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::int64_t>(iteration, most));
  if (products_.empty()) {
    for (std::ptrdiff_t pair = 0; pair < most; ++pair)
      products_.push_back(update_.dot(in_slots(pair, 0), in_slots(pair, 1)));
  }
  const auto number = [&](std::ptrdiff_t age) { return static_cast<std::ptrdiff_t>((iteration - 1 - age) % most); };
  const auto product = [&](std::ptrdiff_t pair) { return products_[static_cast<std::size_t>(pair)]; };
  std::fill_n(direction_.data(), direction_.size(), T(0));
  add(in(direction_), -1, in(gradient_));
  std::vector<double> shares(static_cast<std::size_t>(count));
  double scale = 0;
  for (std::ptrdiff_t age = 0; age < count; ++age) {
    const std::ptrdiff_t pair = number(age);
    if (product(pair) == 0) continue;
    if (scale == 0) scale = product(pair) / update_.dot(in_slots(pair, 1), in_slots(pair, 1));
    double& share = shares[static_cast<std::size_t>(age)];
    share = update_.dot(in_slots(pair, 0), in(direction_)) / product(pair);
    add(in(direction_), -share, in_slots(pair, 1));
  }
  if (scale == 0) return;
  kernels_.scale_and_clip(direction_.data(), static_cast<T>(scale), std::numeric_limits<T>::infinity(),
                          direction_.size());
  for (std::ptrdiff_t age = count - 1; age >= 0; --age) {
    const std::ptrdiff_t pair = number(age);
    if (product(pair) == 0) continue;
    const double back = update_.dot(in_slots(pair, 1), in(direction_)) / product(pair);
    add(in(direction_), shares[static_cast<std::size_t>(age)] - back, in_slots(pair, 0));
  }
}

// Sets the parameters to start + at direction.
template <class T>
void Lbfgs<T>::go_to(double at) {
  const auto parameters = [&](std::ptrdiff_t l, std::ptrdiff_t begin) {
    return update_.layer(l).parameters->data() + begin;
  };
  update_.for_each_trained([&](std::ptrdiff_t l, std::ptrdiff_t begin, std::ptrdiff_t count) {
    std::copy_n(start_.data() + update_.offset(l) + begin, count, parameters(l, begin));
  });
  if (at != 0) add(parameters, at, in(direction_));
  update_.mark_changed();
}

template <class T>
typename Lbfgs<T>::Place Lbfgs<T>::evaluate_at(double at, const Evaluate& evaluate) {
  go_to(at);
  const double loss = evaluate(next_.data());
  return {at, loss, update_.dot(in(next_), in(direction_))};
}

// Looks between two places for one that satisfies the conditions. `low` has the lowest loss so far that fell enough.
template <class T>
bool Lbfgs<T>::refine(const Place& start, Place low, Place high, int left, const Evaluate& evaluate, Place& found) {
  const double noise = 2 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::fabs(start.loss);
  for (; left > 0 && std::fabs(high.at - low.at) > 1e-9 * std::fabs(high.at); --left) {
    const double at = std::isfinite(high.loss) && std::isfinite(high.slope)
                          ? cubic_minimum(low.at, low.loss, low.slope, high.at, high.loss, high.slope)
                          : (low.at + high.at) / 2;
    const Place here = evaluate_at(at, evaluate);
    if (!(here.loss <= start.loss + kFall * at * start.slope + noise) || here.loss > low.loss + noise) {
      high = here;
      continue;
    }
    if (std::fabs(here.slope) <= -kFlatter * start.slope) {
      found = here;
      return true;
    }
    if (here.slope * (high.at - low.at) >= 0) high = low;
    low = here;
  }
  if (low.at == 0 || !(low.loss < start.loss)) return false;
  found = evaluate_at(low.at, evaluate);
  return true;
}

template <class T>
bool Lbfgs<T>::search(Place start, double first, const Evaluate& evaluate, Place& found) {
  if (!update_.lbfgs().searches) {
    found = evaluate_at(first, evaluate);
    return true;
  }
  Place before = start;
  double at = first;
  for (int count = 1; count <= kMostEvaluations; ++count) {
    const Place here = evaluate_at(at, evaluate);
    const bool falls = here.loss <= start.loss + kFall * at * start.slope;
    if (!falls || (count > 1 && here.loss >= before.loss))
      return refine(start, before, here, kMostEvaluations - count, evaluate, found);
    if (std::fabs(here.slope) <= -kFlatter * start.slope) {
      found = here;
      return true;
    }
    if (here.slope >= 0) return refine(start, here, before, kMostEvaluations - count, evaluate, found);
    // Where the parabola or cubic through both has its minimum, which lies farther away.
    const double further = cubic_minimum(before.at, before.loss, before.slope, here.at, here.loss, here.slope);
    at = std::clamp(further, 2 * here.at, kLongest * here.at);
    before = here;
  }
  found = evaluate_at(before.at, evaluate);
  return true;
}

// Empties a pair.
template <class T>
void Lbfgs<T>::clear_pair(std::ptrdiff_t pair) {
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l)
    for (int which = 0; which < 2 && update_.layer(l).trained(); ++which)
      std::fill_n(slot(l, pair, which), update_.layer(l).parameters->size(), T(0));
  if (!products_.empty()) products_[static_cast<std::size_t>(pair)] = 0;
}

// Keeps the changes of parameters and gradient.
template <class T>
void Lbfgs<T>::keep_pair(std::int64_t iteration, double at) {
  const auto pair = static_cast<std::ptrdiff_t>(iteration % update_.lbfgs().history);
  clear_pair(pair);
  add(in_slots(pair, 0), at, in(direction_));
  add(in_slots(pair, 1), 1, in(next_));
  add(in_slots(pair, 1), -1, in(gradient_));
  const double product = update_.dot(in_slots(pair, 0), in_slots(pair, 1));
  if (product > kFlat * update_.dot(in_slots(pair, 1), in_slots(pair, 1)))
    products_[static_cast<std::size_t>(pair)] = product;
  else
    clear_pair(pair);
}

template <class T>
bool Lbfgs<T>::step(std::int64_t iteration, double rate, bool fresh, const Evaluate& evaluate_at_first,
                    const Evaluate& evaluate) {
  flat_ = false;
  if (!fresh) loss_ = evaluate_at_first(gradient_.data());
  update_.for_each_trained([&](std::ptrdiff_t l, std::ptrdiff_t begin, std::ptrdiff_t count) {
    std::copy_n(update_.layer(l).parameters->data() + begin, count, start_.data() + update_.offset(l) + begin);
  });
  // A step without a move has an empty pair: the one that is in its place belongs to an older step.
  const auto stay = [&] {
    clear_pair(static_cast<std::ptrdiff_t>(iteration % update_.lbfgs().history));
    return false;
  };
  if (!(largest(gradient_) > update_.lbfgs().tolerance)) return stay();
  find_direction(iteration);
  bool alone = std::all_of(products_.begin(), products_.end(), [](double product) { return product == 0; });
  try {
    for (;;) {
      Place start{0, loss_, update_.dot(in(gradient_), in(direction_))}, found{};
      // Without pairs the direction has the gradient's length.
      const double first =
          alone ? rate * std::min(1.0, 1 / std::sqrt(update_.dot(in(gradient_), in(gradient_)))) : rate;
      if (start.slope < 0 && search(start, first, evaluate, found)) {
        keep_pair(iteration, found.at);
        std::swap(gradient_, next_);
        flat_ = loss_ - found.loss <
                update_.lbfgs().loss_tolerance * std::max({std::fabs(loss_), std::fabs(found.loss), 1.0});
        flat_ |= !(largest(gradient_) > update_.lbfgs().tolerance);
        loss_ = found.loss;
        return true;
      }
      go_to(0);
      if (alone) break;
      // The pairs do not fit any more: once more along the gradient itself.
      alone = true;
      std::fill_n(direction_.data(), direction_.size(), T(0));
      add(in(direction_), -1, in(gradient_));
    }
  } catch (...) {
    go_to(0);
    throw;
  }
  return stay();
}

template class Lbfgs<float>;
template class Lbfgs<double>;

}  // namespace lamina::engine
