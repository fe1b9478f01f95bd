// Cores that the members of a job run on.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/system/system.hpp"

namespace lamina {

// The operating system may put a woken worker on the very core that its caller keeps busy, and leave it waiting there
// for many milliseconds. A worker that finds its core taken moves to another one; the caller moves a worker that does
// not even get to run. Where the system binds no threads, nothing happens.
class ClaimedCpus {
 public:
  // Claims the core that the calling thread runs on, unless that is the core `assigned` to it already. If another
  // member has claimed it, moves the thread.
  void settle(int assigned = -1) {
    const int here = system::current_cpu();
    if (here < 0 || here == assigned || claim(here)) return;
    move(system::kThisThread);
  }

  // Keeps a sleeping thread off the cores that members have claimed. Called before it is woken, because the operating
  // system tends to put it on the core of the thread that wakes it. Returns whether it changed the thread's affinity;
  // `before` then holds the previous one.
  bool keep_off(system::Thread thread, system::CpuSet& before) const {
    if (thread == system::kThisThread || !system::get_affinity(thread, before)) return false;
    system::CpuSet rest = before;
    for (int cpu = 0; cpu < kMost; ++cpu)
      if (rest.has(cpu) && (claimed_[cpu / 64].load(std::memory_order_relaxed) & bit(cpu)) != 0) rest.remove(cpu);
    return !rest.empty() && system::set_affinity(thread, rest);
  }

  // Moves a thread to a core that no member has claimed, and claims that core. Afterwards the thread has the affinity
  // `given`, or its previous one if `given` is null. Returns the core, or -1 if none is free.
  int move(system::Thread thread, const system::CpuSet* given = nullptr) {
    system::CpuSet allowed;
    if (given != nullptr)
      allowed = *given;
    else if (!system::get_affinity(thread, allowed))
      return -1;
    const int here = system::current_cpu();
    for (int step = 1; step < kMost; ++step) {
      const int cpu = (here + step) % kMost;
      if (!allowed.has(cpu) || !claim(cpu)) continue;
      system::CpuSet one;
      one.add(cpu);
      if (system::set_affinity(thread, one)) system::set_affinity(thread, allowed);
      return cpu;
    }
    return -1;
  }

 private:
  static constexpr int kMost = system::CpuSet::kMost;
  static std::uint64_t bit(int cpu) { return std::uint64_t{1} << (cpu % 64); }

  bool claim(int cpu) { return (claimed_[cpu / 64].fetch_or(bit(cpu), std::memory_order_relaxed) & bit(cpu)) == 0; }

  std::atomic<std::uint64_t> claimed_[kMost / 64] = {};
};

}  // namespace lamina
