// A layer that the host (Python) computes: a whole batch at once, on the thread that called the engine.
#pragma once

#include <functional>

#include "engine/layer.hpp"

namespace lamina::engine {

template <class T>
struct HostFunctions {
  // `random`: as in training, with noise; `training`: backward will follow.
  std::function<void(Matrix<const T> x, Matrix<T> y, bool random, bool training)> forward;
  // dx.data is null if dx is not needed. Writes the gradients of the parameters to `gradients`, in the block's layout;
  // `gradients` is null if none are needed.
  std::function<void(Matrix<const T> dy, Matrix<T> dx, T* gradients)> backward;
};

template <class T>
class Host final : public Layer<T> {
 public:
  Host(std::shared_ptr<Parameters<T>> parameters, std::ptrdiff_t width, std::ptrdiff_t factor,
       HostFunctions<T> functions)
      : parameters_(std::move(parameters)), width_(width), factor_(factor), functions_(std::move(functions)) {}

  void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) override {
    output.width = width_;
    output.factor = factor_;
    input.row_major = output.row_major = true;
    this->need_dx = trained_below;
  }
  bool rows_alone(bool) const override { return false; }
  bool repeats() const override { return false; }
  bool host() const override { return true; }
  void forward(Pass<T>& pass, Range, Range) const override {
    const Panels<T>&x = pass.tape[this->at].value, &y = pass.tape[this->at + 1].value;
    functions_.forward({x.data, x.rows, x.cols, x.row_stride}, {y.data, y.rows, y.cols, y.row_stride}, pass.random,
                       pass.training);
  }
  bool forward_by_rows(std::ptrdiff_t, int) const override { return false; }
  void finish_gradient(Pass<T>&, Range, Range) const override {}
  std::ptrdiff_t backward_units(const Tape<T>&) const override { return 1; }
  void backward(Pass<T>& pass, Range, const Layer<T>* below, GradientSink<T>* sink) const override {
    const Panels<T>&dy = pass.tape[this->at + 1].gradient, &dx = pass.tape[this->at].gradient;
    const Matrix<T> wanted{this->need_dx ? dx.data : nullptr, dx.rows, dx.cols, dx.row_stride};
    if (sink == nullptr) {
      functions_.backward({dy.data, dy.rows, dy.cols, dy.row_stride}, wanted, nullptr);
    } else {
      const Buffer<T> gradients(parameters_->size());
      functions_.backward({dy.data, dy.rows, dy.cols, dy.row_stride}, wanted, gradients.data());
      sink->whole(gradients.data());
    }
    if (this->need_dx && below != nullptr)
      below->finish_gradient(pass, {0, dx.rows}, {0, panel_count(dx.cols, kPanelWidth<T>)});
  }
  Parameters<T>* parameters() const override { return parameters_.get(); }
  double work() const override { return static_cast<double>(width_ * factor_); }

 private:
  std::shared_ptr<Parameters<T>> parameters_;
  std::ptrdiff_t width_, factor_;
  HostFunctions<T> functions_;
};

}  // namespace lamina::engine
