#define LAMINA_ISA avx512
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

const KernelTable& avx512_table() {
  static constexpr KernelTable table = avx512::make_table("avx512");
  return table;
}

}  // namespace lamina
