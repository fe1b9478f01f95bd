// Entering the gates of several layers together, without ever waiting for each other in a circle.
//
// Who calls: predictions and copies (shared), training runs and assignments (exclusive), each on the thread that asked
// for them. Members of a team do not enter: they work for a thread that has.
//
// A thread may enter again while it is inside: code of the user's runs inside steps and predictions, and may read or
// assign parameters, predict, or train another model. Gates that the thread holds already are not entered twice. Where
// others must be waited for, the thread first leaves all that it holds, and then enters everything together in the
// order of the addresses. So no thread ever holds a gate while it waits for an earlier one, whatever the user's code
// does. While such a thread waits, others may pass: steps that run the user's code therefore change no parameter before
// all of that code has run.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/gate.hpp"

namespace lamina::engine {

// Asked about every 20 ms by a thread that waits or works; where it returns true what it does ends early.
using Poll = std::function<bool()>;

// Thrown where a wait was ended by its poll. What was held before the call is held again.
struct Interrupted {};

// Returns when `holds()`, which is asked with ever longer pauses. The poll may be null.
void wait_until(const std::function<bool()>& holds, const Poll* poll);

class Passage {
 public:
  struct AtOnce {};

  // Enters gates, which are sorted, each once, and outlive the passage.
  Passage(const std::vector<Gate*>& gates, Access access, const Poll* poll);
  // The same where nobody must be waited for; else entered() is false.
  Passage(const std::vector<Gate*>& gates, Access access, AtOnce);
  ~Passage();
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  bool entered() const noexcept { return entered_; }

  // Whether a thread waits for one of the gates.
  bool is_wanted() const noexcept;
  // Opens the gates until nobody waits for them any more, and enters again: for a writer between two steps.
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
  std::vector<std::size_t> raised_;  // of these, those that were shared and are exclusive as long as this passage lasts
  std::uint32_t generation_;         // of forks
  bool entered_ = false;
};

}  // namespace lamina::engine
