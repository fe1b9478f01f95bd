// The functions that register each file's contents with the module; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "core/floating_point.hpp"

namespace lamina::bindings {

// Runs a function in the default floating-point mode, whatever the caller's mode is.
using Computes = pybind11::call_guard<DefaultFloatingPoint>;

template <class Function, class... Extra>
void define(pybind11::module_& module, const char* name, Function&& function, const Extra&... extra) {
  module.def(name, std::forward<Function>(function), Computes(), extra...);
}

[[gnu::cold]] void register_activations(pybind11::module_& module);
[[gnu::cold]] void register_dense(pybind11::module_& module);
[[gnu::cold]] void register_derivatives(pybind11::module_& module);
[[gnu::cold]] void register_epochs(pybind11::module_& module);
[[gnu::cold]] void register_functions(pybind11::module_& module);
[[gnu::cold]] void register_interrupts(pybind11::module_& module);
[[gnu::cold]] void register_losses(pybind11::module_& module);
[[gnu::cold]] void register_metrics(pybind11::module_& module);
[[gnu::cold]] void register_network(pybind11::module_& module);
[[gnu::cold]] void register_optimizers(pybind11::module_& module);
[[gnu::cold]] void register_parameters(pybind11::module_& module);
[[gnu::cold]] void register_random(pybind11::module_& module);
[[gnu::cold]] void register_runtime(pybind11::module_& module);
[[gnu::cold]] void register_taking(pybind11::module_& module);
[[gnu::cold]] void register_trainer(pybind11::module_& module);
[[gnu::cold]] void register_updates(pybind11::module_& module);

}  // namespace lamina::bindings
