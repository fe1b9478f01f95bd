#define LAMINA_ISA avx2
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

namespace avx2 {
extern const Kernels<double> kFloat64;  // in avx2_float64.cpp
}

const KernelTable& avx2_table() {
  static constexpr KernelTable table = avx2::make_table("avx2", avx2::kFloat64);
  return table;
}

}  // namespace lamina
