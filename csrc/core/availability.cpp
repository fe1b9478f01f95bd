#include "core/availability.hpp"

#include <algorithm>

#include "core/system/system.hpp"

namespace lamina {
namespace {

// A busy program and a member take turns of some milliseconds, so shorter times tell nothing.
constexpr auto kJudgedTime = std::chrono::milliseconds(4);
// Without one of `count` members the others take count / (count - 1) times as long. So a member pays as long as it runs
// for (count - 1) / count of the time, and somewhat more for the others' waiting for it.
double paying_share(int count) { return std::min(0.9, (count - 1.0) / count + 0.15); }

// One loss may be an accident, unless there were losses shortly before.
constexpr int kLosses = 2, kPauseGrowth = 4;

// A process that waited for longer may be idle; looking at its time more often than that would cost more.
constexpr std::int64_t kIdleTime = 20'000'000, kLookTime = 1'000'000;  // ns

thread_local std::chrono::nanoseconds slept{0};

std::int64_t now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void Stopwatch::start() {
  wall_ = std::chrono::steady_clock::now();
  ran_ = system::thread_time();
  slept_ = slept;
}

bool Stopwatch::is_due() const { return std::chrono::steady_clock::now() - wall_ >= kJudgedTime; }

double Stopwatch::share() {
  const Stopwatch before = *this;
  start();
  const auto awake = wall_ - before.wall_ - (slept_ - before.slept_);
  if (ran_ == before.ran_ || awake < kJudgedTime / 2) return 1;  // there is no such clock, or nothing to judge
  return std::chrono::duration<double>(ran_ - before.ran_) / std::chrono::duration<double>(awake);
}

void Stopwatch::add_sleep(std::chrono::nanoseconds time) noexcept { slept += time; }

bool Availability::look(std::int64_t time) {
  const std::int64_t waited = time - looked_at_.load(std::memory_order_relaxed);
  if (waited < kLookTime) return false;
  const std::int64_t ran = system::process_time().count(), before = ran_.load(std::memory_order_relaxed);
  looked_at_.store(time, std::memory_order_relaxed);
  ran_.store(ran, std::memory_order_relaxed);
  return waited > kIdleTime && ran - before < waited / 2;
}

int Availability::members(int wanted, int cpus) {
  if (!adapts_.load(std::memory_order_relaxed)) return wanted;
  wanted = std::min(wanted, std::max(1, cpus));
  const int limit = limit_.load(std::memory_order_relaxed);
  if (wanted <= limit) return wanted;
  const std::int64_t time = now();
  const bool was_idle = look(time);
  if (!was_idle && time < retry_at_.load(std::memory_order_relaxed)) return limit;
  undisturbed_since_.store(time, std::memory_order_relaxed);
  limit_.store(kAll, std::memory_order_relaxed);
  return wanted;
}

void Availability::note(int count, double share, int& losses) {
  if (count < 2) return;
  const std::int64_t time = now();
  if (share >= paying_share(count)) {
    losses = 0;
    if (time - undisturbed_since_.load(std::memory_order_relaxed) > kLongestPause)
      pause_.store(kFirstPause, std::memory_order_relaxed);
    return;
  }
  const std::int64_t pause = pause_.load(std::memory_order_relaxed);
  if (++losses < kLosses && pause == kFirstPause) return;
  losses = 0;
  if (limit_.load(std::memory_order_relaxed) < count) return;  // another member has said so
  retry_at_.store(time + pause, std::memory_order_relaxed);
  pause_.store(std::min(kPauseGrowth * pause, kLongestPause), std::memory_order_relaxed);
  limit_.store(count - 1, std::memory_order_relaxed);
  look(time);
}

}  // namespace lamina
