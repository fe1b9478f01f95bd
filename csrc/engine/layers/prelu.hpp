// ReLU with a trained slope below zero, one for each column.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

template <class T>
class Prelu final : public ElementwiseLayer<T> {
 public:
  explicit Prelu(std::shared_ptr<Parameters<T>> parameters) : parameters_(std::move(parameters)) {}

  void forward(Pass<T>& pass, Range rows, Range panels) const override {
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    pass.kernels.prelu(
        {.x = input.value, .y = output.value, .scale = parameters_->data(), .rows = rows, .panels = panels}, nullptr);
  }
  // A unit is a panel, since the gradient of a slope is a sum over all rows.
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override {
    return this->panels_of(tape[this->at].value).end;
  }
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const override {
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    // dx comes first: it reads the slopes, which the sink may update.
    if (this->need_dx) {
      const Panels<const T> dy = output.gradient;
      const Range rows{0, input.value.rows};
      pass.kernels.prelu(
          {.x = input.value, .y = input.gradient, .scale = parameters_->data(), .rows = rows, .panels = units}, &dy);
      if (below != nullptr) below->finish_gradient(pass, rows, units);
    }
    for (std::ptrdiff_t panel = units.begin; sink != nullptr && panel < units.end; ++panel) {
      BlockSums<T> memory({pass.tape.rows(), input.value.rows}, kPanelWidth<T>, pass.kernels.add);
      T* sums = memory.sum([&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
        std::fill(out, out + kPanelWidth<T>, T(0));
        pass.kernels.prelu_sums({.x = input.value, .dy = output.gradient, .rows = {begin, end}, .panel = panel}, out);
      });
      sink->column_sums(0, panel, input.value.cols, sums);
    }
  }
  Parameters<T>* parameters() const override { return parameters_.get(); }
  std::ptrdiff_t columns() const override { return parameters_->layout().tensors[0].size(); }

 private:
  std::shared_ptr<Parameters<T>> parameters_;
};

}  // namespace lamina::engine
