// Who may touch a layer's parameters: many readers (predictions), or one writer (a training step).
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

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
      wait_until([this] { return !writer_.load(std::memory_order_relaxed); });
      waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  void leave_shared() noexcept { readers_.fetch_sub(1, std::memory_order_release); }

  void enter_exclusive() noexcept {
    renew();
    if (writer_.exchange(true, std::memory_order_seq_cst)) {
      waiting_.fetch_add(1, std::memory_order_relaxed);
      wait_until([this] { return !writer_.exchange(true, std::memory_order_seq_cst); });
      waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
    wait_until([this] { return readers_.load(std::memory_order_seq_cst) == 0; });
  }
  void leave_exclusive() noexcept { writer_.store(false, std::memory_order_release); }

  // Whether somebody waits for the writer.
  bool wanted() const noexcept { return waiting_.load(std::memory_order_relaxed) != 0; }

  // Returns when `holds`; after a while it looks only now and then.
  template <class Condition>
  static void wait_until(Condition&& holds) {
    for (int tries = 0; !holds(); ++tries) {
      if (tries < 100)
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

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

// Keeps predictions out of the parameters behind these gates while steps change them.
class Exclusive {
 public:
  explicit Exclusive(const std::vector<Gate*>& gates) : gates_(gates) { close(); }
  ~Exclusive() { open(); }
  bool wanted() const {
    return std::any_of(gates_.begin(), gates_.end(), [](const Gate* gate) { return gate->wanted(); });
  }
  void let_through() {
    open();
    Gate::wait_until([this] { return !wanted(); });
    close();
  }

 private:
  void open() {
    for (Gate* gate : gates_) gate->leave_exclusive();
    Gate::held_here() = false;
  }
  void close() {
    for (Gate* gate : gates_) gate->enter_exclusive();
    Gate::held_here() = true;
  }
  const std::vector<Gate*>& gates_;
};

// One after the other, in the order in which they came. In the child of a fork nobody is in.
class Turns {
 public:
  void enter() noexcept {
    const std::uint32_t now = fork_generation();
    if (generation_.exchange(now) != now) {
      next_.store(0);
      serving_.store(0);
    }
    const std::uint32_t own = next_.fetch_add(1);
    Gate::wait_until([&] { return serving_.load(std::memory_order_acquire) == own; });
  }
  void leave() noexcept { serving_.fetch_add(1, std::memory_order_release); }

 private:
  std::atomic<std::uint32_t> generation_{fork_generation()}, next_{0}, serving_{0};
};

}  // namespace lamina::engine
