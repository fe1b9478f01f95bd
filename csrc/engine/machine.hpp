// Times of this machine, from which the cost model chooses schedules (engine/schedule.cpp). Results do not depend on
// them.
#pragma once

namespace lamina::engine {

// What one thread does in a nanosecond.
struct Speeds {
  double multiply_adds;  // of float32 numbers in registers
  double near_bytes;     // read from the second-level cache
  double far_bytes;      // from beyond it
  double memory_bytes;   // from memory
};
// What a team loses.
struct Meetings {
  double foreign_bytes;  // read in a nanosecond from a cache of the core that has written them
  double nanoseconds;    // until two threads have met at a barrier
};

// Measured at the first call, in less than a millisecond; meetings() uses two threads.
const Speeds& speeds();
Meetings meetings();

}  // namespace lamina::engine
