// From gradients to new parameters: penalties, accumulation, clipping, the optimizer's step, averages, constraints.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/kernel_table.hpp"
#include "engine/barrier.hpp"
#include "engine/parameters.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

enum class ConstraintKind { none, not_negative, column_norms, row_norms };

struct Constraint {
  ConstraintKind kind = ConstraintKind::none;
  NormBounds<double> bounds{0, 0, 0};
};

// How training updates one tensor of a layer. l1 Σ|w| + l2 Σ w² is added to the loss; if `per_row`, divided by the rows
// of the batch, or by the sum of their weights (Head::rows_of).
struct TensorUpdateSpec {
  int group = -1;  // index of the optimizer's settings; -1: not trained
  double l1 = 0, l2 = 0;
  bool per_row = false;
  Constraint constraint{};
};

// Blocks of state for a layer's parameters, in their layout, and how each tensor is updated.
template <class T>
struct LayerUpdateSpec {
  std::vector<std::shared_ptr<Parameters<T>>> slots;    // of the optimizer
  std::shared_ptr<Parameters<T>> accumulator, average;  // sums of gradients, averages of parameters
  std::vector<TensorUpdateSpec> tensors;
};

// How a step finds the new parameters: from one gradient by the formula of an optimizer kernel, or by evaluating the
// loss of the batch at several places (engine/lbfgs.hpp).
enum class Method { formula, lbfgs, least_squares };

struct LbfgsSettings {
  std::ptrdiff_t history = 10;  // pairs that are kept: slots 2 i and 2 i + 1 of each layer
  bool searches = true;         // for a place that satisfies the strong Wolfe conditions
  double tolerance = 0;         // ends if no element of the gradient is larger,
  double loss_tolerance = 0;    // after a step that lowers the loss by less than this share of it, or of 1,
  std::int64_t most = 0;        // or after so many evaluations; 0: there is no limit
};

struct DampingSettings {
  double factor = 10;  // of the damping, after a try
  int attempts = 10;   // in a step
};

enum class Clip { none, value, norm, global_norm };

template <class T>
struct UpdateSpec {
  int optimizer = 0;                          // index in the kernel table
  std::vector<std::vector<double>> settings;  // of each group
  Clip clip = Clip::none;                     // of each element, each tensor's norm, or the norm of all tensors
  double limit = 0;
  std::int64_t accumulate = 1;       // batches whose mean gradient is used for one step
  double average_momentum = -1;      // of the running average of parameters; < 0: there is none
  std::int64_t overwrite_every = 0;  // steps after which averages replace parameters; 0: never
  std::vector<LayerUpdateSpec<T>> layers;
  Method method = Method::formula;
  LbfgsSettings lbfgs{};
  DampingSettings damping{};
};

template <class T>
struct TensorRule {
  bool trained;
  const T* scalars;  // from the optimizer kernel's prepare(), for this step
  TensorUpdateSpec spec;
  std::ptrdiff_t place;  // of its gradient in a vector of all gradients, if it is trained
  bool penalized() const { return trained && (spec.l1 != 0 || spec.l2 != 0); }
};

// The update of one layer.
template <class T>
struct LayerUpdate {
  Parameters<T>* parameters = nullptr;
  LayerUpdateSpec<T> beside;
  std::vector<TensorRule<T>> rules;  // of each tensor
  bool trained() const;
};

// Calls part(tensor, begin, count) for each run of one tensor's elements within elements begin … end - 1 of a block.
template <class T, class Part>
void for_each_part(const Parameters<T>& parameters, std::ptrdiff_t begin, std::ptrdiff_t end, Part&& part);

// Where gradients go. If both pointers are null, they are applied at once.
template <class T>
struct Destination {
  T* sums = nullptr;  // memory that they are written to (with `add`: added to), in the blocks' layouts
  bool add = false;
  T* vector = nullptr;  // of complete gradients (Update::vector_size()); they get the penalties' gradients too
};

template <class T>
class Update {
 public:
  // Called on the calling thread when a layer's gradient is complete, from the last layer down; it may change the
  // gradient. After all layers it is called once more, with layer -1 and no gradient.
  using Hook = std::function<void(std::ptrdiff_t layer, T* gradient, std::ptrdiff_t size)>;

