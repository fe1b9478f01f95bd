// The choice of the kernel table that is in use.
#pragma once

#include <string>
#include <vector>

#include "core/kernel_table.hpp"

namespace lamina {

// The table in use: the one that select_isa() chose, else the one that LAMINA_ISA names, else the widest that CPU and
// operating system support.
const KernelTable& kernels();

// Names of the tables that this build holds and this machine can run, narrowest first.
std::vector<std::string> available_isas();

// Makes `name` the table in use. Throws std::invalid_argument if the build has no such table or this machine cannot
// run it.
void select_isa(const std::string& name);

}  // namespace lamina
