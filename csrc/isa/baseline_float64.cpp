#define LAMINA_ISA baseline
#ifdef __x86_64__  // AVX2 is there on most of these
#define LAMINA_CALLS_MATH
#define LAMINA_LACKS_NARROW
#endif
#include "kernels/table.hpp"

namespace lamina::baseline {

extern const Kernels<double> kFloat64;
constinit const Kernels<double> kFloat64 = make_kernels<double>();

}  // namespace lamina::baseline
