#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/system/posix.hpp"

namespace lamina::system {

static_assert(sizeof(CpuSet) == sizeof(cpu_set_t));

Thread this_thread() noexcept { return static_cast<Thread>(syscall(SYS_gettid)); }

int current_cpu() noexcept {
  const int cpu = sched_getcpu();
  return cpu < CpuSet::kMost ? cpu : -1;
}

bool get_affinity(Thread thread, CpuSet& cpus) noexcept {
  cpu_set_t mask;
  if (sched_getaffinity(static_cast<pid_t>(thread), sizeof mask, &mask) != 0) return false;
  std::memcpy(static_cast<void*>(&cpus), &mask, sizeof mask);
  return true;
}

bool set_affinity(Thread thread, const CpuSet& cpus) noexcept {
  cpu_set_t mask;
  std::memcpy(&mask, &cpus, sizeof mask);
  return sched_setaffinity(static_cast<pid_t>(thread), sizeof mask, &mask) == 0;
}

std::vector<int> allowed_cpus() {
  std::vector<int> found;
  // Enlarges the mask until the kernel's one fits: a machine may have more CPUs than cpu_set_t holds.
  for (int cpus = 1024; cpus <= 1 << 20 && found.empty(); cpus *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(cpus));
    if (mask == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
    if (sched_getaffinity(0, size, mask) == 0)
      for (int cpu = 0; cpu < cpus; ++cpu)
        if (CPU_ISSET_S(cpu, size, mask)) found.push_back(cpu);
    CPU_FREE(mask);
  }
  if (!found.empty()) return found;
  for (long cpu = 0; cpu < std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)); ++cpu) found.push_back(static_cast<int>(cpu));
  return found;
}

std::array<std::ptrdiff_t, 3> cache_sizes() noexcept { return {}; }

}  // namespace lamina::system
