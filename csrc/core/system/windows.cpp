#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>

#include "core/system/system.hpp"

namespace lamina::system {

// Threads stay where the system puts them: what is gained on Linux by keeping a team's members apart has not been
// measured here.
Thread this_thread() noexcept { return kThisThread; }
int current_cpu() noexcept { return -1; }
bool get_affinity(Thread, CpuSet&) noexcept { return false; }
bool set_affinity(Thread, const CpuSet&) noexcept { return false; }

// Those of the process's processor group; a process that was not started for more has no others.
std::vector<int> allowed_cpus() {
  DWORD_PTR mask = 0, all = 0;
  std::vector<int> found;
  if (GetProcessAffinityMask(GetCurrentProcess(), &mask, &all) != 0)
    for (int cpu = 0; cpu < static_cast<int>(8 * sizeof mask); ++cpu)
      if ((mask >> cpu & 1) != 0) found.push_back(cpu);
  if (found.empty()) found.push_back(0);
  return found;
}

// Times are counted in ticks of 15.6 ms: too coarse for the few milliseconds that a thread is judged by.
std::chrono::nanoseconds thread_time() noexcept { return std::chrono::nanoseconds(0); }

std::chrono::nanoseconds process_time() noexcept {
  FILETIME begun, ended, kernel, user;
  if (GetProcessTimes(GetCurrentProcess(), &begun, &ended, &kernel, &user) == 0) return std::chrono::nanoseconds(0);
  const auto of = [](const FILETIME& time) {
    return static_cast<std::int64_t>(std::uint64_t{time.dwHighDateTime} << 32 | time.dwLowDateTime);
  };
  return std::chrono::nanoseconds(100 * (of(kernel) + of(user)));
}

void in_children(void (*)()) {}  // there is no fork

void* allocate_aligned(std::size_t bytes) noexcept { return _aligned_malloc(bytes, 128); }
void release_aligned(void* data) noexcept { _aligned_free(data); }

void* map_pages(std::size_t bytes, std::size_t) noexcept {
  return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}
void unmap_pages(void* data, std::size_t) noexcept { VirtualFree(data, 0, MEM_RELEASE); }

std::array<std::ptrdiff_t, 3> cache_sizes() noexcept { return {}; }

}  // namespace lamina::system
