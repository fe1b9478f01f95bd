#define LAMINA_ISA avx2
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

const KernelTable& avx2_table() {
  static constexpr KernelTable table = avx2::make_table("avx2");
  return table;
}

}  // namespace lamina
