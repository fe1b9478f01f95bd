// A readers-writer lock for a layer's parameters: many readers (predictions, copies), or one writer (a training run, an
// assignment). passage.hpp enters the gates of several layers together.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "core/threads.hpp"

namespace lamina::engine {

enum class Access : std::uint8_t { shared, exclusive };

// None of the functions waits. In the child of a fork the gate is open, since the threads that held it are gone.
class Gate {
 public:
  bool try_enter(Access access) noexcept { return access == Access::shared ? try_enter_shared() : try_enter_alone(); }
  void leave(Access access) noexcept {
    if (access == Access::shared)
      readers_.fetch_sub(1, std::memory_order_release);
    else
      writer_.store(false, std::memory_order_release);
  }

  // A writer announces itself, which keeps new readers out; it enters when the last reader has left, or withdraws.
  bool try_announce() noexcept {
    renew();
    return !writer_.exchange(true, std::memory_order_seq_cst);
  }
  bool is_free_of_readers() const noexcept { return readers_.load(std::memory_order_seq_cst) == 0; }
  void withdraw() noexcept { writer_.store(false, std::memory_order_release); }

  // Turns the writer into a reader.
  void downgrade() noexcept {
    readers_.fetch_add(1, std::memory_order_seq_cst);
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
  bool try_enter_shared() noexcept {
    renew();
    readers_.fetch_add(1, std::memory_order_seq_cst);
    if (!writer_.load(std::memory_order_seq_cst)) return true;
    readers_.fetch_sub(1, std::memory_order_seq_cst);
    return false;
  }
  bool try_enter_alone() noexcept {
    if (!try_announce()) return false;
    if (is_free_of_readers()) return true;
    withdraw();
    return false;
  }
  void renew() noexcept {
    const std::uint32_t now = fork_generation();
    if (generation_.load(std::memory_order_relaxed) == now) return;
    readers_.store(0);
    waiting_.store(0);
    writer_.store(false);
    generation_.store(now);
  }

  std::atomic<std::uint32_t> generation_{fork_generation()};
  std::atomic<std::int32_t> readers_{0}, waiting_{0};
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
