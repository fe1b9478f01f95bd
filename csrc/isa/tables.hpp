// The kernel tables that a build may hold; CMake says which (LAMINA_HAVE_*).
#pragma once

#include "core/kernel_table.hpp"

namespace lamina {

const KernelTable& baseline_table();
const KernelTable& avx2_table();
const KernelTable& avx512_table();
const KernelTable& neon_table();

}  // namespace lamina
