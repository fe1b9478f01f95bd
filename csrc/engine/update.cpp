#include "engine/update.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/tape.hpp"

namespace lamina::engine {
namespace {

// The largest number of elements of a piece.
constexpr std::ptrdiff_t kPiece = 8192;

template <class T>
constexpr T kUnlimited = std::numeric_limits<T>::infinity();

}  // namespace

template <class T>
bool LayerUpdate<T>::trained() const {
  return std::any_of(rules.begin(), rules.end(), [](const TensorRule<T>& rule) { return rule.trained; });
}

template <class T>
Update<T>::Update(UpdateSpec<T> spec, const Kernels<T>& kernels, const std::vector<Parameters<T>*>& parameters)
    : spec_(std::move(spec)),
      kernels_(kernels),
      optimizer_(&kernels.optimizers[spec_.optimizer]),
      layers_(parameters.size()),
      scalars_(spec_.settings.size(), std::vector<T>(kMostSettings)) {
  for (std::size_t l = 0; l < parameters.size(); ++l) {
    offsets_.push_back(gradient_size_);
    if (parameters[l] == nullptr) continue;
    LayerUpdate<T>& layer = layers_[l];
    layer.parameters = parameters[l];
    layer.beside = std::move(spec_.layers[l]);
    for (const TensorUpdateSpec& tensor : layer.beside.tensors) {
      const bool trained = tensor.group >= 0;
      layer.rules.push_back(
          {trained, trained ? scalars_[static_cast<std::size_t>(tensor.group)].data() : nullptr, tensor, vector_size_});
      if (trained) vector_size_ += layer.parameters->layout().tensors[layer.rules.size() - 1].size();
      penalized_ |= layer.rules.back().penalized();
      divides_ |= layer.rules.back().penalized() && layer.rules.back().spec.per_row;
      constrained_ |= trained && tensor.constraint.kind != ConstraintKind::none;
    }
    if (!layer.trained()) continue;
    gradient_size_ += layer.parameters->size();
    for_each_part(
        *layer.parameters, 0, layer.parameters->size(), [&](int tensor, std::ptrdiff_t begin, std::ptrdiff_t count) {
          if (!layer.rules[static_cast<std::size_t>(tensor)].trained) return;
          const int norm = spec_.clip == Clip::norm ? norms_ + tensor : 0;
          for (std::ptrdiff_t at = 0; at < count; at += kPiece)
            pieces_.push_back({static_cast<std::int32_t>(l), tensor, norm, begin + at, std::min(kPiece, count - at)});
        });
    norms_ += static_cast<int>(layer.rules.size());
  }
  penalties_.resize(penalized_ ? pieces_.size() : 0);
  squares_.resize(clips_by_norm() ? pieces_.size() : 0);
  factors_.resize(clips_by_norm() ? static_cast<std::size_t>(norms_) + 1 : 0);
  plain_ = !penalized_ && spec_.clip == Clip::none &&
           std::all_of(spec_.settings.begin(), spec_.settings.end(),
                       [&](const auto& group) { return optimizer_->adds_scaled_gradient(group.data()); });
}

// Takes the optimizer's step for elements begin … begin + count - 1 of a block, which belong to one tensor.
template <class T>
void Update<T>::take_step(const LayerUpdate<T>& layer, int tensor, const T* gradient, std::ptrdiff_t begin,
                          std::ptrdiff_t count) const {
  OptimizerStep<T> update{.parameter = layer.parameters->data() + begin,
                          .gradient = gradient,
                          .size = count,
                          .scalars = layer.rules[static_cast<std::size_t>(tensor)].scalars};
  for (std::size_t i = 0; i < layer.beside.slots.size(); ++i)
    update.slot[i] = layer.beside.slots[i] == nullptr ? nullptr : layer.beside.slots[i]->data() + begin;
  optimizer_->update(update);
}

template <class T>
template <class Body>
void Update<T>::for_each_piece(int index, int count, Body&& body) const {
  const Range mine = share_of(static_cast<std::ptrdiff_t>(pieces_.size()), 1, index, count);
  for (std::ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    const Piece& piece = pieces_[static_cast<std::size_t>(i)];
    const LayerUpdate<T>& layer = layers_[static_cast<std::size_t>(piece.layer)];
    body(static_cast<std::size_t>(i), piece, layer, layer.rules[static_cast<std::size_t>(piece.tensor)]);
  }
}

template <class T>
void Update<T>::tell(std::ptrdiff_t l, T* gradients) const {
  if (hook_ == nullptr) return;
  if (l < 0) return (*hook_)(-1, nullptr, 0);
  if (layer(l).trained()) (*hook_)(l, gradients + offset(l), layer(l).parameters->size());
}

template <class T>
void Update<T>::begin_step(std::int64_t iteration, double rate) {
  applies_ = (iteration + 1) % spec_.accumulate == 0;
  const std::int64_t steps = iteration / spec_.accumulate;  // completed steps
  first_ = steps == 0;
  overwrites_ = spec_.overwrite_every > 0 && (steps + 1) % spec_.overwrite_every == 0;
  for (std::size_t g = 0; g < spec_.settings.size(); ++g)
    optimizer_->prepare(spec_.settings[g].data(), rate, steps + 1, scalars_[g].data());
}

template <class T>
void Update<T>::measure_penalties(int index, int count) {
  if (!penalized_) return;
  for_each_piece(index, count, [&](std::size_t i, const Piece& piece, const LayerUpdate<T>& layer, const auto& rule) {
    if (!rule.penalized()) return;
    const T* w = layer.parameters->data() + piece.begin;
    penalties_[i] = sum_of(piece, [&](std::ptrdiff_t at, std::ptrdiff_t n) {
      return kernels_.penalty(w + at, rule.spec.l1, rule.spec.l2, n);
    });
  });
}

template <class T>
double Update<T>::penalty() const {
  double sum = 0;
  for (std::size_t i = 0; i < penalties_.size(); ++i) {
    const Piece& piece = pieces_[i];
    const bool divided = layer(piece.layer).rules[static_cast<std::size_t>(piece.tensor)].spec.per_row;
    sum += divided ? penalties_[i] * share_ : penalties_[i];
  }
  return sum;
}

template <class T>
void Update<T>::add_penalty(const LayerUpdate<T>& layer, const TensorRule<T>& rule, T* gradient, std::ptrdiff_t begin,
                            std::ptrdiff_t count) const {
  if (!rule.penalized()) return;
  const double share = rule.spec.per_row ? share_ : 1;
  kernels_.add_penalty_gradient(layer.parameters->data() + begin, gradient, static_cast<T>(rule.spec.l1 * share),
                                static_cast<T>(rule.spec.l2 * share), count);
}

template <class T>
void Update<T>::step(const LayerUpdate<T>& layer, int tensor, T* gradient, std::ptrdiff_t begin,
                     std::ptrdiff_t count) const {
  add_penalty(layer, layer.rules[static_cast<std::size_t>(tensor)], gradient, begin, count);
  if (spec_.clip == Clip::value) kernels_.scale_and_clip(gradient, T(1), static_cast<T>(spec_.limit), count);
  take_step(layer, tensor, gradient, begin, count);
}

template <class T>
void Update<T>::write(const LayerUpdate<T>& layer, int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count,
                      T* vector) const {
  const TensorRule<T>& rule = layer.rules[static_cast<std::size_t>(tensor)];
  add_penalty(layer, rule, gradient, begin, count);
  unpack_part(layer.parameters->layout(), tensor, gradient, {begin, begin + count}, vector + rule.place);
}

template <class T>
void Update<T>::use(T* gradients, Range mine, T* vector) const {
  for (std::ptrdiff_t l = 0; l < depth(); ++l) {
    if (!layer(l).trained()) continue;
    const std::ptrdiff_t begin = std::max(mine.begin - offset(l), std::ptrdiff_t{0});
    const std::ptrdiff_t end = std::min(mine.end - offset(l), layer(l).parameters->size());
    if (begin >= end) continue;
    for_each_part(*layer(l).parameters, begin, end, [&](int tensor, std::ptrdiff_t first, std::ptrdiff_t count) {
      T* gradient = gradients + offset(l) + first;
      if (!layer(l).rules[static_cast<std::size_t>(tensor)].trained) return;
      if (vector == nullptr)
        step(layer(l), tensor, gradient, first, count);
      else
        write(layer(l), tensor, gradient, first, count, vector);
    });
  }
}

template <class T>
void Update<T>::write_all(T* gradients, int index, int count, T* vector) const {
  for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>& layer, const auto&) {
    write(layer, piece.tensor, gradients + offset(piece.layer) + piece.begin, piece.begin, piece.count, vector);
  });
}

