#define LAMINA_ISA neon
#include "kernels/table.hpp"

namespace lamina::neon {

extern const Kernels<double> kFloat64;
constinit const Kernels<double> kFloat64 = make_kernels<double>();

}  // namespace lamina::neon
