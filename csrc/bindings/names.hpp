// Names that Python code passes: of enumerators, of entries of the kernel table, of parameters.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arguments.hpp"

namespace lamina::bindings {

// The enumerator of a name; raises for an unknown name.
template <class Enum>
Enum enumerator(const std::string& name, const char* what,
                std::initializer_list<std::pair<const char*, Enum>> choices) {
  for (const auto& [known, value] : choices)
    if (name == known) return value;
  raise_value(std::string("there is no ") + what + " '" + name + "'.");
}

// Indices in the kernel table; -1 if there is no entry of that name.
int activation_index(const std::string& name);
int loss_index(const std::string& name);
int metric_index(const std::string& name);
int optimizer_index(const std::string& name);

// Returns the index; raises if it is -1.
int require_index(int index, const char* what, const std::string& name);

// The names in the kernel table, quoted, for messages.
std::string activation_names();
std::string loss_names();

// The parameters or settings that `names` lists (separated by blanks; may be null), in that order, from a dict by name.
// Those that the dict lacks are `first` for the first name and 0 for the others, if `optional`, and raise otherwise; so
// do unknown names.
std::vector<double> values_by_name(const char* names, const py::dict& given, bool optional, double first = 0);

}  // namespace lamina::bindings
