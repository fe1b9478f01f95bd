#define LAMINA_ISA baseline
#include "isa/tables.hpp"
#include "kernels/table.hpp"

namespace lamina {

const KernelTable& baseline_table() {
  static constexpr KernelTable table = baseline::make_table("baseline");
  return table;
}

}  // namespace lamina
