// L-BFGS: steps along an estimate of Newton's direction, from the changes of the last gradients.
//
// Nocedal & Wright, Numerical Optimization (2006), algorithms 7.4 (the direction), 3.5 and 3.6 (the search for a place
// that satisfies the strong Wolfe conditions).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/update.hpp"

namespace lamina::engine {

template <class T>
class Lbfgs {
 public:
  // Computes the loss at the present parameters, and its gradient in the blocks' layouts.
  using Evaluate = std::function<double(T* gradient)>;

  Lbfgs(Update<T>& update, const Kernels<T>& kernels);

  // Takes a step; `iteration` counts those before it. `fresh`: the loss and gradient at the present parameters are
  // those of the end of the last step. evaluate_at_first() evaluates them if they are not, evaluate() at all other
  // places. If one of them throws, the parameters are as before. Returns false if there is no lower loss in sight, or
  // if the gradient is below the tolerance: then nothing has changed.
  bool step(std::int64_t iteration, double rate, bool fresh, const Evaluate& evaluate_at_first,
            const Evaluate& evaluate);

  // Whether the last step lowered the loss by less than its tolerance, or ended where the gradient is below it.
  bool flat() const { return flat_; }

  // The slots' contents come from elsewhere: what is known about them is forgotten.
  void forget() { products_.clear(); }

 private:
  // A place on the line.
  struct Place {
    double at, loss, slope;
  };
  T* slot(std::ptrdiff_t l, std::ptrdiff_t pair, int which) const {
    return update_.layer(l).beside.slots[static_cast<std::size_t>(2 * pair + which)]->data();
  }
  auto in(const Buffer<T>& memory) const {
    return [this, data = memory.data()](std::ptrdiff_t l, std::ptrdiff_t begin) {
      return data + update_.offset(l) + begin;
    };
  }
  auto in_slots(std::ptrdiff_t pair, int which) const {
    return [this, pair, which](std::ptrdiff_t l, std::ptrdiff_t begin) { return slot(l, pair, which) + begin; };
  }
  template <class To, class From>
  void add(To&& to, double factor, From&& from) const;
  double largest(const Buffer<T>& gradient) const;
  void find_direction(std::int64_t iteration);
  void go_to(double at);
  Place evaluate_at(double at, const Evaluate& evaluate);
  bool search(Place start, double first, const Evaluate& evaluate, Place& found);
  bool refine(const Place& start, Place low, Place high, int left, const Evaluate& evaluate, Place& found);
  void clear_pair(std::ptrdiff_t pair);
  void keep_pair(std::int64_t iteration, double at);

  Update<T>& update_;
  const Kernels<T>& kernels_;
  int adding_;  // the optimizer kernel that adds a scaled gradient
  Buffer<T> start_, gradient_, direction_, next_;
  double loss_ = 0;
  bool flat_ = false;
  std::vector<double> products_;  // Σ s y of each pair; 0: it is empty
};

extern template class Lbfgs<float>;
extern template class Lbfgs<double>;

}  // namespace lamina::engine
