// ReLU with a threshold, a largest value, and a slope below the threshold.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

template <class T>
class ClippedReluLayer final : public ElementwiseLayer<T> {
 public:
  ClippedReluLayer(double slope, double most, double threshold)
      : slope_(static_cast<T>(slope)), most_(static_cast<T>(most)), threshold_(static_cast<T>(threshold)) {}

  void forward(Pass<T>& pass, Range rows, Range panels) const override {
    pass.kernels.clipped_relu({.x = pass.tape[this->at].value,
                               .y = pass.tape[this->at + 1].value,
                               .slope = slope_,
                               .most = most_,
                               .threshold = threshold_,
                               .rows = rows,
                               .panels = panels});
  }
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override { return this->row_units(tape, this->at); }
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const override {
    if (!this->need_dx) return;
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    const Range rows = this->rows_of(input.value, units), panels = this->panels_of(input.value);
    pass.kernels.clipped_relu({.x = input.value,
                               .dy = output.gradient,
                               .y = input.gradient,
                               .slope = slope_,
                               .most = most_,
                               .threshold = threshold_,
                               .rows = rows,
                               .panels = panels});
    if (below != nullptr) below->finish_gradient(pass, rows, panels);
  }

 private:
  T slope_, most_, threshold_;
};

}  // namespace lamina::engine
