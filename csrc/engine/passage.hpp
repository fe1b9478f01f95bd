// Enters the gates of several layers together, without deadlock.
//
// Callers: predictions and copies (shared), training runs and assignments (exclusive), on the thread that calls the
// engine. Members of a team do not enter: they work for a thread that has entered.
//
// A thread may enter again while it is inside: user code runs inside steps and predictions, and may read or assign
// parameters, predict, or train another model. Gates that the thread already holds are not entered twice. If it must
// wait for another gate, the thread first leaves all gates that it holds, and then enters all of them together in the
// order of their addresses. So no thread ever holds a gate while it waits for an earlier one, whatever user code does.
// While this thread waits, others may enter its gates: steps that run user code therefore change no parameter before
// all of that code has run.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/gate.hpp"

namespace lamina::engine {

// Called about every 20 ms by a thread that waits or works; if it returns true, the wait or the work ends early.
using Poll = std::function<bool()>;
constexpr auto kPollInterval = std::chrono::milliseconds(20);

// Thrown if a poll ended a wait. The thread then holds the gates that it held before the call.
struct Interrupted {};

// Calls holds() repeatedly, with pauses, until it returns true. The poll may be null.
void wait_until(const std::function<bool()>& holds, const Poll* poll);

// Returns the gates in the order of their addresses, without duplicates, as a Passage takes them.
std::vector<Gate*> sorted_gates(std::vector<Gate*> gates);

class Passage {
 public:
  struct AtOnce {};

  // Enters the gates. `gates` must be as sorted_gates() returns them, and outlive the passage.
  Passage(const std::vector<Gate*>& gates, Access access, const Poll* poll);
  // The same without waiting: if a gate is not open, enters none, and entered() is false.
  Passage(const std::vector<Gate*>& gates, Access access, AtOnce);
  ~Passage();
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  bool entered() const noexcept { return entered_; }

  // Whether a thread waits for one of the gates.
  bool is_wanted() const noexcept;
  // Leaves the gates, waits until no thread waits for them, and enters again: for a writer between two steps.
  void let_through();

  // Whether the calling thread holds any gate; whether it holds this one.
  static bool is_inside() noexcept;
  static bool holds(const Gate* gate) noexcept;

 private:
  bool enter_at_once();
  void enter_in_order(const Poll* poll);
  void leave() noexcept;

  const std::vector<Gate*>& gates_;
  const Access access_;
  std::size_t below_ = 0;            // entries of the thread's ledger that are not this passage's
  std::vector<std::size_t> raised_;  // indices of shared entries that this passage has made exclusive
  std::uint32_t generation_;         // of forks
  bool entered_ = false;
};

}  // namespace lamina::engine
