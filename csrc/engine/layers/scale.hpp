// y = (x - centre) scale + shift with constants for each column.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

template <class T>
class Scale final : public ElementwiseLayer<T> {
 public:
  // One value of each for every column.
  Scale(std::vector<T> centre, std::vector<T> scale, std::vector<T> shift)
      : centre_(std::move(centre)), scale_(std::move(scale)), shift_(std::move(shift)) {}

  void forward(Pass<T>& pass, Range rows, Range panels) const override {
    pass.kernels.scale_columns({.x = pass.tape[this->at].value,
                                .y = pass.tape[this->at + 1].value,
                                .centre = centre_.data(),
                                .scale = scale_.data(),
                                .shift = shift_.data(),
                                .rows = rows,
                                .panels = panels});
  }
  std::ptrdiff_t columns() const override { return static_cast<std::ptrdiff_t>(scale_.size()); }
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override { return this->row_units(tape, this->at); }
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const override {
    if (!this->need_dx) return;
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    const Range rows = this->rows_of(input.value, units), panels = this->panels_of(input.value);
    pass.kernels.scale_columns(
        {.x = output.gradient, .y = input.gradient, .scale = scale_.data(), .rows = rows, .panels = panels});
    if (below != nullptr) below->finish_gradient(pass, rows, panels);
  }

 private:
  std::vector<T> centre_, scale_, shift_;
};

}  // namespace lamina::engine
