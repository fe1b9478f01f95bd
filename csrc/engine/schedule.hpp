// The cost model: chooses the number of threads and how they divide the work. It changes no result.
#pragma once

#include <cstddef>

namespace lamina::engine {

enum class Schedule {
  stationary,  // the team goes through the layers together, each member owning panels of weights
  chunked,     // a member takes row segments through all layers; their gradients are added at the end
  by_rows,     // a member takes rows through all layers, then panels of weights through the whole batch
};

struct StepShape {
  std::ptrdiff_t rows;             // of the batch
  double work;                     // multiply-adds forward, for each row; those of float64 count twice
  std::ptrdiff_t parameter_bytes;  // of the trained layers; for predictions, of all layers
  std::ptrdiff_t upper_bytes = 0;  // of these, all but the lowest one's
  std::ptrdiff_t row_bytes;        // of values and gradients, for each row
  std::ptrdiff_t layers;
  bool segmentable;        // segments of rows can be computed apart
  bool separable = false;  // gradients of parameters can be computed after all dx
  bool narrow = false;     // segments are computed apart, even if there is only one (engine/narrow.hpp)
};

struct StepPlan {
  Schedule schedule;
  int threads;
  // Of training: the bits 1 << schedule of those that cost nearly the same as this one.
  unsigned alternatives = 0;
  bool operator==(const StepPlan&) const = default;
};

StepPlan plan_step(const StepShape& shape, int most_threads);

// The threads of a prediction, which divide rows (chunked) or weights (stationary).
StepPlan plan_prediction(const StepShape& shape, int most_threads);

}  // namespace lamina::engine
