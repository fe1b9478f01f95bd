#define LAMINA_ISA baseline
#ifdef __x86_64__  // AVX2 is there on most of these
#define LAMINA_CALLS_MATH
#define LAMINA_LACKS_NARROW
#endif
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

namespace baseline {
extern const Kernels<double> kFloat64;  // in baseline_float64.cpp
}

const KernelTable& baseline_table() {
  static constexpr KernelTable table = baseline::make_table("baseline", baseline::kFloat64);
  return table;
}

}  // namespace lamina
