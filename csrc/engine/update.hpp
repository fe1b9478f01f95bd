// From gradients to new parameters: penalties, accumulation, clipping, the optimizer's step, averages, constraints.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/kernel_table.hpp"
#include "engine/barrier.hpp"
#include "engine/parameters.hpp"

namespace lamina::engine {

enum class ConstraintKind { none, not_negative, column_norms, row_norms };

struct Constraint {
  ConstraintKind kind = ConstraintKind::none;
  NormBounds<double> bounds{0, 0, 0};
};

// How training treats one tensor of a layer. The loss contains l1 Σ|w| + l2 Σ w².
struct TensorUpdateSpec {
  int group = -1;  // of the optimizer's settings; -1: left alone
  double l1 = 0, l2 = 0;
  Constraint constraint{};
};

// Beside a layer's parameters, in their layout.
template <class T>
struct LayerUpdateSpec {
  std::vector<std::shared_ptr<Parameters<T>>> slots;    // of the optimizer
  std::shared_ptr<Parameters<T>> accumulator, average;  // where gradients are accumulated, parameters averaged
  std::vector<TensorUpdateSpec> tensors;
};

enum class Clip { none, value, norm, global_norm };

template <class T>
struct UpdateSpec {
  int optimizer = 0;                          // in the kernel table
  std::vector<std::vector<double>> settings;  // of each group
  Clip clip = Clip::none;                     // each element, each tensor's norm, or that of all tensors together
  double limit = 0;
  std::int64_t accumulate = 1;       // a step for the mean gradient of so many batches
  double average = -1;               // momentum of the running average of parameters; < 0: there is none
  std::int64_t overwrite_every = 0;  // steps after which averages replace parameters; 0: never
  std::vector<LayerUpdateSpec<T>> layers;
};

template <class T>
struct TensorRule {
  bool trained;
  const T* scalars;  // of the optimizer's kernel, for this step
  TensorUpdateSpec spec;
  bool penalized() const { return trained && (spec.l1 != 0 || spec.l2 != 0); }
};

// One layer's share of a step.
template <class T>
struct LayerUpdate {
  Parameters<T>* parameters = nullptr;
  LayerUpdateSpec<T> beside;
  std::vector<TensorRule<T>> rules;  // of each tensor
  bool trained() const;
};

// Steps elements begin … begin + count - 1 of a block, which belong to one tensor.
template <class T>
void step_elements(const OptimizerKernel<T>& optimizer, const LayerUpdate<T>& layer, int tensor, const T* gradient,
                   std::ptrdiff_t begin, std::ptrdiff_t count);

// Calls part(tensor, begin, count) for the runs of tensors that elements begin … end - 1 of a block consist of.
template <class T, class Part>
void for_each_part(const Parameters<T>& parameters, std::ptrdiff_t begin, std::ptrdiff_t end, Part&& part);

template <class T>
class Update {
 public:
  // Told when a layer's gradient is complete, on the calling thread, from the last layer down; it may change it. After
  // all of them it is called once more, with layer -1 and no gradient.
  using Hook = std::function<void(std::ptrdiff_t layer, T* gradient, std::ptrdiff_t size)>;

  Update(UpdateSpec<T> spec, const Kernels<T>& kernels, const std::vector<Parameters<T>*>& parameters);

  const LayerUpdate<T>& layer(std::ptrdiff_t l) const { return layers_[static_cast<std::size_t>(l)]; }
  std::ptrdiff_t depth() const { return static_cast<std::ptrdiff_t>(layers_.size()); }
  const OptimizerKernel<T>& optimizer() const { return *optimizer_; }
  std::ptrdiff_t gradient_size() const { return gradient_size_; }  // of all trained layers, one after the other
  std::ptrdiff_t offset(std::ptrdiff_t l) const { return offsets_[static_cast<std::size_t>(l)]; }
  // Whether a step is parameter += rate gradient and nothing else.
  bool plain() const { return plain_; }
  // Whether gradients must be complete before the first of them may be used.
  bool stores() const { return clips_by_norm() || spec_.accumulate > 1 || hooked(); }
  bool hooked() const { return hook_ != nullptr; }

  void set_hook(Hook hook) { hook_ = std::move(hook); }
  void tell(std::ptrdiff_t l, T* gradients) const;  // calls the hook

  // Before batch number `iteration`, counting from 0.
  void begin_step(std::int64_t iteration, double rate);

  // Steps elements begin … begin + count - 1 of a layer's block, which belong to one tensor, given their gradient, to
  // which the penalty's is added.
  void step(const LayerUpdate<T>& layer, int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count) const;

  // The members of a team call these together, where nothing says otherwise. Each looks after its pieces.
  void measure_penalties(int index, int count);
  double penalty() const;  // of all, once everybody has measured
  void add_penalties(T* gradients, int index, int count) const;
  // Given all gradients, without penalties: adds those, accumulates, clips and steps.
  void apply(T* gradients, int index, int count, Barrier& barrier);
  // Accumulates and clips gradients; false where a step needs more batches.
  bool accumulate_and_clip(T* gradients, int index, int count, Barrier& barrier);
  // Steps with gradients that are accumulated and clipped.
  void step_all(const T* gradients, int index, int count) const;
  // After the optimizer's steps: averages and constraints.
  void finish(int index, int count, Barrier& barrier);

  void mark_changed();

 private:
  // A run of elements of one tensor; their number and order depend on the shapes alone.
  struct Piece {
    std::int32_t layer, tensor, norm;  // norm: which of the clipped norms
    std::ptrdiff_t begin, count;
  };
  template <class Sum>
  double sum_of(const Piece& piece, Sum&& sum) const;
  bool clips_by_norm() const { return spec_.clip == Clip::norm || spec_.clip == Clip::global_norm; }
  void add_penalty(const LayerUpdate<T>& layer, const TensorRule<T>& rule, T* gradient, std::ptrdiff_t begin,
                   std::ptrdiff_t count) const;
  template <class Body>
  void for_each_piece(int index, int count, Body&& body) const;
  bool accumulate(T* gradients, int index, int count) const;
  void measure_norms(const T* gradients, int index, int count, Barrier& barrier);
  void find_factors();
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
  std::ptrdiff_t gradient_size_ = 0;
  int norms_ = 0;
  bool plain_ = false, penalized_ = false, constrained_ = false;
  bool applies_ = true, first_ = false, overwrites_ = false;  // what this batch does
  Hook hook_;
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

extern template class Update<float>;
extern template class Update<double>;

}  // namespace lamina::engine
