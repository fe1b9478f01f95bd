// What this machine offers.
#pragma once

namespace lamina {

// CPUs that this process may use: the affinity mask's, or the cgroup quota rounded up where that is less.
int usable_cpus();

// Whether processor and operating system support the instruction sets of the build's kernel tables.
bool cpu_has_avx2();    // with FMA
bool cpu_has_avx512();  // F, BW, DQ, VL

}  // namespace lamina
