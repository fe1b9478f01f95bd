// Layer normalization and RMS normalization: each row by its own moments.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

template <class T>
class RowNorm final : public ElementwiseLayer<T> {
 public:
  // `gamma`, `beta`: indices of tensors, or -1. Without `centered` a row is only divided by its root mean square.
  RowNorm(std::shared_ptr<Parameters<T>> parameters, int gamma, int beta, bool centered, double epsilon)
      : parameters_(std::move(parameters)),
        gamma_(gamma),
        beta_(beta),
        centered_(centered),
        epsilon_(static_cast<T>(epsilon)) {}

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override {
    ElementwiseLayer<T>::set_boundaries(input, output, trained_below);
    input.row_major = output.row_major = true;
    output.row_notes = 2;
    output.column_notes = gamma_ < 0 ? 0 : 1;
  }
  void forward(Pass<T>& pass, Range rows, Range panels) const override;
  // Units: first blocks of kPanelWidth rows, for dx; then panels, for the gradients of γ and β.
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override {
    const Panels<T>& x = tape[this->at].value;
    return this->row_units(tape, this->at) + (parameters_ == nullptr ? 0 : this->panels_of(x).end);
  }
  // The sink may update γ while other members still compute dx: dx uses the copy of γ that forward saved.
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const override;
  Parameters<T>* parameters() const override { return parameters_.get(); }
  std::ptrdiff_t columns() const override {
    const int number = gamma_ < 0 ? beta_ : gamma_;
    return number < 0 ? 0 : parameters_->layout().tensors[static_cast<std::size_t>(number)].size();
  }

 private:
  const T* tensor(int number) const { return number < 0 ? nullptr : parameters_->tensor(number).data; }

  std::shared_ptr<Parameters<T>> parameters_;
  int gamma_, beta_;
  bool centered_;
  T epsilon_;
};

extern template class RowNorm<float>;
extern template class RowNorm<double>;

}  // namespace lamina::engine
