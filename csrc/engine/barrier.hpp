// Where the members of a team wait for each other, and agree on what comes next.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "core/threads.hpp"

namespace lamina::engine {

// Thrown by Barrier::wait where another member has failed.
struct Abandoned {};

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}

  // Returns when all members have called it; what they wrote before is then visible to all. Spins for a while, since
  // the others are usually a microsecond away, then sleeps. All members get the union of the flags that they gave.
  unsigned wait(unsigned flags = 0);

  // For a member that will not come: all waits end, now and later, with Abandoned.
  void abandon() noexcept;

 private:
  bool over(std::uint32_t generation) const;

  const int members_;
  alignas(64) std::atomic<int> arrived_{0};
  std::atomic<unsigned> flags_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> abandoned_{false};
  // Of the even and the odd generations: one is only overwritten when all have left it and met again.
  unsigned agreed_[2] = {0, 0};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Runs body(index, count, barrier) on up to `threads` threads, as run_team does, for members that wait for each other.
// Where one throws the others give up, and its exception reaches the caller.
template <class Body>
void run_together(int threads, Body&& body) {
  std::mutex mutex;
  std::optional<Barrier> made;
  run_team(threads, [&](int index, int count) {
    Barrier* barrier;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!made.has_value()) made.emplace(count);
      barrier = &*made;
    }
    try {
      body(index, count, *barrier);
    } catch (const Abandoned&) {
    } catch (...) {
      barrier->abandon();
      throw;
    }
  });
}

}  // namespace lamina::engine
