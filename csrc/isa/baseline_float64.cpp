#define LAMINA_ISA baseline
#include "kernels/table.hpp"

namespace lamina::baseline {

extern const Kernels<double> kFloat64;
constinit const Kernels<double> kFloat64 = make_kernels<double>();

}  // namespace lamina::baseline
