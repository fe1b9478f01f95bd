// Division of a kernel's work among the team.
#pragma once

#include <cstddef>
#include <type_traits>

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

// Work that is divided into ranges, and the one copy of its code: for the caller alone as for each member of a team.
template <class Body>
struct Ranges {
  std::ptrdiff_t items, grain;
  Body& body;

  [[gnu::noinline]] static void run(void* context, int index, int count) {
    Ranges& work = *static_cast<Ranges*>(context);
    std::ptrdiff_t begin = 0, end = work.items;
    if (count > 1) {
      const std::ptrdiff_t grains = ceil_div(work.items, work.grain);
      begin = grains * index / count * work.grain;
      end = smaller(work.items, grains * (index + 1) / count * work.grain);
      if (begin >= end) return;
    }
    work.body(begin, end);
  }
};

// Calls body(begin, end) for contiguous ranges that cover 0 … items - 1 and begin at multiples of `grain`, one range a
// thread. The result for an item must not depend on the range.
template <class Body>
[[gnu::always_inline]] inline void parallel_ranges(std::ptrdiff_t items, std::ptrdiff_t grain,
                                                   double nanoseconds_per_item, Body&& body) {
  Ranges<std::remove_reference_t<Body>> work{items, grain, body};
  const int threads = threads_for(nanoseconds_per_item * static_cast<double>(items));
  if (threads == 1) return work.run(&work, 0, 1);
  run_team(threads, &work.run, &work);
}

}  // namespace lamina::LAMINA_ISA
