// What a layer is to the engine.
#pragma once

#include <memory>

#include "core/kernel_table.hpp"
#include "engine/gradients.hpp"
#include "engine/input.hpp"
#include "engine/parameters.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

// Asked between pieces of work that may take long; where it says so the rest is left out.
class Interrupt {
 public:
  virtual bool stop() = 0;

 protected:
  ~Interrupt() = default;
};

// One pass as a layer sees it; the tape holds rows offset … of the batch.
template <class T>
struct Pass {
  const Kernels<T>& kernels;
  Tape<T>& tape;
  bool training;                // the tape is one for training: gradients will follow
  bool random = false;          // noise is added, and batches are normalized by their own moments
  std::uint64_t draw = 0;       // which batch of the model's life this is: noise depends on it
  std::ptrdiff_t offset = 0;    // row of the batch where the tape begins
  std::ptrdiff_t batch = 0;     // rows of the batch
  double* penalties = nullptr;  // of each row of the batch, added to its loss; null in predictions
  Ahead ahead;  // of the input: the layer that goes last through the batch asks for some of it now and then
  Interrupt* interrupt = nullptr;  // of a step that may take long
};

// A layer between boundaries `at` and `at + 1` of a tape. Its methods work on the part that they are given, on the
// calling thread, and write nothing that another part writes; what they compute does not depend on the division.
template <class T>
class Layer {
 public:
  virtual ~Layer() = default;

  // What it needs of its boundaries: the output's width and factor, and layouts. `trained_below`: whether the
  // gradient with respect to its input is wanted.
  virtual void set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) = 0;

  // Forward, for rows and panels of the output; all panels where forward_by_rows says so.
  virtual void forward(Pass<T>& pass, Range rows, Range panels) const = 0;
  virtual bool forward_by_rows(std::ptrdiff_t rows, int threads) const = 0;
  // Whether all lines of a row of the batch must be given together, for it writes one number for them.
  virtual bool keeps_lines_together() const { return false; }

  // Turns dL/d(output) into what backward() reads, for rows and panels of the output that are complete: the derivative
  // of a fused activation, and the transpose. Rows begin at multiples of kPanelWidth, or all panels are meant.
  virtual void finish_gradient(Pass<T>& pass, Range rows, Range panels) const = 0;

  // Backward for a range of units: the gradients of the parameters go to the sink, those of the input, finished by
  // `below` (null at the input), to the tape.
  virtual std::ptrdiff_t backward_units(const Tape<T>& tape) const = 0;
  // Units that had better be given at once; between pieces of more than one it looks at the interrupt itself.
  virtual std::ptrdiff_t units_together(const Tape<T>&) const { return 1; }
  virtual void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const = 0;

  // What a step that has come to its end changes in the layer besides what it trains, for panels of the output: running
  // moments. A step that fails or is given up before leaves them as they were.
  virtual void settle(Pass<T>&, Range) const {}

  // The two halves of backward(), where it has them: the gradient of the input for rows of it, which begin at multiples
  // of half a panel's width, finished by `below`; and, when that is there for all rows, those of the parameters for a
  // range of units, each of so many multiply-adds for each row.
  virtual bool separable() const { return false; }
  virtual void propagate(Pass<T>&, Range, const Layer<T>*) const {}
  virtual std::ptrdiff_t gradient_units() const { return 0; }
  virtual double gradient_work() const { return 0; }
  virtual void gradient(Pass<T>&, Range, const GradientSink<T>&) const {}

  // Whether each row of the batch is worked on alone, so that a batch may be divided. A layer that looks at others in
  // training keeps running means of what it sees.
  virtual bool rows_alone(bool) const { return true; }

  // Whether it must run on the calling thread.
  virtual bool host() const { return false; }

  // Null where there are none.
  virtual Parameters<T>* parameters() const { return nullptr; }
  // Scratch memory (Scratch::gradient) that backward takes for a batch of so many rows.
  virtual std::size_t scratch_bytes(std::ptrdiff_t) const { return 0; }
  // Multiply-adds for each row of the batch, forward.
  virtual double work() const = 0;

  // Columns of input that it was made for; 0: any.
  virtual std::ptrdiff_t columns() const { return 0; }

  std::ptrdiff_t at = 0;
  bool need_dx = false;
};

}  // namespace lamina::engine
