#include "engine/machine.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>

#include "core/caches.hpp"
#include "core/dispatch.hpp"
#include "core/memory.hpp"
#include "core/threads.hpp"
#include "engine/barrier.hpp"

namespace lamina::engine {
namespace {

// What servers have today. A measured value is at most kMostUnlike times larger or smaller: beyond that it was
// disturbed.
constexpr Speeds kTypicalSpeeds{.multiply_adds = 50, .near_bytes = 100, .far_bytes = 60, .memory_bytes = 25};
constexpr Meetings kTypicalMeetings{.foreign_bytes = 40, .nanoseconds = 120};
constexpr double kMostUnlike = 8;

double plausible(double measured, double typical) {
  return std::clamp(measured, typical / kMostUnlike, typical * kMostUnlike);
}

// Nanoseconds of the fastest of `times` calls: the others were disturbed.
template <class Body>
double fastest(int times, Body&& body) {
  double least = 0;
  for (int i = 0; i < times; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    body();
    const double took = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begun).count();
    if (i == 0 || took < least) least = took;
  }
  return std::max(least, 1.0);
}

void read(const float* data, std::ptrdiff_t bytes) {
  constexpr std::ptrdiff_t width = kPanelWidth<float>;
  const std::ptrdiff_t rows = bytes / kPanelBytes;
  alignas(64) float sums[width];
  lamina::kernels().f32.panel_column_sums({const_cast<float*>(data), rows, width, 0, width}, {0, rows}, 0, sums);
}

#if defined(__x86_64__)
constexpr bool kEvicts = true;
void evict(const float* data, std::ptrdiff_t bytes) {
  constexpr std::ptrdiff_t line = 64;
  for (std::ptrdiff_t i = 0; i < bytes; i += line) __builtin_ia32_clflush(reinterpret_cast<const char*>(data) + i);
  __builtin_ia32_mfence();
}
#else
constexpr bool kEvicts = false;
void evict(const float*, std::ptrdiff_t) {}
#endif

Speeds measure_speeds() {
  double operations = 0;
  const double took = fastest(5, [&] { operations = lamina::kernels().multiply_add_peak(1000); });
  constexpr std::ptrdiff_t most_near = 256 << 10, most_far = 3 << 20, cold = 128 << 10;
  const std::ptrdiff_t second = caches().second.share();
  const std::ptrdiff_t near = std::min(second / 2, most_near),
                       far = std::min({2 * second, caches().last.bytes / 2, most_far});
  const Buffer<float> memory(std::max({near, far, cold}) / 4);
  read(memory.data(), near);
  Speeds found{.multiply_adds = operations / 2 / took,
               .near_bytes = static_cast<double>(near) / fastest(3, [&] { read(memory.data(), near); }),
               .far_bytes = kTypicalSpeeds.far_bytes,
               .memory_bytes = kTypicalSpeeds.memory_bytes};
  if (far > second) {
    read(memory.data(), far);
    found.far_bytes = static_cast<double>(far) / fastest(2, [&] { read(memory.data(), far); });
  }
  double reading = 0;
  for (int i = 0; i < 2; ++i) {
    evict(memory.data(), cold);
    const double time = fastest(1, [&] { read(memory.data(), cold); });
    if (i == 0 || time < reading) reading = time;
  }
  if (kEvicts) found.memory_bytes = cold / reading;
  for (double Speeds::* speed :
       {&Speeds::multiply_adds, &Speeds::near_bytes, &Speeds::far_bytes, &Speeds::memory_bytes})
    found.*speed = plausible(found.*speed, kTypicalSpeeds.*speed);
  return found;
}

// Nothing if the team was busy, or there is one CPU.
std::optional<Meetings> measure_meetings() {
  constexpr int times = 24, rounds = 4;
  constexpr std::ptrdiff_t bytes = 64 << 10, size = bytes / 4;
  constexpr auto enough = std::chrono::microseconds(200);
  const Buffer<float> shared(size);
  std::optional<Meetings> found;
  const auto begun = std::chrono::steady_clock::now();
  run_together(2, [&](int index, int count, Barrier& barrier) {
    if (count < 2) return;
    double meeting = 0, reading = 0;
    for (int round = 0; round < rounds; ++round) {
      const bool over = index == 0 && round > 0 && std::chrono::steady_clock::now() - begun > enough;
      if (barrier.wait(over ? 1 : 0) != 0) break;
      const double met = fastest(1, [&] {
        for (int i = 0; i < times; ++i) barrier.wait();
      });
      if (index == 1) std::fill(shared.data(), shared.data() + size, static_cast<float>(round));
      barrier.wait();
      const double took = index == 0 ? fastest(1, [&] { read(shared.data(), bytes); }) : 0;
      if (round == 0 || met < meeting) meeting = met;
      if (round == 0 || took < reading) reading = took;
    }
    if (index == 0)
      found = Meetings{plausible(bytes / reading, kTypicalMeetings.foreign_bytes),
                       plausible(meeting / times, kTypicalMeetings.nanoseconds)};
  });
  return found;
}

}  // namespace

const Speeds& speeds() {
  static const Speeds found = measure_speeds();
  return found;
}

// If there was no second thread, or other programs disturbed the measurement, it is repeated a few times, a second
// apart. While one thread measures, the others get what is known.
Meetings meetings() {
  constexpr int most = 5;
  constexpr auto apart = std::chrono::seconds(1);
  static std::atomic<bool> measuring{false};
  static std::atomic<double> foreign_bytes{kTypicalMeetings.foreign_bytes}, nanoseconds{kTypicalMeetings.nanoseconds};
  static std::atomic<int> measured{0};
  static std::chrono::steady_clock::time_point next;  // read and written by the thread that measures
  const int times = measured.load(std::memory_order_acquire);
  const bool disturbed = nanoseconds > 3 * kTypicalMeetings.nanoseconds;
  if ((times == 0 || (disturbed && times < most)) && !measuring.exchange(true, std::memory_order_acquire)) {
    if (std::chrono::steady_clock::now() >= next) {
      const std::optional<Meetings> found = measure_meetings();
      if (found && (times == 0 || found->nanoseconds < nanoseconds)) {
        foreign_bytes = found->foreign_bytes;
        nanoseconds = found->nanoseconds;
      }
      next = std::chrono::steady_clock::now() + apart;
      if (found) measured.store(times + 1, std::memory_order_release);
    }
    measuring.store(false, std::memory_order_release);
  }
  return {foreign_bytes, nanoseconds};
}

}  // namespace lamina::engine
