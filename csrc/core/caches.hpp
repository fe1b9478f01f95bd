// The sizes of this machine's caches. Blocks and schedules follow from them; results do not.
#pragma once

#include <cstddef>

namespace lamina {

struct Cache {
  std::ptrdiff_t bytes = 0;
  int cpus = 1;  // of this process that share it

  // What one thread may count on if all CPUs are busy. Inlined, for the instruction sets' units share no functions.
  [[gnu::always_inline]] std::ptrdiff_t share() const { return bytes / cpus; }
};

struct Caches {
  Cache first, second, last;  // data; `last` is the second one if there is no third
};

// Read at the first call: from LAMINA_CACHES ("32K,512K,32M", each for one thread), else from the operating system,
// else from the CPU; what cannot be read is assumed to be small.
[[gnu::cold]] const Caches& caches();

// Called when the library is loaded. Throws std::invalid_argument if LAMINA_CACHES is no list of three sizes.
void check_caches();

}  // namespace lamina
