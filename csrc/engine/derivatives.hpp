// Derivatives of a network's output: products of a gradient of the output with the Jacobians. Nothing is trained.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/barrier.hpp"
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
    T* gradients = nullptr;               // dL/dθ, Update::vector_size() numbers
  };
  // Sums over rows are those of a training step on the same rows. The caller is inside the network's gates. Several
  // threads may call it at once. If `poll` (or null) returns true, throws Interrupted.
  void pull_back(const Product& product, const Poll* poll);

  // Jacobians of each row's outputs; null pointers are not written.
  struct Jacobian {
    const Input& x;
    T* inputs = nullptr;      // (n, outputs, inputs)
    T* parameters = nullptr;  // (n, outputs, Update::vector_size())
  };
  void jacobian(const Jacobian& wanted, const Poll* poll);

  const Network<T>& network() const { return *network_; }
  const Update<T>& update() const { return update_; }

 private:
  // Memory for some rows.
  struct Workspace {
    Workspace(const Kernels<T>& kernels, std::ptrdiff_t size) : sums(kernels, size) {}
    Tape<T> tape;
    SegmentSums<T> sums;
    Destination<T> to;  // of the present rows' gradients
  };
  // A thread's part in the work on some rows: with a barrier, all members work on them together.
  struct Part {
    Workspace& workspace;
    Range rows;
    int index = 0, count = 1;
    Barrier* barrier = nullptr;

    void wait() const {
      if (barrier != nullptr) barrier->wait();
    }
    Range share() const;  // of the rows, counted from the first of them
  };
  std::unique_ptr<Workspace> borrow(std::ptrdiff_t capacity);
  void give_back(std::unique_ptr<Workspace> workspace);
  template <class Segment, class Body, class Finish>
  void for_each_segment(std::ptrdiff_t n, std::ptrdiff_t segments, double passes, const Poll* poll, Segment&& segment,
                        Body&& body, Finish&& finish);
  const Panels<T>* transposed(std::ptrdiff_t rows);
  Pass<T> forward(const Part& part, const Input& x, bool random, std::uint64_t draw, const Panels<T>* transposed) const;
  template <class Seed>
  void backward(const Part& part, Pass<T>& pass, const Destination<T>& to, Seed&& seed) const;
  void read(const Part& part, const Panels<T>& lines, std::ptrdiff_t factor, T* to, std::ptrdiff_t stride) const;
  bool writes_directly() const { return !gives_entries(network_->input()); }  // gradients, without sums

  std::shared_ptr<Network<T>> network_;
  const Kernels<T>& kernels_;
  Update<T> update_;
  // Transposed kernels, for passes of few rows, and the versions of the parameters that they were copied from.
  std::mutex transposing_;
  std::vector<Buffer<T>> transposed_memory_;
  std::vector<Panels<T>> transposed_;
  std::vector<std::int64_t> versions_;
  BriefLock lock_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;
};

extern template class Derivatives<float>;
extern template class Derivatives<double>;

}  // namespace lamina::engine
