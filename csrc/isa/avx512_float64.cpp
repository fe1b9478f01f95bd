#define LAMINA_ISA avx512
#define LAMINA_BORROWS
#include "kernels/table.hpp"

namespace lamina::avx512 {

extern const Kernels<double> kFloat64;
constinit const Kernels<double> kFloat64 = make_kernels<double>();

}  // namespace lamina::avx512