  [[gnu::cold]] Update(UpdateSpec<T> spec, const Kernels<T>& kernels, const std::vector<Parameters<T>*>& parameters);

  const LayerUpdate<T>& layer(std::ptrdiff_t l) const { return layers_[static_cast<std::size_t>(l)]; }
  std::ptrdiff_t depth() const { return static_cast<std::ptrdiff_t>(layers_.size()); }
  std::ptrdiff_t gradient_size() const { return gradient_size_; }  // of all trained layers, one after the other
  std::ptrdiff_t offset(std::ptrdiff_t l) const { return offsets_[static_cast<std::size_t>(l)]; }
  Method method() const { return spec_.method; }
  const LbfgsSettings& lbfgs() const { return spec_.lbfgs; }
  const DampingSettings& damping() const { return spec_.damping; }
  // Of the vector of all gradients: those of the trained tensors of all layers, row-major, one after the other.
  std::ptrdiff_t vector_size() const { return vector_size_; }
  // Whether step() only does parameter += scalars[0] gradient.
  bool plain() const { return plain_; }
  // Whether all gradients must be complete before the first of them is used.
  bool stores() const { return clips_by_norm() || spec_.accumulate > 1 || hooked(); }
  bool hooked() const { return hook_ != nullptr; }

  void set_hook(std::shared_ptr<const Hook> hook) { hook_ = std::move(hook); }
  void tell(std::ptrdiff_t l, T* gradients) const;  // calls the hook

  // Whether there are penalties that are divided by the rows of a batch, and their number, to be set before each batch.
  bool divides_penalties() const { return divides_; }
  void set_rows(double rows) { share_ = rows == 0 ? 0 : 1 / rows; }

  // Called before batch `iteration` (from 0): prepares the optimizer's scalars.
  void begin_step(std::int64_t iteration, double rate);

  // Updates elements begin … begin + count - 1 of a layer's block, which belong to one tensor: adds the penalty's
  // gradient to `gradient`, clips it by value, and takes the optimizer's step.
  void step(const LayerUpdate<T>& layer, int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count) const;

  // Writes the gradient of such elements to the vector, after adding the penalty's gradient.
  void write(const LayerUpdate<T>& layer, int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count,
             T* vector) const;
  // Steps for elements mine.begin … mine.end - 1 of all gradients, or writes them to `vector` if it is not null.
  void use(T* gradients, Range mine, T* vector) const;

  // Calls part(l, begin, count) for the trained elements of all layers, in runs of one tensor's, with their padding.
  template <class Part>
  void for_each_trained(Part&& part) const {
    for (const Piece& piece : pieces_) part(static_cast<std::ptrdiff_t>(piece.layer), piece.begin, piece.count);
  }
  // Σ a b over the trained elements, of memory that at(l, begin) returns.
  template <class A, class B>
  double dot(A&& a, B&& b) const {
    double total = 0;
    for (const Piece& piece : pieces_) {
      const auto l = static_cast<std::ptrdiff_t>(piece.layer);
      const T *x = a(l, piece.begin), *y = b(l, piece.begin);
      total += sum_of(piece, [&](std::ptrdiff_t at, std::ptrdiff_t n) { return kernels_.sum(x + at, y + at, n); });
    }
    return total;
  }

  // The members of a team call these together, unless noted otherwise. Each member processes its pieces.
  void measure_penalties(int index, int count);
  double penalty() const;  // the total; called after all members have measured
  void add_penalties(T* gradients, int index, int count) const;
  void write_all(T* gradients, int index, int count, T* vector) const;
  // Updates all parameters from all gradients: adds the penalties' gradients, accumulates, clips and steps.
  void apply(T* gradients, int index, int count, Barrier& barrier);
  // The parts of apply(), for gradients that come from outside. accumulate() returns false if the step needs more
  // batches; measure_norms() and find_factors() prepare clip_all().
  bool accumulate(T* gradients, int index, int count) const;
  void measure_norms(const T* gradients, int index, int count);
  void clip_all(T* gradients, int index, int count) const;
  void step_all(const T* gradients, int index, int count) const;
  // Called after the optimizer's steps: updates averages and applies constraints.
  void finish(int index, int count, Barrier& barrier);

