// Pools the lines of each row of the batch to one.
#pragma once

#include <numeric>

#include "engine/layer.hpp"

namespace lamina::engine {

template <class T>
class Pool final : public Layer<T> {
 public:
  // `masked`: lines whose index in the network's input is 0 are left out of the mean.
  Pool(PoolKind kind, bool masked) : kind_(kind), masked_(masked) {}

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override {
    output.width = input.width;
    output.factor = 1;
    lines_ = input.factor;
    work_ = static_cast<double>(input.width * input.factor);
    this->need_dx = trained_below;
  }
  void forward(Pass<T>& pass, Range rows, Range panels) const override {
    pass.kernels.pool_lines(arguments(pass, rows, panels));
  }
  bool forward_by_rows(std::ptrdiff_t, int) const override { return true; }
  void finish_gradient(Pass<T>&, Range, Range) const override {}
  // A unit is as many rows as have lines that begin at a multiple of half a panel's width.
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override { return panel_count(tape.rows(), unit()); }
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const override {
    if (!this->need_dx) return;
    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];
    const Range rows{units.begin * unit(), std::min(pass.tape.rows(), units.end * unit())},
        panels{0, panel_count(input.value.cols, kPanelWidth<T>)};
    pass.kernels.pool_lines_backward(arguments(pass, rows, panels), output.gradient, input.gradient);
    if (below != nullptr) below->finish_gradient(pass, {rows.begin * lines_, rows.end * lines_}, panels);
  }
  bool reads_indices() const override { return masked_; }
  double work() const override { return work_; }

 private:
  std::ptrdiff_t unit() const {
    constexpr std::ptrdiff_t half = kPanelWidth<T> / 2;
    return half / std::gcd(half, lines_);
  }
  LinePool<T> arguments(const Pass<T>& pass, Range rows, Range panels) const {
    return {.kind = kind_,
            .x = pass.tape[this->at].value,
            .y = pass.tape[this->at + 1].value,
            .lines = lines_,
            .keys = masked_ ? pass.tape[0].entries.columns : nullptr,
            .rows = rows,
            .panels = panels};
  }

  PoolKind kind_;
  bool masked_;
  std::ptrdiff_t lines_ = 1;
  double work_ = 0;
};

}  // namespace lamina::engine
