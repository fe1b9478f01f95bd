// A dense layer with its fused activation. The first layer of a network may read sparse rows, or be an embedding table
// that reads row indices.
#pragma once

#include "engine/input.hpp"
#include "engine/layer.hpp"
#include "engine/layers/activation_part.hpp"

namespace lamina::engine {

template <class T>
class Dense final : public Layer<T> {
 public:
  Dense(std::shared_ptr<Parameters<T>> parameters, int activation, double alpha, const Kernels<T>& kernels,
        InputKind input = InputKind::dense);

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override;
  void forward(Pass<T>& pass, Range rows, Range panels) const override;
  bool forward_by_rows(std::ptrdiff_t rows, int threads) const override;
  void finish_gradient(Pass<T>& pass, Range rows, Range panels) const override;
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override;
  std::ptrdiff_t units_together(const Tape<T>& tape) const override;
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const override;
  bool separable() const override { return !gives_entries(input_); }
  void propagate(Pass<T>& pass, Range rows, const Layer<T>* below) const override;
  std::ptrdiff_t gradient_units() const override { return panel_count(parameters_->layout().in(), kPanelWidth<T>); }
  double gradient_work() const override;
  void gradient(Pass<T>& pass, Range units, const GradientSink<T>& sink) const override;
  bool narrow(bool training) const override;
  void forward_narrow(const NarrowPass<T>& pass) const override;
  void finish_narrow_output(const Kernels<T>& kernels, const Panels<T>& output) const override;
  void finish_narrow_gradient(const NarrowPass<T>& pass) const override;
  void backward_narrow(const NarrowPass<T>& pass, const Layer<T>* below, T* sums, bool add) const override;
  Parameters<T>* parameters() const override { return parameters_.get(); }
  std::size_t scratch_bytes(std::ptrdiff_t rows) const override;
  double work() const override;
  std::ptrdiff_t columns() const override { return parameters_->layout().in(); }

 private:
  void product(Pass<T>& pass, const Panels<T>& z, Range rows, Range panels) const;
  std::ptrdiff_t segments_together(std::ptrdiff_t lines) const;
  std::ptrdiff_t group_size(std::ptrdiff_t lines) const;
  bool has_transposed(const Pass<T>& pass) const {
    return pass.transposed != nullptr && pass.transposed[this->at].data != nullptr;
  }
  // sum_up() computes dxᵀ for a panel of inputs and dx.cols rows from `row` on, summed over some segments of outputs.
  // The rows begin at a panel of rows or lie within one. transpose_back() writes dx to the tape.
  void sum_up(Pass<T>& pass, const Panels<T>& dx, std::ptrdiff_t panel, std::ptrdiff_t row, Range segments) const;
  void transpose_back(Pass<T>& pass, const Panels<T>& dx, std::ptrdiff_t panel, std::ptrdiff_t row) const;
  void bias_gradient(const Panels<T>& dz, Range units, std::ptrdiff_t all, const GradientSink<T>& sink) const;

  std::shared_ptr<Parameters<T>> parameters_;
  ActivationPart<T> activation_;
  bool relu_, from_input_, rowwise_, has_narrow_;
  InputKind input_;
  std::ptrdiff_t factor_ = 1, entries_ = 1;
};

extern template class Dense<float>;
extern template class Dense<double>;

}  // namespace lamina::engine
