#include "engine/barrier.hpp"

#include "core/availability.hpp"
#include "core/cpu.hpp"
#include "core/pause.hpp"

namespace lamina::engine {
namespace {

// About a millisecond of pauses; few if members share cores, since a member that spins keeps another from working.
constexpr int kSpins = 30000, kCrowdedSpins = 200;

}  // namespace

void Barrier::abandon() noexcept {
  abandoned_.store(true, std::memory_order_seq_cst);
  const std::lock_guard<std::mutex> lock(mutex_);
  wake_.notify_all();
}

bool Barrier::over(std::uint32_t generation) const {
  if (generation_.load(std::memory_order_acquire) != generation) return true;
  if (abandoned_.load(std::memory_order_relaxed)) throw Abandoned{};
  return false;
}

unsigned Barrier::wait(unsigned flags) {
  if (members_ == 1) return flags;
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (flags != 0) flags_.fetch_or(flags, std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    const unsigned agreed = agreed_[generation & 1] = flags_.exchange(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) > 0) {
      const std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    return agreed;
  }
  static const int cpus = usable_cpus();
  const int spins = members_ > cpus ? kCrowdedSpins : kSpins;
  for (int spin = 0; spin < spins; ++spin) {
    if (over(generation)) return agreed_[generation & 1];
    pause_briefly();
  }
  const auto begun = std::chrono::steady_clock::now();
  std::unique_lock<std::mutex> lock(mutex_);
  asleep_.fetch_add(1, std::memory_order_seq_cst);
  // If over() throws, asleep_ is not decremented: after abandon() nobody reads it.
  wake_.wait(lock, [&] { return over(generation); });
  asleep_.fetch_sub(1, std::memory_order_relaxed);
  Stopwatch::add_sleep(std::chrono::steady_clock::now() - begun);
  return agreed_[generation & 1];
}

}  // namespace lamina::engine
