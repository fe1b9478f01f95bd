// Division of a kernel's work among the team.
#pragma once

#include <cstddef>

#include "core/threads.hpp"

namespace lamina::LAMINA_ISA {

// Work that is worth one thread; work of less than two of these stays on the caller. A worker that is still looking for
// work starts within a microsecond, a sleeping one needs 50 or more; this value is between the two.
constexpr double kNanosecondsPerThread = 20000;

[[gnu::always_inline]] constexpr std::ptrdiff_t smaller(std::ptrdiff_t a, std::ptrdiff_t b) { return a < b ? a : b; }
[[gnu::always_inline]] constexpr std::ptrdiff_t larger(std::ptrdiff_t a, std::ptrdiff_t b) { return a > b ? a : b; }
[[gnu::always_inline]] constexpr std::ptrdiff_t ceil_div(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

[[gnu::always_inline]] inline int threads_for(double nanoseconds) {
  const double useful = nanoseconds / kNanosecondsPerThread;
  if (useful < 2) return 1;
  const int most = num_threads();
  return useful < most ? static_cast<int>(useful) : most;
}

// Calls body(begin, end) for contiguous ranges that cover 0 … items - 1 and begin at multiples of `grain`, one range a
// thread. The result for an item must not depend on the range.
template <class Body>
[[gnu::always_inline]] inline void parallel_ranges(std::ptrdiff_t items, std::ptrdiff_t grain,
                                                   double nanoseconds_per_item, Body&& body) {
  const int threads = threads_for(nanoseconds_per_item * static_cast<double>(items));
  if (threads == 1) return body(std::ptrdiff_t{0}, items);
  const std::ptrdiff_t grains = ceil_div(items, grain);
  run_team(threads, [&](int index, int count) {
    const std::ptrdiff_t begin = grains * index / count * grain;
    const std::ptrdiff_t end = smaller(items, grains * (index + 1) / count * grain);
    if (begin < end) body(begin, end);
  });
}

}  // namespace lamina::LAMINA_ISA
