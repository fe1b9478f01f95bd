// Dropout and Gaussian noise in training; the identity otherwise.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

template <class T>
class NoiseLayer final : public ElementwiseLayer<T> {
 public:
  // `always`: in predictions too; `lines_alike`: the lines of a row of the batch get the same noise.
  NoiseLayer(NoiseKind kind, double rate, std::uint64_t key, bool always, bool lines_alike)
      : kind_(kind), rate_(rate), key_(key), always_(always), lines_alike_(lines_alike) {}

  bool always_random() const override { return always_; }
  bool repeats() const override { return false; }

  void forward(Pass<T>& pass, Range rows, Range panels) const override {
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    apply(pass, input.value, output.value, rows, panels, false);
  }
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override { return this->row_units(tape, this->at); }
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const override {
    if (!this->need_dx) return;
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    const Range rows = this->rows_of(input.value, units), panels = this->panels_of(input.value);
    apply(pass, output.gradient, input.gradient, rows, panels, true);
    if (below != nullptr) below->finish_gradient(pass, rows, panels);
  }

 private:
  void apply(const Pass<T>& pass, const Panels<T>& from, const Panels<T>& to, Range rows, Range panels,
             bool backward) const {
    if (!pass.random && !always_)
      return pass.kernels.scale_columns({.x = from, .y = to, .rows = rows, .panels = panels});
    const std::ptrdiff_t factor = from.rows / std::max<std::ptrdiff_t>(1, pass.tape.rows());
    pass.kernels.noise({.kind = kind_,
                        .stream = {key_, pass.draw},
                        .rate = rate_,
                        .backward = backward,
                        .x = from,
                        .y = to,
                        .first_row = pass.offset * factor,
                        .alike = lines_alike_ ? factor : 1,
                        .rows = rows,
                        .panels = panels});
  }

  NoiseKind kind_;
  double rate_;
  std::uint64_t key_;
  bool always_, lines_alike_;
};

}  // namespace lamina::engine