template <class T>
void Update<T>::add_penalties(T* gradients, int index, int count) const {
  if (!penalized_) return;
  for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>& layer, const auto& rule) {
    add_penalty(layer, rule, gradients + offset(piece.layer) + piece.begin, piece.begin, piece.count);
  });
}

// Computes the factor by which each clipped norm scales its gradients, from the pieces' sums of squares.
template <class T>
void Update<T>::find_factors(double squares_of_others) {
  if (!clips_by_norm()) return;
  std::fill(factors_.begin(), factors_.end(), spec_.clip == Clip::global_norm ? squares_of_others : 0.0);
  for (std::size_t i = 0; i < pieces_.size(); ++i) factors_[static_cast<std::size_t>(pieces_[i].norm)] += squares_[i];
  for (double& factor : factors_) {
    const double norm = std::sqrt(factor);
    factor = norm > spec_.limit ? spec_.limit / norm : (norm <= spec_.limit ? 1 : norm);  // NaN stays NaN
    if (spec_.clip == Clip::global_norm && std::isinf(norm)) factor = std::numeric_limits<double>::quiet_NaN();
  }
}

template <class T>
double Update<T>::squares() const {
  double sum = 0;
  for (const double square : squares_) sum += square;
  return sum;
}

// Adds the gradients to those of earlier batches. If this batch completes a step, they become the mean of all.
template <class T>
bool Update<T>::accumulate(T* gradients, int index, int count) const {
  if (spec_.accumulate <= 1) return true;
  for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>& layer, const auto&) {
    T *sum = layer.beside.accumulator->data() + piece.begin, *gradient = gradients + offset(piece.layer) + piece.begin;
    if (!applies_) return kernels_.add(gradient, sum, piece.count);
    kernels_.add(sum, gradient, piece.count);
    kernels_.scale_and_clip(gradient, T(1) / static_cast<T>(spec_.accumulate), kUnlimited<T>, piece.count);
    std::fill(sum, sum + piece.count, T(0));
  });
  return applies_;
}

