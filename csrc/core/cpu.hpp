// The CPUs and instruction sets of this machine.
#pragma once

namespace lamina {

// Number of CPUs that this process may use: those of the affinity mask, or the cgroup quota rounded up if it is less.
int usable_cpus();

// Whether processor and operating system support the instruction sets of the build's kernel tables.
bool cpu_has_avx2();    // with FMA
bool cpu_has_avx512();  // F, BW, DQ, VL

}  // namespace lamina
