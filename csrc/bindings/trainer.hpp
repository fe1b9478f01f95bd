// What the files that use trainers share: the data of a call.
#pragma once

#include <string>
#include <vector>

#include "bindings/engine.hpp"
#include "engine/training.hpp"

namespace lamina::bindings {

struct PyTrainer {
  OfEitherType<engine::Trainer> object;
};

// The arrays of a call, kept alive while it runs.
template <class T>
struct DataArgument {
  engine::TrainingData<T> data;
  InputArgument x;
  std::vector<RowsArgument> keep;
};

template <class T>
DataArgument<T> data_argument(const engine::Trainer<T>& trainer, const py::object& x, const py::list& targets,
                              const py::object& sample_weight, const py::object& order) {
  DataArgument<T> argument;
  argument.x = input_argument(x, trainer.input(), trainer.inputs(), "Trainer");
  const std::ptrdiff_t rows = argument.x.input.rows();
  if (targets.size() != trainer.labels().size()) raise_value("Trainer: the targets' number does not fit.");
  for (std::size_t i = 0; i < targets.size(); ++i) {
    argument.keep.push_back(rows_argument(targets[i].cast<py::array>(), "y"));
    const Rows& target = argument.keep.back().rows;
    const bool labels = trainer.labels()[i];
    if (target.rows != rows || target.cols != (labels ? trainer.lines() : trainer.outputs()) ||
        (labels && !is_integer(target.type)))
      raise_value("Trainer: a target does not fit the network or x.");
  }
  argument.data = {.x = argument.x.input};
  for (std::size_t i = 0; i < targets.size(); ++i)
    argument.data.targets.push_back({argument.keep[i].rows, trainer.labels()[i]});
  const auto contiguous = [&](const py::object& object, const char* name, std::ptrdiff_t lines) {
    argument.keep.push_back(rows_argument(object.cast<py::array>(), name));
    const Rows& found = argument.keep.back().rows;
    if (found.rows != rows || (found.cols != 1 && found.cols != lines))
      raise_value(std::string("Trainer: ") + name + " must have one number for each row.");
    return found;
  };
  if (!sample_weight.is_none()) {
    const Rows weights = contiguous(sample_weight, "sample_weight", trainer.lines());
    if (weights.offsets != nullptr || weights.row_bytes != weights.cols * static_cast<std::ptrdiff_t>(sizeof(T)) ||
        weights.type != kNumberType<T>)
      raise_value("Trainer: sample_weight must be contiguous, of the model's dtype.");
    argument.data.sample_weight = static_cast<const T*>(weights.base);
    argument.data.row_weights = weights.cols;
  }
  if (!order.is_none()) {
    const Rows found = contiguous(order, "order", 1);
    if (found.type != NumberType::int64 || found.row_bytes != 8) raise_value("Trainer: order must be int64.");
    argument.data.order = static_cast<const std::int64_t*>(found.base);
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      if (argument.data.order[i] < 0 || argument.data.order[i] >= rows) raise_value("Trainer: order must hold rows.");
  }
  return argument;
}

inline void check_batches(const engine::Input& x, const engine::Batches& batches) {
  if (batches.first < 0 || batches.rows < 0 || batches.size < 1 || batches.rows > x.rows() - batches.first)
    raise_value("Trainer: the batches must lie within the rows.");
}

}  // namespace lamina::bindings
