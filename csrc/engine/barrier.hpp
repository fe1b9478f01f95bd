// A barrier at which the members of a team wait for each other and combine their flags.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "core/threads.hpp"

namespace lamina::engine {

// Thrown by Barrier::wait if another member has failed.
struct Abandoned {};

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}

  // Returns when all members have called it; what they wrote before is then visible to all. Spins for a while, since
  // the others are usually a microsecond away, then sleeps. Returns the union of all members' flags.
  unsigned wait(unsigned flags = 0);

  // Called by a member that has failed: all present and later waits throw Abandoned.
  void abandon() noexcept;

 private:
  bool over(std::uint32_t generation) const;

  const int members_;
  alignas(64) std::atomic<int> arrived_{0};
  std::atomic<unsigned> flags_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> abandoned_{false};
  // The flags of the last even and odd generation; an entry is overwritten only after all members have read it.
  unsigned agreed_[2] = {0, 0};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Runs body(index, count, barrier) on up to `threads` threads, as run_team does, with a barrier for its members. If a
// member throws, the waits of the others end, and its exception reaches the caller.
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
