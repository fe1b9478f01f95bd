// Scratch memory of the calling thread.
#pragma once

#include <cstddef>

namespace lamina {

// Separate buffers, so that one kernel can call another while it holds scratch of its own.
enum class Scratch { packed_a, packed_b, gradient, row, sums, count };

// Returns at least `bytes` bytes, aligned to 128, contents undefined, valid until the next call for the same
// buffer on this thread. A buffer grows and never shrinks, so a repeated call allocates nothing. Throws
// std::bad_alloc, which run_team carries from any member of the team to the caller.
void* scratch(Scratch which, std::size_t bytes);

template <class T>
[[gnu::always_inline]] inline T* scratch_numbers(Scratch which, std::ptrdiff_t count) {
  return static_cast<T*>(scratch(which, static_cast<std::size_t>(count) * sizeof(T)));
}

// While it exists, scratch() on the calling thread returns another set of buffers. For user code and signal handlers:
// they run in the middle of a kernel or a step, which may hold scratch memory, and may call kernels themselves. The set
// is kept for the next FreshScratch.
class FreshScratch {
 public:
  FreshScratch();
  ~FreshScratch();
  FreshScratch(const FreshScratch&) = delete;
  FreshScratch& operator=(const FreshScratch&) = delete;
};

// Bytes of scratch memory that the calling thread holds.
std::size_t scratch_bytes() noexcept;

}  // namespace lamina
