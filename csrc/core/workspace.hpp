// Scratch memory of the calling thread.
#pragma once

#include <cstddef>

namespace lamina {

// Separate buffers, so that one kernel can call another while it holds scratch of its own.
enum class Scratch { packed_a, packed_b, gradient, row, sums, count };

// At least `bytes` bytes, aligned to 128, contents undefined, valid until the next call for the same
// buffer on this thread. Grows and never shrinks, so that a repeated call allocates nothing. Throws
// std::bad_alloc, which run_team carries from any member of the team to the caller.
void* scratch(Scratch which, std::size_t bytes);

// While it exists the calling thread's scratch is another set of buffers. For code that runs in the midst of a kernel
// or a step, which may hold scratch, and may compute itself: code of the user's, handlers of signals. The set is kept
// for the next time.
class FreshScratch {
 public:
  FreshScratch();
  ~FreshScratch();
  FreshScratch(const FreshScratch&) = delete;
  FreshScratch& operator=(const FreshScratch&) = delete;
};

// Bytes held as scratch by the calling thread.
std::size_t scratch_bytes() noexcept;

}  // namespace lamina
