// The cost model: how many threads a piece of work is worth, and how they divide it. Nothing here changes a result.
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
  double work;                     // multiply-adds forward, for each row
  std::ptrdiff_t parameter_bytes;  // of the layers that are trained
  std::ptrdiff_t upper_bytes = 0;  // of these, all but the lowest one's
  std::ptrdiff_t row_bytes;        // of values and gradients, for each row
  std::ptrdiff_t layers;
  int vector_bytes;
  bool segmentable;        // every layer takes each row alone
  bool separable = false;  // and its gradients can be computed after those of its input
};

struct StepPlan {
  Schedule schedule;
  int threads;
};

StepPlan plan_step(const StepShape& shape, int most_threads);

// Threads for a prediction, and whether they divide rows or weights.
StepPlan plan_prediction(const StepShape& shape, int most_threads);

}  // namespace lamina::engine
