// Which kernel table is in force.
#pragma once

#include <string>
#include <vector>

#include "core/kernel_table.hpp"

namespace lamina {

// The table chosen when the module was loaded: the widest that CPU and operating system support, or
// what LAMINA_ISA names.
const KernelTable& kernels();

// Names of the tables that this build holds and this machine can run, narrowest first.
std::vector<std::string> available_isas();

// Makes `name` the table in force. Throws std::invalid_argument for a name that is unknown to the build or
// that this machine cannot run.
void select_isa(const std::string& name);

}  // namespace lamina
