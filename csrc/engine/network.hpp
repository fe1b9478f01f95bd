// A network: layers one after the other, and what runs them forward.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "core/kernel_table.hpp"
#include "engine/barrier.hpp"
#include "engine/input.hpp"
#include "engine/layer.hpp"
#include "engine/passage.hpp"

namespace lamina::engine {

template <class T>
class Network {
 public:
  using Number = T;

  // `width` columns in `factor` rows for each row of the input. `trained[l]`: whether layer l has parameters that
  // training changes.
  Network(const Kernels<T>& kernels, std::ptrdiff_t width, std::ptrdiff_t factor,
          std::vector<std::unique_ptr<Layer<T>>> layers, const std::vector<bool>& trained,
          InputKind input = InputKind::dense);

  const Kernels<T>& kernels() const { return kernels_; }
  std::ptrdiff_t depth() const { return static_cast<std::ptrdiff_t>(layers_.size()); }
  const Layer<T>& layer(std::ptrdiff_t l) const { return *layers_[static_cast<std::size_t>(l)]; }
  const std::vector<BoundaryShape>& boundaries() const { return boundaries_; }
  std::ptrdiff_t outputs() const { return boundaries_.back().width * boundaries_.back().factor; }
  // Numbers in a row of the input; of indices, as many as are looked up.
  std::ptrdiff_t inputs() const {
    return input_ == InputKind::indices ? boundaries_.front().factor
                                        : boundaries_.front().width * boundaries_.front().factor;
  }
  InputKind input() const { return input_; }
  // The lowest layer that backward must reach; depth() where nothing is trained.
  std::ptrdiff_t first_trained() const { return first_trained_; }
  // Whether one of its layers must run on the calling thread.
  bool host() const { return host_; }
  // Whether rows of a batch do not depend on each other: in training, and in prediction.
  bool rows_alone(bool training) const { return rows_alone_[training]; }
  double work() const { return work_; }  // multiply-adds forward, for each row
  std::ptrdiff_t parameter_bytes() const { return parameter_bytes_; }
  std::ptrdiff_t row_bytes() const { return row_bytes_; }  // of a tape with gradients, for each row

  // Makes the calling thread's scratch memory for steps of so many rows, so that no layer runs out of it half-way.
  void reserve_scratch(std::ptrdiff_t rows) const;
  // Of each layer, null where it has none.
  std::vector<Parameters<T>*> all_parameters() const;
  // The gates of all parameters, as a Passage takes them.
  const std::vector<Gate*>& gates() const { return gates_; }
  // What a prediction does with the parameters: it changes running means where it is as in training.
  Access access_for(const std::uint64_t* draw) const;

  // Forward through all layers for the rows of the tape; the members of a team together.
  void forward(Pass<T>& pass, int index, int count, Barrier* barrier) const;
  // At the end of a step: what it changes besides what it trains. The members divide it as they do forward().
  void settle(Pass<T>& pass, int index, int count) const;

  // out (n, outputs) = the network of the rows; converts what is not of dtype T and contiguous. Several threads may
  // predict at once; one that trains lets them in between two steps. With `draw` it runs as in training: with noise,
  // and by the moments of the batch, which running means take up.
  void predict(const Input& rows, T* out, const Poll* poll, const std::uint64_t* draw = nullptr) const;
  // The same where nobody must be waited for; else returns false, having done nothing.
  bool try_predict(const Input& rows, T* out, const std::uint64_t* draw = nullptr) const;

 private:
  std::unique_ptr<Tape<T>> borrow_tape(std::ptrdiff_t capacity, std::ptrdiff_t entries) const;
  void return_tape(std::unique_ptr<Tape<T>> tape) const;
  void predict_inside(const Input& rows, T* out, const std::uint64_t* draw) const;
  void predict_rows(const Input& rows, std::ptrdiff_t first, std::ptrdiff_t count, T* out, Tape<T>& tape,
                    const std::uint64_t* draw, int index, int members, Barrier* barrier) const;

  const Kernels<T>& kernels_;
  std::vector<std::unique_ptr<Layer<T>>> layers_;
  std::vector<BoundaryShape> boundaries_;
  std::vector<Gate*> gates_;
  std::ptrdiff_t first_trained_ = 0, parameter_bytes_ = 0, row_bytes_ = 0;
  double work_ = 0;
  bool host_ = false, rows_alone_[2] = {true, true};
  InputKind input_;
  mutable BriefLock tapes_lock_;
  mutable std::vector<std::unique_ptr<Tape<T>>> tapes_;
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace lamina::engine