  // Called on one thread after all members have measured. `squares_of_others`: the sum of squares of the gradients of
  // other updates, which a global norm includes.
  void find_factors(double squares_of_others = 0);
  double squares() const;  // the sum of squares of all gradients that were measured

  void mark_changed();

 private:
  // A run of elements of one tensor; the number and order of pieces depend on the shapes alone.
  struct Piece {
    std::int32_t layer, tensor, norm;  // norm: index of the clipped norm
    std::ptrdiff_t begin, count;
  };
  template <class Sum>
  double sum_of(const Piece& piece, Sum&& sum) const;
  bool clips_by_norm() const { return spec_.clip == Clip::norm || spec_.clip == Clip::global_norm; }
  void add_penalty(const LayerUpdate<T>& layer, const TensorRule<T>& rule, T* gradient, std::ptrdiff_t begin,
                   std::ptrdiff_t count) const;
  template <class Body>
  void for_each_piece(int index, int count, Body&& body) const;
  void take_step(const LayerUpdate<T>& layer, int tensor, const T* gradient, std::ptrdiff_t begin,
                 std::ptrdiff_t count) const;
  void clip(const Piece& piece, T* gradient) const;
  void constrain(const LayerUpdate<T>& layer, int tensor, int index, int count) const;

  UpdateSpec<T> spec_;
  const Kernels<T>& kernels_;
  const OptimizerKernel<T>* optimizer_;
  std::vector<LayerUpdate<T>> layers_;
  std::vector<std::ptrdiff_t> offsets_;
  std::vector<std::vector<T>> scalars_;  // of each group
  std::vector<Piece> pieces_;
  std::vector<double> penalties_, squares_;  // of each piece
  std::vector<double> factors_;              // of each clipped norm, in this step
  std::ptrdiff_t gradient_size_ = 0, vector_size_ = 0;
  int norms_ = 0;
  bool plain_ = false, penalized_ = false, divides_ = false, constrained_ = false;
  double share_ = 1;                                          // of the penalties that are divided
  bool applies_ = true, first_ = false, overwrites_ = false;  // what this batch does
  std::shared_ptr<const Hook> hook_;
};

template <class T, class Part>
void for_each_part(const Parameters<T>& parameters, std::ptrdiff_t begin, std::ptrdiff_t end, Part&& part) {
  const auto run = [&](int tensor, std::ptrdiff_t first, std::ptrdiff_t last) {
    const std::ptrdiff_t from = begin > first ? begin : first, to = end < last ? end : last;
    if (from < to) part(tensor, from, to - from);
  };
  const Layout& layout = parameters.layout();
  if (!layout.dense) {
    std::ptrdiff_t first = 0;
    for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
      const std::ptrdiff_t size = layout.tensors[i].rows * layout.tensors[i].cols;
      run(static_cast<int>(i), first, first + size);
      first += size;
    }
    return;
  }
  const std::ptrdiff_t stride = parameters.panel_stride();
  for (std::ptrdiff_t panel = begin / stride; panel * stride < end; ++panel) {
    const std::ptrdiff_t bias = (panel + 1) * stride - kPanelWidth<T>;
    run(0, panel * stride, bias);
    if (layout.has_bias()) run(1, bias, bias + kPanelWidth<T>);
  }
}

// Sums over a piece without its padding, whose zeros a NaN may have overwritten.
template <class T>
template <class Sum>
double Update<T>::sum_of(const Piece& piece, Sum&& sum) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Parameters<T>& parameters = *layers_[static_cast<std::size_t>(piece.layer)].parameters;
  if (!parameters.layout().dense) return sum(std::ptrdiff_t{0}, piece.count);
  const std::ptrdiff_t panel = piece.begin / parameters.panel_stride();
  const std::ptrdiff_t cols = std::min(width, parameters.layout().out() - panel * width);
  if (cols == width) return sum(std::ptrdiff_t{0}, piece.count);
  double total = 0;
  for (std::ptrdiff_t at = 0; at < piece.count; at += width) total += sum(at, cols);
  return total;
}

extern template class Update<float>;
extern template class Update<double>;

}  // namespace lamina::engine
