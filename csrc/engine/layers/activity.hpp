// A penalty on a layer's output: adds l1 Σ|y| + l2 Σ y² over the batch, divided by its number of rows, to the loss.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

template <class T>
class Activity final : public ElementwiseLayer<T> {
 public:
  Activity(double l1, double l2) : l1_(l1), l2_(l2) {}

  bool keeps_lines_together() const override { return true; }
  void forward(Pass<T>& pass, Range rows, Range panels) const override {
    const Panels<T>&from = pass.tape[this->at].value, &to = pass.tape[this->at + 1].value;
    pass.kernels.scale_columns({.x = from, .y = to, .rows = rows, .panels = panels});
    if (pass.penalties == nullptr) return;
    const std::ptrdiff_t factor = from.rows / std::max<std::ptrdiff_t>(1, pass.tape.rows());
    for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i)
      for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel)
        pass.penalties[pass.offset + i / factor] += pass.kernels.penalty(
            from.data + panel * from.panel_stride + i * from.row_stride, l1_, l2_, columns(from, panel));
  }
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override { return this->row_units(tape, this->at); }
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const override {
    if (!this->need_dx) return;
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    const Range rows = this->rows_of(input.value, units), panels = this->panels_of(input.value);
    const T share = T(1) / static_cast<T>(pass.batch);
    pass.kernels.scale_columns({.x = output.gradient, .y = input.gradient, .rows = rows, .panels = panels});
    for (std::ptrdiff_t i = rows.begin; i < rows.end && pass.penalties != nullptr; ++i)
      for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel)
        pass.kernels.add_penalty_gradient(
            input.value.data + panel * input.value.panel_stride + i * input.value.row_stride,
            input.gradient.data + panel * input.gradient.panel_stride + i * input.gradient.row_stride,
            static_cast<T>(l1_) * share, static_cast<T>(l2_) * share, columns(input.value, panel));
    if (below != nullptr) below->finish_gradient(pass, rows, panels);
  }

 private:
  static std::ptrdiff_t columns(const Panels<T>& m, std::ptrdiff_t panel) {
    return std::min(kPanelWidth<T>, m.cols - panel * kPanelWidth<T>);
  }

  double l1_, l2_;
};

}  // namespace lamina::engine
