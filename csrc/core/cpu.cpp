#include "core/cpu.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "core/system/system.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lamina {
namespace {

double read_quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return std::numeric_limits<double>::infinity();
  return std::strtod(quota.c_str(), nullptr) / period;
}

[[gnu::cold]] double read_quota_v1(const std::string& folder) {
  double quota = -1, period = 0;
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : std::numeric_limits<double>::infinity();
}

// The tightest quota on the way from this process's cgroup up to the root.
[[gnu::cold]] double cgroup_cpus() {
  double tightest = std::min(read_quota_v2("/sys/fs/cgroup"), read_quota_v1("/sys/fs/cgroup/cpu"));
  std::ifstream memberships("/proc/self/cgroup");
  for (std::string line; std::getline(memberships, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    std::istringstream names(controllers);
    bool v1 = false;
    for (std::string name; std::getline(names, name, ',');) v1 = v1 || name == "cpu";
    if (!v1 && !v2) continue;
    for (std::string path = line.substr(second + 1); !path.empty() && path != "/"; path.resize(path.rfind('/')))
      tightest =
          std::min(tightest, v2 ? read_quota_v2("/sys/fs/cgroup" + path) : read_quota_v1("/sys/fs/cgroup/cpu" + path));
  }
  return tightest;
}

#if defined(__x86_64__)
// Whether the operating system keeps the registers of these bits of XCR0, by the instruction xgetbv, which may be
// called where the CPU has OSXSAVE.
bool saves_registers(unsigned bits) {
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & bits) == bits;
}
#endif

}  // namespace

int usable_cpus() {
  const int affinity = static_cast<int>(system::allowed_cpus().size());
  const double quota = cgroup_cpus();
  return quota < affinity ? std::max(1, static_cast<int>(std::ceil(quota))) : affinity;
}

#if defined(__x86_64__)
// Read here and not by __builtin_cpu_supports, which some compilers' libraries answer with no for every CPU. The names
// are those of Intel's manual, volume 2, CPUID; XCR0 says which registers the operating system saves (volume 1, 13.3).
bool cpu_has_avx2() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const unsigned needed = bit_OSXSAVE | bit_AVX | bit_FMA;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & needed) == needed && saves_registers(0x6) &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX2) != 0;
}
bool cpu_has_avx512() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const unsigned needed = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
  return cpu_has_avx2() && saves_registers(0xe6) && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
         (b & needed) == needed;
}
#else
bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }
#endif

}  // namespace lamina
