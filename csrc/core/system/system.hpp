// What the library asks of the operating system; one file each for Linux, macOS and Windows answers. Nothing else in
// the library includes their headers.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lamina::system {

// A set of CPUs by their number.
class CpuSet {
 public:
  static constexpr int kMost = 1024;

  bool has(int cpu) const { return (words_[word(cpu)] & bit(cpu)) != 0; }
  void add(int cpu) { words_[word(cpu)] |= bit(cpu); }
  void remove(int cpu) { words_[word(cpu)] &= ~bit(cpu); }
  bool empty() const { return words_ == Words{}; }

 private:
  using Words = std::array<std::uint64_t, kMost / 64>;
  static std::size_t word(int cpu) { return static_cast<std::size_t>(cpu) / 64; }
  static std::uint64_t bit(int cpu) { return std::uint64_t{1} << (cpu % 64); }

  Words words_{};
};

// The system's own number of a thread; kThisThread is the calling one.
using Thread = std::int64_t;
constexpr Thread kThisThread = 0;
Thread this_thread() noexcept;

// The CPU that the calling thread runs on; -1 where nobody says so.
int current_cpu() noexcept;

// The CPUs that a thread may run on. Both return false where that is not known, or cannot be changed.
bool get_affinity(Thread thread, CpuSet& cpus) noexcept;
bool set_affinity(Thread thread, const CpuSet& cpus) noexcept;

// The CPUs that the process may use, in ascending order; at least one.
std::vector<int> allowed_cpus();

// How long the calling thread, or all threads of the process, have run on a CPU. The first is always zero where no
// clock is finer than some milliseconds.
std::chrono::nanoseconds thread_time() noexcept;
std::chrono::nanoseconds process_time() noexcept;

// Has a function called in the child of every fork.
void in_children(void (*function)());

// Memory of `bytes` (more than none, a multiple of the alignment) at a multiple of 128; null if there is none.
void* allocate_aligned(std::size_t bytes) noexcept;
void release_aligned(void* data) noexcept;

// Large memory, which the system zeroes page by page when it is first touched; null if there is none. On pages of
// `huge` bytes where the system has such; both sizes are multiples of that.
void* map_pages(std::size_t bytes, std::size_t huge) noexcept;
void unmap_pages(void* data, std::size_t bytes) noexcept;

// The bytes of the data caches of levels 1 to 3 by the system's own account; 0 where it gives none. Linux's files and
// the CPU's instructions are read in caches.cpp.
std::array<std::ptrdiff_t, 3> cache_sizes() noexcept;

}  // namespace lamina::system
