// A readers-writer lock for a layer's parameters: many readers (predictions, copies), or one writer (a training run, an
// assignment). passage.hpp enters the gates of several layers together.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "core/threads.hpp"

namespace lamina::engine {

enum class Access : std::uint8_t { shared, exclusive };

// The number of the calling thread among so many groups of threads, which do not write to the same memory.
constexpr std::size_t kThreadGroups = 8;
inline std::size_t thread_group() noexcept {
  static std::atomic<std::size_t> threads{0};
  thread_local const std::size_t own = threads.fetch_add(1, std::memory_order_relaxed) % kThreadGroups;
  return own;
}

constexpr std::size_t kCacheLine = 64;

// None of the functions waits. In the child of a fork the gate is open, since the threads that held it are gone.
// `group` is the calling thread's; threads of one group count their readers together.
class Gate {
 public:
  bool try_enter(Access access, std::size_t group) noexcept {
    return access == Access::shared ? try_enter_shared(readers_[group].count) : try_enter_alone();
  }
  void leave(Access access, std::size_t group) noexcept {
    if (access == Access::shared)
      readers_[group].count.fetch_sub(1, std::memory_order_release);
    else
      writer_.store(false, std::memory_order_release);
  }

  // A writer announces itself, which keeps new readers out; it enters when the last reader has left, or withdraws.
  bool try_announce() noexcept {
    renew();
    return !writer_.exchange(true, std::memory_order_seq_cst);
  }
  // Readers that were inside when the writer announced itself are in the counts that it reads afterwards, in whatever
  // order it reads them; others leave again.
  bool is_free_of_readers() const noexcept {
    std::int32_t readers = 0;
    for (const Readers& group : readers_) readers += group.count.load(std::memory_order_seq_cst);
    return readers == 0;
  }
  void withdraw() noexcept { writer_.store(false, std::memory_order_release); }

  // Turns the writer into a reader.
  void downgrade(std::size_t group) noexcept {
    readers_[group].count.fetch_add(1, std::memory_order_seq_cst);
    writer_.store(false, std::memory_order_release);
  }

  // Count the waiting threads: a writer that sees one lets it through between two steps.
  void begin_waiting() noexcept { waiting_.fetch_add(1, std::memory_order_relaxed); }
  void end_waiting() noexcept { waiting_.fetch_sub(1, std::memory_order_relaxed); }
  bool is_wanted() const noexcept { return waiting_.load(std::memory_order_relaxed) != 0; }

  // Whether a writer is inside or about to enter: the parameters may be changing.
  bool has_writer() const noexcept {
    return writer_.load(std::memory_order_acquire) && generation_.load(std::memory_order_relaxed) == fork_generation();
  }

 private:
  bool try_enter_shared(std::atomic<std::int32_t>& readers) noexcept {
    renew();
    readers.fetch_add(1, std::memory_order_seq_cst);
    if (!writer_.load(std::memory_order_seq_cst)) return true;
    readers.fetch_sub(1, std::memory_order_seq_cst);
    return false;
  }
  bool try_enter_alone() noexcept {
    if (!try_announce()) return false;
    if (is_free_of_readers()) return true;
    withdraw();
    return false;
  }
  // After a fork one thread opens the gate, and others wait for it: a count that another one set to 0 would lose a
  // thread that has entered meanwhile.
  void renew() noexcept {
    const std::uint32_t now = fork_generation(), begun = now | kBegun;
    std::uint32_t seen = generation_.load(std::memory_order_acquire);
    if (seen == now) [[likely]]
      return;
    while (seen == begun || !generation_.compare_exchange_weak(seen, begun, std::memory_order_acq_rel)) {
      if (seen == begun) std::this_thread::yield();
      seen = generation_.load(std::memory_order_acquire);
      if (seen == now) return;
    }
    for (Readers& group : readers_) group.count.store(0);
    waiting_.store(0);
    writer_.store(false);
    generation_.store(now, std::memory_order_release);
  }

  struct alignas(kCacheLine) Readers {
    std::atomic<std::int32_t> count{0};
  };

  static constexpr std::uint32_t kBegun = std::uint32_t{1} << 31;
  std::array<Readers, kThreadGroups> readers_{};
  std::atomic<std::uint32_t> generation_{fork_generation()};
  std::atomic<std::int32_t> waiting_{0};
  std::atomic<bool> writer_{false};
};

// A mutex for a few instructions. In the child of a fork it is unlocked.
class BriefLock {
 public:
  void lock() noexcept {
    while (!gate_.try_announce()) std::this_thread::yield();
  }
  void unlock() noexcept { gate_.withdraw(); }

 private:
  Gate gate_;
};

}  // namespace lamina::engine
