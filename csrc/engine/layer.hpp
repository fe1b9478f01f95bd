// The interface of the engine's layers.
#pragma once

#include <memory>

#include "core/kernel_table.hpp"
#include "engine/gradients.hpp"
#include "engine/input.hpp"
#include "engine/narrow.hpp"
#include "engine/parameters.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// Checked between pieces of a long step: if stop() returns true, the layer skips the rest of its work.
class Interrupt {
 public:
  virtual bool stop() = 0;

 protected:
  ~Interrupt() = default;
};

// The arguments of one pass through a layer; the tape holds the rows of the batch from row `offset` on.
template <class T>
struct Pass {
  const Kernels<T>& kernels;
  Tape<T>& tape;
  bool training;                // backward will follow: forward saves values for it
  bool random = false;          // noise is added, and batches are normalized by their own moments
  std::uint64_t draw = 0;       // counts the model's batches: noise depends on it
  std::ptrdiff_t offset = 0;    // row of the batch where the tape begins
  std::ptrdiff_t batch = 0;     // rows of the batch
  double* penalties = nullptr;  // of each row of the batch, added to its loss; null in predictions
  Ahead ahead;  // prefetches the next batch's input: the layer that runs last in a step calls some() repeatedly
  // The transposed kernel of each dense layer, in panels, whose data may be null; or null. Backward then reads no
  // transposed gradient, which fills whole vectors of rows, however few there are. Results are the same.
  const Panels<T>* transposed = nullptr;
  Interrupt* interrupt = nullptr;  // set in steps that may take long
};

// A layer between boundaries `at` and `at + 1` of a tape. Its methods compute the given part on the calling thread.
// Different parts write to different memory, and results do not depend on how the work is divided into parts.
template <class T>
class Layer {
 public:
  virtual ~Layer() = default;

  // Sets the output's width and factor, and the layouts that the layer needs of both boundaries. `trained_below`:
  // whether the gradient with respect to its input is needed.
  virtual void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) = 0;

  // Computes rows and panels of the output. If forward_by_rows() returns true, work is divided by rows and `panels` are
  // all panels.
  virtual void forward(Pass<T>& pass, Range rows, Range panels) const = 0;
  virtual bool forward_by_rows(std::ptrdiff_t rows, int threads) const = 0;
  // Whether predictions are random too: each of them gets another `draw`.
  virtual bool always_random() const { return false; }
  // Whether one call of forward() must get all lines of a row of the batch, because it writes one number per row.
  virtual bool keeps_lines_together() const { return false; }

  // Prepares dL/d(output) for backward(), for complete rows and panels of the output: multiplies by the derivative of a
  // fused activation and writes the transpose. Rows begin at multiples of kPanelWidth, or `panels` are all panels.
  virtual void finish_gradient(Pass<T>& pass, Range rows, Range panels) const = 0;

  // Backward for a range of units (parts of the work that each layer defines). Gives the gradients of the parameters to
  // the sink (null: not trained), and writes the gradient of the input, finished by `below` (null at the input), to the
  // tape.
  virtual std::ptrdiff_t backward_units(const Tape<T>& tape) const = 0;
  // Units that are faster in one call of backward(). If more than one, backward() checks the interrupt in between.
  virtual std::ptrdiff_t units_together(const Tape<T>&) const { return 1; }
  virtual void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const = 0;

  // Updates state that is not trained, such as running moments, for panels of the output, at the end of a step. A step
  // that fails or is given up does not call it.
  virtual void settle(Pass<T>&, Range) const {}

  // The two halves of backward(), if the layer is separable. propagate() computes the gradient of the input for some
  // rows, which begin at multiples of half a panel's width, finished by `below`. gradient(), called when all rows are
  // propagated, computes the gradients of the parameters for a range of gradient_units(); a unit takes gradient_work()
  // multiply-adds for each line.
  virtual bool separable() const { return false; }
  virtual void propagate(Pass<T>&, Range, const Layer<T>*) const {}
  virtual std::ptrdiff_t gradient_units() const { return 0; }
  virtual double gradient_work() const { return 0; }
  virtual void gradient(Pass<T>&, Range, const GradientSink<T>&) const {}

  // The passes of a narrow layer, for all rows of the tape; forward() gives the same bits. narrow(): whether the layer
  // has them, in training or in predictions. An activation of rows is not included, and left to finish_narrow_output(),
  // for the last layer of a network. `sums` in backward_narrow(): memory for the gradient of the whole block, stored or
  // added; null: not trained.
  virtual bool narrow(bool) const { return false; }
  virtual void forward_narrow(const NarrowPass<T>&) const {}
  virtual void finish_narrow_output(const Kernels<T>&, const Panels<T>&) const {}
  virtual void finish_narrow_gradient(const NarrowPass<T>&) const {}
  virtual void backward_narrow(const NarrowPass<T>&, const Layer<T>*, T*, bool) const {}

  // Whether a row's output depends on this row alone, so that a batch may be divided; the argument: in training. A
  // layer that returns false for training only has running moments, which training changes.
  virtual bool rows_alone(bool) const { return true; }

  // Whether the same rows with the same parameters give the same values at any time, also in training, and leave
  // nothing behind.
  virtual bool repeats() const { return true; }

  // Whether the layer must run on the thread that called the engine.
  virtual bool host() const { return false; }

  // Null if the layer has none.
  virtual Parameters<T>* parameters() const { return nullptr; }
  // Bytes of scratch memory (Scratch::gradient) that backward needs for a batch of that many rows.
  virtual std::size_t scratch_bytes(std::ptrdiff_t) const { return 0; }
  // Multiply-adds for each row of the batch, forward.
  virtual double work() const = 0;

  // Whether it reads the index that each line of its input belongs to: the lines must be those of the network's input.
  virtual bool reads_indices() const { return false; }
  // The input's required number of columns; 0: any.
  virtual std::ptrdiff_t columns() const { return 0; }

  std::ptrdiff_t at = 0;
  bool need_dx = false;
};

}  // namespace lamina::engine
