// A network: a sequence of layers, with forward passes and predictions.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
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

  // Each row of the input has `factor` lines of `width` columns, or as many indices. `trained[l]`: whether layer l has
  // parameters that training changes. `input_gradient`: whether backward passes give the gradient of the input, too.
  [[gnu::cold]] Network(const Kernels<T>& kernels, std::ptrdiff_t width, std::ptrdiff_t factor,
                        std::vector<std::unique_ptr<Layer<T>>> layers, const std::vector<bool>& trained,
                        InputKind input = InputKind::dense, bool input_gradient = false);

  const Kernels<T>& kernels() const { return kernels_; }
  std::ptrdiff_t depth() const { return static_cast<std::ptrdiff_t>(layers_.size()); }
  const Layer<T>& layer(std::ptrdiff_t l) const { return *layers_[static_cast<std::size_t>(l)]; }
  const std::vector<BoundaryShape>& boundaries() const { return boundaries_; }
  std::ptrdiff_t outputs() const { return boundaries_.back().width * boundaries_.back().factor; }
  // Numbers or indices in a row of the input.
  std::ptrdiff_t inputs() const { return inputs_; }
  InputKind input() const { return input_; }
  // The lowest layer that training must reach; depth() if nothing is trained.
  std::ptrdiff_t first_trained() const { return first_trained_; }
  bool input_gradient() const { return boundaries_.front().has_gradient; }
  // Whether one of its layers must run on the thread that called the engine.
  bool host() const { return host_; }
  // Whether a layer adds penalties to the losses of rows.
  bool penalizes() const { return penalizes_; }
  // Whether all layers are narrow (Layer::narrow) and much of a panel would be empty, in training or in predictions.
  bool narrow(bool training) const { return depth() > 0 && narrow_[training]; }
  // Runs the rows of a narrow tape forward through all layers, up to its row-major output if that is wanted.
  void forward_narrow(const NarrowPass<T>& pass, bool row_major) const;
  // Whether the rows of a batch are independent of each other, in training or in predictions.
  bool rows_alone(bool training) const { return rows_alone_[training]; }
  double work() const { return work_; }  // multiply-adds forward, for each row
  std::ptrdiff_t parameter_bytes() const { return parameter_bytes_; }
  std::ptrdiff_t row_bytes() const { return row_bytes_; }  // of a tape with gradients, for each row

  // Allocates the calling thread's scratch memory for `rows` rows, so that no layer runs out of memory half-way.
  void reserve_scratch(std::ptrdiff_t rows) const;
  // The parameters of each layer, null for a layer without any.
  std::vector<Parameters<T>*> all_parameters() const;
  // The gates of all parameters, sorted and without duplicates, for a Passage.
  const std::vector<Gate*>& gates() const { return gates_; }
  // The draw of noise that is never off, another one for each pass that is no training: those of training count from 0.
  std::uint64_t next_draw() const { return random_ ? ~predictions_.fetch_add(1, std::memory_order_relaxed) : 0; }
  // The access that a prediction needs: exclusive if it runs as in training (`draw`) and updates running moments.
  Access access_for(const std::uint64_t* draw) const;

  // Runs the rows of the tape forward through all layers; the members of a team call it together.
  void forward(Pass<T>& pass, int index, int count, Barrier* barrier) const;
  // Updates state that is not trained (Layer::settle) at the end of a step; the members of a team call it together.
  void settle(Pass<T>& pass, int index, int count) const;

  // Writes the outputs of n rows to out (n, outputs()). Rows are copied and converted unless they are of dtype T and
  // contiguous. Several threads may predict at once; a thread that trains lets them in between two steps. With `draw`
  // it runs as in training: with noise, and with the moments of the batch, which also update the running moments.
  void predict(const Input& rows, T* out, const Poll* poll, const std::uint64_t* draw = nullptr) const;
  // The same if no gate must be waited for; else does nothing and returns false.
  bool try_predict(const Input& rows, T* out, const std::uint64_t* draw = nullptr) const;

 private:
  // Both are used only if few rows take another path than many.
  struct Tapes {
    Tape<T> panels;
    NarrowTape<T> narrow;
    std::size_t slot = 0;  // to which they return
  };
  std::unique_ptr<Tapes> borrow_tapes(std::ptrdiff_t capacity, std::ptrdiff_t entries, bool narrow) const;
  void return_tapes(std::unique_ptr<Tapes> tapes) const;
  void predict_inside(const Input& rows, T* out, const std::uint64_t* draw) const;
  void predict_rows(const Input& rows, std::ptrdiff_t first, std::ptrdiff_t count, T* out, Tape<T>& tape,
                    const std::uint64_t* draw, std::uint64_t number, int index, int members, Barrier* barrier) const;
  void predict_narrow(const Input& rows, std::ptrdiff_t first, std::ptrdiff_t count, T* out, NarrowTape<T>& tape) const;

  const Kernels<T>& kernels_;
  std::vector<std::unique_ptr<Layer<T>>> layers_;
  std::vector<BoundaryShape> boundaries_;
  std::vector<Gate*> gates_;
  std::ptrdiff_t first_trained_ = 0, parameter_bytes_ = 0, row_bytes_ = 0;
  double work_ = 0;
  mutable std::atomic<std::uint64_t> predictions_{0};  // that were made, where they are random
  bool random_ = false, host_ = false, rows_alone_[2] = {true, true}, narrow_[2] = {true, true}, penalizes_ = false;
  InputKind input_;
  std::ptrdiff_t inputs_;

  // Tapes that are kept for the next prediction. Each thread looks into the slot of its group first.
  class Kept {
   public:
    ~Kept();
    // New ones, without room, if there are none.
    std::unique_ptr<Tapes> take();
    // Keeps them in their slot, or in the next one that is empty.
    void keep(std::unique_ptr<Tapes> tapes);

   private:
    struct alignas(kCacheLine) Slot {
      std::atomic<Tapes*> tapes{nullptr};
    };
    std::array<Slot, 2 * kThreadGroups> slots_{};
  };
  mutable Kept kept_;
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace lamina::engine
