// The kernel tables that a build may contain; CMake defines which (LAMINA_HAVE_*).
#pragma once

#include "core/kernel_table.hpp"

namespace lamina {

const KernelTable& baseline_table();
const KernelTable& avx2_table();
const KernelTable& avx512_table();
const KernelTable& neon_table();

}  // namespace lamina
