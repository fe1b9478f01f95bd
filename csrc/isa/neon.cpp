#define LAMINA_ISA neon
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

namespace neon {
extern const Kernels<double> kFloat64;  // in neon_float64.cpp
}

const KernelTable& neon_table() {
  static constexpr KernelTable table = neon::make_table("neon", neon::kFloat64);
  return table;
}

}  // namespace lamina
