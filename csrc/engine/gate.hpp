// Who may touch a layer's parameters: many readers (predictions), or one writer (a training step).
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "core/threads.hpp"

namespace lamina::engine {

// In the child of a fork it is open, for the thread that held it is gone.
class Gate {
 public:
  // Whether the calling thread is the one that trains: what it calls back may read what it is changing.
  static bool& held_here() noexcept;

  bool try_enter_shared() noexcept {
    renew();
    readers_.fetch_add(1, std::memory_order_seq_cst);
    if (!writer_.load(std::memory_order_seq_cst)) return true;
    readers_.fetch_sub(1, std::memory_order_seq_cst);
    return false;
  }
  void enter_shared() noexcept {
    while (!try_enter_shared()) {
      waiting_.fetch_add(1, std::memory_order_relaxed);
      while (writer_.load(std::memory_order_relaxed)) std::this_thread::yield();
      waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  void leave_shared() noexcept { readers_.fetch_sub(1, std::memory_order_release); }

  void enter_exclusive() noexcept {
    renew();
    while (writer_.exchange(true, std::memory_order_seq_cst)) std::this_thread::yield();
    while (readers_.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  }
  void leave_exclusive() noexcept { writer_.store(false, std::memory_order_release); }

  // Whether a reader waits for the writer.
  bool wanted() const noexcept { return waiting_.load(std::memory_order_relaxed) != 0; }

 private:
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

}  // namespace lamina::engine