template <class T>
void Update<T>::measure_norms(const T* gradients, int index, int count) {
  if (!clips_by_norm()) return;
  for_each_piece(index, count, [&](std::size_t i, const Piece& piece, const LayerUpdate<T>&, const auto&) {
    const T* gradient = gradients + offset(piece.layer) + piece.begin;
    squares_[i] = sum_of(
        piece, [&](std::ptrdiff_t at, std::ptrdiff_t n) { return kernels_.sum(gradient + at, gradient + at, n); });
  });
}

template <class T>
void Update<T>::clip(const Piece& piece, T* gradient) const {
  if (spec_.clip == Clip::value) kernels_.scale_and_clip(gradient, T(1), static_cast<T>(spec_.limit), piece.count);
  if (clips_by_norm())
    kernels_.scale_and_clip(gradient, static_cast<T>(factors_[static_cast<std::size_t>(piece.norm)]), kUnlimited<T>,
                            piece.count);
}

template <class T>
void Update<T>::apply(T* gradients, int index, int count, Barrier& barrier) {
  add_penalties(gradients, index, count);
  if (!accumulate(gradients, index, count)) return;
  if (clips_by_norm()) {
    measure_norms(gradients, index, count);
    barrier.wait();
    if (index == 0) find_factors();
    barrier.wait();
  }
  // clip_all() and step_all() in one pass over the gradients.
  for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>& layer, const auto&) {
    T* gradient = gradients + offset(piece.layer) + piece.begin;
    clip(piece, gradient);
    take_step(layer, piece.tensor, gradient, piece.begin, piece.count);
  });
}

template <class T>
void Update<T>::clip_all(T* gradients, int index, int count) const {
  for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>&, const auto&) {
    clip(piece, gradients + offset(piece.layer) + piece.begin);
  });
}

template <class T>
void Update<T>::step_all(const T* gradients, int index, int count) const {
  for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>& layer, const auto&) {
    take_step(layer, piece.tensor, gradients + offset(piece.layer) + piece.begin, piece.begin, piece.count);
  });
}

template <class T>
void Update<T>::constrain(const LayerUpdate<T>& layer, int tensor, int index, int count) const {
  const Constraint& constraint = layer.rules[static_cast<std::size_t>(tensor)].spec.constraint;
  const NormBounds<T> bounds{static_cast<T>(constraint.bounds.least), static_cast<T>(constraint.bounds.most),
                             static_cast<T>(constraint.bounds.rate)};
  const Panels<T> w = layer.parameters->tensor(tensor);
  if (constraint.kind == ConstraintKind::row_norms) {
    const Range rows = share_of(w.rows, 1, index, count);
    return kernels_.bound_row_norms(w, rows, bounds);
  }
  const Range panels = share_of(panel_count(w.cols, kPanelWidth<T>), 1, index, count);
  if (constraint.kind == ConstraintKind::column_norms) return kernels_.bound_column_norms(w, panels, bounds);
  if (panels.begin < panels.end) kernels_.bound_below_by_zero(w, panels);
}

template <class T>
void Update<T>::finish(int index, int count, Barrier& barrier) {
  if (spec_.average_momentum >= 0) {
    barrier.wait();
    const double momentum = first_ ? 0 : spec_.average_momentum;
    for_each_piece(index, count, [&](std::size_t, const Piece& piece, const LayerUpdate<T>& layer, const auto&) {
      T *w = layer.parameters->data() + piece.begin, *mean = layer.beside.average->data() + piece.begin;
      kernels_.running_average(w, mean, momentum, piece.count);
      if (overwrites_) std::copy(mean, mean + piece.count, w);
    });
  }
  if (!constrained_) return;
  barrier.wait();
  for (const LayerUpdate<T>& layer : layers_)
    for (std::size_t i = 0; i < layer.rules.size(); ++i)
      if (layer.rules[i].trained && layer.rules[i].spec.constraint.kind != ConstraintKind::none)
        constrain(layer, static_cast<int>(i), index, count);
}

template <class T>
void Update<T>::mark_changed() {
  for (const LayerUpdate<T>& layer : layers_) {
    if (layer.parameters == nullptr) continue;
    layer.parameters->changed();
    for (const auto& slot : layer.beside.slots)
      if (slot != nullptr) slot->changed();
    for (const auto& block : {layer.beside.accumulator, layer.beside.average})
      if (block != nullptr) block->changed();
  }
}

template struct LayerUpdate<float>;
template struct LayerUpdate<double>;
template class Update<float>;
template class Update<double>;

}  // namespace lamina::engine
