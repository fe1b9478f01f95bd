// Finds out how many CPUs a team really gets. Other programs may keep some of them busy, and a member that waits for a
// CPU keeps all others waiting; then the team is faster without it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace lamina {

// Measures how much of a thread's time awake it really ran.
class Stopwatch {
 public:
  void start();
  // Whether enough time has passed since start() to judge.
  bool is_due() const;
  // The share of the time since start() that the thread ran, without the time that it slept; starts anew.
  double share();
  // Called after the thread has slept on its own account.
  static void add_sleep(std::chrono::nanoseconds time) noexcept;

 private:
  std::chrono::steady_clock::time_point wall_;
  std::chrono::nanoseconds ran_{0}, slept_{0};
};

class Availability {
 public:
  // How many of `wanted` members to use, if there are that many CPUs. Lets the team try all of them again from time to
  // time after it has had fewer, and after the process was idle: nobody knows then what others do, and threads that
  // have slept get a CPU at once, even on a busy machine.
  int members(int wanted, int cpus);
  // A member of a team of `count` reports the share of its time that it ran. `losses` is the member's own count of
  // losses in a row: others that lose nothing must not hide them.
  void note(int count, double share, int& losses);

  // For tests: all members are used, whatever the machine does, while this is off.
  void adapt(bool on) { adapts_.store(on, std::memory_order_relaxed); }

 private:
  // Notes how long the process has run. Returns whether it was idle since the last look: it ran for less than half of
  // the time, if that was a while ago.
  bool look(std::int64_t time);

  std::atomic<bool> adapts_{true};
  std::atomic<int> limit_{kAll};
  std::atomic<std::int64_t> retry_at_{0}, pause_{kFirstPause}, undisturbed_since_{0};
  std::atomic<std::int64_t> looked_at_{0}, ran_{0};  // the time of the last look, and how long the process had run

  static constexpr int kAll = 1 << 30;
  static constexpr std::int64_t kFirstPause = 50'000'000, kLongestPause = 2'000'000'000;  // ns
};

}  // namespace lamina
