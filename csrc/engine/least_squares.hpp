// The Levenberg–Marquardt method: steps that solve the normal equations of a loss that is a sum of squares.
//
// With residuals r and their Jacobian J, a step δ solves (Jᵀ J + λ I) δ = -Jᵀ r (Levenberg 1944, Marquardt 1963).
// Products and solutions are computed in float64 whatever the network's type.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/head.hpp"
#include "engine/network.hpp"
#include "engine/normal_equations.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

template <class T>
class LeastSquares {
 public:
  // `head` computes a mean squared error.
  LeastSquares(std::shared_ptr<Network<T>> network, Update<T>& update, HeadSpec<T> head, std::vector<bool> labels);

  // A batch: rows first … first + size - 1 of the data's order.
  struct Batch {
    const TrainingData<T>& data;
    std::ptrdiff_t first, size;
  };
  // Takes a step; loss() computes the loss at the present parameters. The damping λ is divided by a factor after a step
  // that lowers the loss, and multiplied by it after every try that does not. Returns false if no try does: then
  // nothing but the damping has changed. If `poll` returns true, throws Interrupted; the parameters are as before.
  void release();  // frees memory that the next step allocates again
  bool step(const Batch& batch, double rate, double& damping, const std::function<double()>& loss, const Poll& poll);

 private:
  // Memory of a member of the team.
  struct Member {
    Tape<T> tape;
    std::vector<double> row, output, scales, lines;
    Buffer<T> sums, values;  // of layers that are not dense
  };
  void reserve(std::ptrdiff_t size, int members);
  void find_equations(const Batch& batch, const Poll& poll);
  void find_rows(const Batch& batch, double divisor, Member& member, Range rows, std::ptrdiff_t first_row);
  void backward(Pass<T>& pass, Member& member) const;
  void find_row(Member& member, std::ptrdiff_t row, std::ptrdiff_t rows) const;
  static double weight_of(const Batch& batch, std::ptrdiff_t row, std::ptrdiff_t line);
  template <class Body>
  void for_each_tensor(Body&& body) const;
  void move(double rate);

  std::shared_ptr<Network<T>> network_;
  Update<T>& update_;
  HeadSpec<T> head_spec_;
  std::vector<bool> labels_;
  bool dense_;  // gradients are outer products (has_outer_products())
  // Rows are √h (∂ŷ/∂θ, (∂L/∂ŷ)/h) with h = ∂²L/∂ŷ².
  NormalEquations equations_;
  std::unique_ptr<Head<T>> head_;
  std::ptrdiff_t capacity_ = 0;
  std::vector<std::unique_ptr<Member>> members_;
  Buffer<T> start_, moved_;
  std::vector<double> solution_;
};

extern template class LeastSquares<float>;
extern template class LeastSquares<double>;

}  // namespace lamina::engine
