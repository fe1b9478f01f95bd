// Derivatives of a network's output: products of a gradient of the output with the Jacobians. Nothing is trained.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/network.hpp"
#include "engine/segments.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

template <class T>
class Derivatives {
 public:
  using Number = T;

  // `update` says which tensors are trained: their gradients are computed.
  [[gnu::cold]] Derivatives(std::shared_ptr<Network<T>> network, UpdateSpec<T> update);

  // What a product is computed from, and where it goes; null pointers are not written.
  struct Product {
    const Input& x;
    const T* dy;                          // dL/dy, (n, outputs)
    const std::uint64_t* draw = nullptr;  // runs as in training: with noise, and with the moments of the batch
    T* y = nullptr;                       // (n, outputs)
    T* dx = nullptr;                      // (n, inputs)
    bool parameters = true;               // gradients of the parameters are wanted
  };
  // Returns dL/dθ in the layers' layouts, null for layers that are not trained, or nothing if they are not wanted. Sums
  // over rows are those of a training step on the same rows. The caller is inside the network's gates. Several threads
  // may call it at once. If `poll` (or null) returns true, throws Interrupted.
  std::vector<std::shared_ptr<Parameters<T>>> pull_back(const Product& product, const Poll* poll);

  // Where the derivatives by one tensor begin in a row of a Jacobian.
  struct Place {
    std::ptrdiff_t layer;
    int tensor;
    std::ptrdiff_t offset;
  };
  // Jacobians of each row's outputs; null pointers are not written.
  struct Jacobian {
    const Input& x;
    T* inputs = nullptr;      // (n, outputs, inputs)
    T* parameters = nullptr;  // (n, outputs, width)
    std::ptrdiff_t width = 0;
    std::vector<Place> places{};  // of the trained tensors, if `parameters` is not null
  };
  void jacobian(const Jacobian& wanted, const Poll* poll);

  const Network<T>& network() const { return *network_; }
  const Update<T>& update() const { return update_; }

 private:
  // Memory of one thread.
  struct Workspace {
    Workspace(const Kernels<T>& kernels, std::ptrdiff_t size) : sums(kernels, size) {}
    Tape<T> tape;
    SegmentSums<T> sums;
  };
  std::unique_ptr<Workspace> borrow(std::ptrdiff_t capacity);
  std::vector<std::unique_ptr<Workspace>> borrow_for(std::ptrdiff_t n, std::ptrdiff_t segments, std::ptrdiff_t capacity,
                                                     double passes);
  void give_back(std::unique_ptr<Workspace> workspace);
  template <class Body>
  void for_each_segment(std::ptrdiff_t segments, const std::vector<std::unique_ptr<Workspace>>& members,
                        const Poll* poll, Body&& body) const;
  Pass<T> forward(const Input& x, Range rows, bool random, std::uint64_t draw, Tape<T>& tape) const;
  void backward(Pass<T>& pass, T* sums, bool add) const;

  std::shared_ptr<Network<T>> network_;
  const Kernels<T>& kernels_;
  Update<T> update_;
  BriefLock lock_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;
};

extern template class Derivatives<float>;
extern template class Derivatives<double>;

}  // namespace lamina::engine
