// The base of layers whose output has the shape of their input.
#pragma once

#include <algorithm>

#include "engine/layer.hpp"

namespace lamina::engine {

template <class T>
class ElementwiseLayer : public Layer<T> {
 public:
  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override {
    output.width = input.width;
    output.factor = input.factor;
    this->need_dx = trained_below;
    work_ = 2 * static_cast<double>(input.width * input.factor);
  }
  bool forward_by_rows(std::ptrdiff_t, int) const override { return true; }
  void finish_gradient(Pass<T>&, Range, Range) const override {}
  double work() const override { return work_; }

 protected:
  // For layers whose unit of backward is kPanelWidth rows.
  static std::ptrdiff_t row_units(const Tape<T>& tape, std::ptrdiff_t at) {
    return panel_count(tape[at].value.rows, kPanelWidth<T>);
  }
  static Range rows_of(const Panels<T>& m, Range units) {
    return {units.begin * kPanelWidth<T>, std::min(m.rows, units.end * kPanelWidth<T>)};
  }
  static Range panels_of(const Panels<T>& m) { return {0, panel_count(m.cols, kPanelWidth<T>)}; }
  static Matrix<const T> constant(const Panels<T>& m) { return {m.data, m.rows, m.cols, m.row_stride}; }
  static Matrix<T> matrix(const Panels<T>& m) { return {m.data, m.rows, m.cols, m.row_stride}; }

 private:
  double work_ = 0;
};

}  // namespace lamina::engine
