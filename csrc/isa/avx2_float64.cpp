#define LAMINA_ISA avx2
#include "kernels/table.hpp"

namespace lamina::avx2 {

extern const Kernels<double> kFloat64;
constinit const Kernels<double> kFloat64 = make_kernels<double>();

}  // namespace lamina::avx2
