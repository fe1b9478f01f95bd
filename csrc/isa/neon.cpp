#define LAMINA_ISA neon
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

const KernelTable& neon_table() {
  static constexpr KernelTable table = neon::make_table("neon");
  return table;
}

}  // namespace lamina
