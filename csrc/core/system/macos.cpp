#include <sys/sysctl.h>
#include <unistd.h>

#include <algorithm>

#include "core/system/posix.hpp"

namespace lamina::system {
namespace {

std::ptrdiff_t number(const char* name) noexcept {
  std::int64_t value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? static_cast<std::ptrdiff_t>(value) : 0;
}

}  // namespace

// macOS binds no thread to a CPU, and tells none where it runs.
Thread this_thread() noexcept { return kThisThread; }
int current_cpu() noexcept { return -1; }
bool get_affinity(Thread, CpuSet&) noexcept { return false; }
bool set_affinity(Thread, const CpuSet&) noexcept { return false; }

std::vector<int> allowed_cpus() {
  std::vector<int> found;
  for (long cpu = 0; cpu < std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)); ++cpu) found.push_back(static_cast<int>(cpu));
  return found;
}

// Of the fast cores, where there are two kinds.
std::array<std::ptrdiff_t, 3> cache_sizes() noexcept {
  const std::ptrdiff_t first = number("hw.perflevel0.l1dcachesize"), second = number("hw.perflevel0.l2cachesize");
  return {first > 0 ? first : number("hw.l1dcachesize"), second > 0 ? second : number("hw.l2cachesize"),
          number("hw.l3cachesize")};
}

}  // namespace lamina::system
