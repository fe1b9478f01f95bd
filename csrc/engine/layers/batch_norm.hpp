// Batch normalization: each column by its mean and variance in the batch when training, by running ones otherwise.
#pragma once

#include "engine/layers/elementwise.hpp"

namespace lamina::engine {

// Indices of tensors in the block; -1: there is none.
struct BatchNormTensors {
  int gamma, beta, mean, variance;
};

template <class T>
class BatchNorm final : public ElementwiseLayer<T> {
 public:
  // A column is divided by max(√(variance + epsilon), least). `frozen`: training too uses the running moments, and does
  // not update them.
  BatchNorm(std::shared_ptr<Parameters<T>> parameters, BatchNormTensors tensors, double momentum, double epsilon,
            double least, bool frozen)
      : parameters_(std::move(parameters)),
        tensors_(tensors),
        keep_(static_cast<T>(momentum)),
        take_(static_cast<T>(1 - momentum)),
        epsilon_(static_cast<T>(epsilon)),
        least_(static_cast<T>(least)),
        frozen_(frozen) {}

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override;
  bool repeats() const override { return frozen_; }
  bool rows_alone(bool training) const override { return frozen_ || !training; }
  bool forward_by_rows(std::ptrdiff_t, int) const override { return false; }
  void forward(Pass<T>& pass, Range rows, Range panels) const override;
  std::ptrdiff_t backward_units(const Tape<T>& tape) const override;
  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const override;
  void settle(Pass<T>& pass, Range panels) const override;
  Parameters<T>* parameters() const override { return parameters_.get(); }
  std::ptrdiff_t columns() const override {
    return parameters_->layout().tensors[static_cast<std::size_t>(tensors_.mean)].size();
  }

 private:
  T* tensor(int number) const { return number < 0 ? nullptr : parameters_->tensor(number).data; }
  // Updates the running moments with moments of the batch, for `count` columns from column `first` on.
  void take_in(const T* mean, const T* variance, std::ptrdiff_t first, std::ptrdiff_t count) const;
  bool by_batch(const Pass<T>& pass) const { return pass.random && !frozen_; }

  std::shared_ptr<Parameters<T>> parameters_;
  BatchNormTensors tensors_;
  T keep_, take_, epsilon_, least_;
  bool frozen_;
};

extern template class BatchNorm<float>;
extern template class BatchNorm<double>;

}  // namespace lamina::engine
