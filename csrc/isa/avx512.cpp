#define LAMINA_ISA avx512
#define LAMINA_BORROWS
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

namespace avx512 {
extern const Kernels<double> kFloat64;  // in avx512_float64.cpp
}

const KernelTable& avx512_table() {
  static constexpr KernelTable table = avx512::make_table("avx512", avx512::kFloat64);
  return table;
}

}  // namespace lamina
