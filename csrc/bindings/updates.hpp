// Reads the specification of an update from Python objects.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "engine/update.hpp"

namespace lamina::bindings {

engine::ConstraintKind constraint_kind(const std::string& name);

// Reads a lamina._engine.specs.UpdateSpec. `blocks` are the parameters of each layer, null for a layer without any.
template <class T>
engine::UpdateSpec<T> update_spec(const std::vector<engine::Parameters<T>*>& blocks, const pybind11::handle& given);

// Raises ValueError if the number of batches before a step is negative.
void require_iteration(std::int64_t iteration);

}  // namespace lamina::bindings
