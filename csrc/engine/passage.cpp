#include "engine/passage.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace lamina::engine {
namespace {

struct Entry {
  Gate* gate;
  Access access;
};

// The gates that the calling thread holds, outermost first.
struct Ledger {
  std::vector<Entry> entries;
  std::uint32_t generation = fork_generation();
  const std::size_t group = thread_group();
};

Ledger& ledger() {
  static thread_local Ledger held;
  // In the child of a fork the gates are open, and the thread holds none.
  if (const std::uint32_t now = fork_generation(); held.generation != now) {
    held.entries.clear();
    held.generation = now;
  }
  return held;
}

void wait_and_enter(Gate& gate, Access access, std::size_t group, const Poll* poll) {
  if (gate.try_enter(access, group)) return;
  struct Waiting {
    Gate& gate;
    explicit Waiting(Gate& of) : gate(of) { gate.begin_waiting(); }
    ~Waiting() { gate.end_waiting(); }
  } const waiting{gate};
  if (access == Access::shared) return wait_until([&] { return gate.try_enter(Access::shared, group); }, poll);
  wait_until([&] { return gate.try_announce(); }, poll);
  try {
    wait_until([&] { return gate.is_free_of_readers(); }, poll);
  } catch (...) {
    gate.withdraw();
    throw;
  }
}

std::vector<Entry> in_order(std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.gate < b.gate; });
  return entries;
}

// Enters all gates in order. If a wait is interrupted, enters none and throws.
void enter_all(const std::vector<Entry>& sorted, const Poll* poll) {
  const std::size_t group = ledger().group;
  auto next = sorted.begin();
  try {
    for (; next != sorted.end(); ++next) wait_and_enter(*next->gate, next->access, group, poll);
  } catch (...) {
    while (next != sorted.begin()) {
      --next;
      next->gate->leave(next->access, group);
    }
    throw;
  }
}

}  // namespace

std::vector<Gate*> sorted_gates(std::vector<Gate*> gates) {
  std::sort(gates.begin(), gates.end());
  gates.erase(std::unique(gates.begin(), gates.end()), gates.end());
  return gates;
}

void wait_until(const std::function<bool()>& holds, const Poll* poll) {
  auto asked = std::chrono::steady_clock::now();
  for (int tries = 0; !holds(); ++tries) {
    if (tries < 100) {
      std::this_thread::yield();
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (poll == nullptr || !*poll) continue;
    const auto now = std::chrono::steady_clock::now();
    if (now - asked < kPollInterval) continue;
    asked = now;
    if ((*poll)()) throw Interrupted{};
  }
}

Passage::Passage(const std::vector<Gate*>& gates, Access access, const Poll* poll)
    : gates_(gates), access_(access), below_(ledger().entries.size()), generation_(fork_generation()) {
  if (!enter_at_once()) enter_in_order(poll);
  entered_ = true;
}

Passage::Passage(const std::vector<Gate*>& gates, Access access, AtOnce)
    : gates_(gates), access_(access), below_(ledger().entries.size()), generation_(fork_generation()) {
  entered_ = enter_at_once();
}

Passage::~Passage() {
  if (entered_) leave();
}

bool Passage::enter_at_once() {
  Ledger& mine = ledger();
  std::vector<Entry>& entries = mine.entries;
  const std::size_t group = mine.group;
  const auto undo = [&] {
    for (; entries.size() > below_; entries.pop_back()) entries.back().gate->leave(entries.back().access, group);
    return false;
  };
  for (Gate* gate : gates_) {
    const auto end = entries.begin() + static_cast<std::ptrdiff_t>(below_);
    const auto held = std::find_if(entries.begin(), end, [gate](const Entry& entry) { return entry.gate == gate; });
    if (held != end) {
      if (access_ == Access::shared || held->access == Access::exclusive) continue;
      return undo();  // a reader that wants to write must let other readers go first
    }
    entries.reserve(entries.size() + 1);  // throws here or not at all
    if (!gate->try_enter(access_, group)) return undo();
    entries.push_back({gate, access_});
  }
  return true;
}

void Passage::enter_in_order(const Poll* poll) {
  std::vector<Entry>& entries = ledger().entries;
  std::vector<Entry> all(entries);
  for (Gate* gate : gates_) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(below_);
    const auto held = std::find_if(all.begin(), end, [gate](const Entry& entry) { return entry.gate == gate; });
    if (held == end) {
      all.push_back({gate, access_});
    } else if (access_ == Access::exclusive && held->access == Access::shared) {
      raised_.push_back(static_cast<std::size_t>(held - all.begin()));
      held->access = Access::exclusive;
    }
  }
  const std::vector<Entry> before = in_order(entries), after = in_order(all);
  for (const Entry& entry : before) entry.gate->leave(entry.access, ledger().group);
  try {
    enter_all(after, poll);
  } catch (...) {
    raised_.clear();
    enter_all(before, nullptr);
    throw;
  }
  entries.swap(all);
}

void Passage::leave() noexcept {
  Ledger& held = ledger();
  std::vector<Entry>& entries = held.entries;
  if (generation_ != fork_generation()) return;
  for (; entries.size() > below_; entries.pop_back()) entries.back().gate->leave(entries.back().access, held.group);
  for (const std::size_t i : raised_) {
    entries[i].gate->downgrade(held.group);
    entries[i].access = Access::shared;
  }
  raised_.clear();
}

bool Passage::is_wanted() const noexcept {
  return std::any_of(gates_.begin(), gates_.end(), [](const Gate* gate) { return gate->is_wanted(); });
}

void Passage::let_through() {
  leave();
  wait_until([this] { return !is_wanted(); }, nullptr);
  if (!enter_at_once()) enter_in_order(nullptr);
}

bool Passage::is_inside() noexcept { return !ledger().entries.empty(); }

bool Passage::holds(const Gate* gate) noexcept {
  const std::vector<Entry>& entries = ledger().entries;
  return std::any_of(entries.begin(), entries.end(), [gate](const Entry& entry) { return entry.gate == gate; });
}

}  // namespace lamina::engine
