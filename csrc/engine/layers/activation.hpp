// An activation that is not fused into a dense layer, elementwise or rowwise.
#pragma once

#include "engine/layer.hpp"
#include "engine/layers/activation_part.hpp"

namespace lamina::engine {

template <class T>
class Activation final : public Layer<T> {
 public:
  Activation(int index, double alpha, const Kernels<T>& kernels)
      : part_{index, static_cast<T>(alpha)}, rowwise_(part_.kernel(kernels).info.rowwise) {}

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override;
  void forward(Pass<T>& pass, Range rows, Range panels) const override;
  bool forward_by_rows(std::ptrdiff_t, int) const override { return true; }
  void finish_gradient(Pass<T>&, Range, Range) const override {}
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override;
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const override;
  double work() const override { return work_; }

 private:
  ActivationPart<T> part_;
  bool rowwise_;
  double work_ = 0;
};

extern template class Activation<float>;
extern template class Activation<double>;

}  // namespace lamina::engine
