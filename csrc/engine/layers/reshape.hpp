// Reshapes each row of the batch into lines of another width.
#pragma once

#include "engine/layer.hpp"

namespace lamina::engine {

template <class T>
class Reshape final : public Layer<T> {
 public:
  explicit Reshape(std::ptrdiff_t width) : width_(width) {}

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override;
  void forward(Pass<T>& pass, Range rows, Range panels) const override;
  bool forward_by_rows(std::ptrdiff_t, int) const override { return false; }
  void finish_gradient(Pass<T>&, Range, Range) const override {}
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override;
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const override;
  double work() const override { return 0; }

 private:
  std::ptrdiff_t width_;
};

extern template class Reshape<float>;
extern template class Reshape<double>;

}  // namespace lamina::engine
