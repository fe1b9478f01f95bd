// The optimizer's step as Python describes it.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "engine/update.hpp"

namespace lamina::bindings {

// Reads a lamina._engine.specs.UpdateSpec for blocks of parameters, of which those of layers without any are null.
template <class T>
engine::UpdateSpec<T> update_spec(const std::vector<engine::Parameters<T>*>& blocks, const pybind11::handle& given);

}  // namespace lamina::bindings
