// Where the members of a team wait for each other, and agree on what comes next.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace lamina::engine {

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}

  // Returns when all members have called it; what they wrote before is then visible to all. Spins for a while, since
  // the others are usually a microsecond away, then sleeps. All members get the union of the flags that they gave.
  unsigned wait(unsigned flags = 0);

 private:
  const int members_;
  alignas(64) std::atomic<int> arrived_{0};
  std::atomic<unsigned> flags_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  // Of the even and the odd generations: one is only overwritten when all have left it and met again.
  unsigned agreed_[2] = {0, 0};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// A barrier for a team whose size is not known before it runs.
class TeamBarrier {
 public:
  Barrier& of(int members) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (barrier_ == nullptr) barrier_ = std::make_unique<Barrier>(members);
    return *barrier_;
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<Barrier> barrier_;
};

}  // namespace lamina::engine
