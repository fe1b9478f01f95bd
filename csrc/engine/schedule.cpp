#include "engine/schedule.hpp"

#include <algorithm>

#include "core/caches.hpp"
#include "engine/gradients.hpp"

namespace lamina::engine {
namespace {

// Measured on a Zen 4 EPYC (2 cores); they need to be right only within a factor of two.
constexpr double kShareOfPeak = 0.6;  // of one multiply-add a cycle and lane, at kGigahertz
constexpr double kGigahertz = 3.5;
constexpr double kBarrier = 350;           // ns, two threads: two cache lines go from core to core
constexpr double kWake = 3000;             // ns to start a team that looks for work
constexpr double kLayer = 800;             // ns for each layer of a prediction by a team
constexpr double kNearBytes = 40;          // bytes a ns from the second-level cache
constexpr double kFarBytes = 12;           // bytes a ns from beyond it
constexpr double kForeignBytes = 10;       // bytes a ns from a cache of the core that has written them
constexpr std::ptrdiff_t kHalfPanel = 16;  // rows; fewer are not divided
// For predictions: bytes a ns of weights read from caches and from memory, the share of the last cache that weights may
// take, the fewest rows of a member, and the share of one thread's time below which a team is used.
constexpr double kCacheBytes = 75, kMemoryBytes = 18;
constexpr double kShareOfLast = 0.75;
constexpr double kFewestRows = 4, kWorthwhile = 0.8;

double nanoseconds(double multiply_adds, int vector_bytes) {
  return multiply_adds / (kShareOfPeak * kGigahertz * vector_bytes / 4.0);
}

double transfer(double bytes) {
  return bytes / (bytes > static_cast<double>(caches().second.share()) ? kFarBytes : kNearBytes);
}

// Nanoseconds that a step of a team loses to barriers and to reading bytes that other members have written.
double lost(int threads, double barriers, double bytes) {
  if (threads == 1) return 0;
  return barriers * kBarrier * (0.5 + 0.25 * threads) + bytes * (threads - 1) / threads / kForeignBytes;
}

}  // namespace

StepPlan plan_step(const StepShape& shape, int most_threads) {
  const double rows = static_cast<double>(shape.rows), parameters = static_cast<double>(shape.parameter_bytes);
  const double compute = nanoseconds(3 * shape.work * rows, shape.vector_bytes);
  const double tape = rows * static_cast<double>(shape.row_bytes);
  const std::ptrdiff_t segments = gradient_segments(shape.rows);
  StepPlan best{shape.narrow ? Schedule::chunked : Schedule::stationary, 1};
  double lowest = 0;
  const auto consider = [&](Schedule schedule, int threads, double cost) {
    if (lowest == 0 || cost < 0.95 * lowest) {
      lowest = cost;
      best = {schedule, threads};
    }
  };
  for (int threads = 1; threads <= most_threads;
       threads = threads < most_threads ? std::min(2 * threads, most_threads) : most_threads + 1) {
    // Values move from the owners of a layer's outputs to those of the next layer. Weights move too, since backward
    // divides their rows; only those of the lowest layer stay.
    if (!shape.narrow)
      consider(Schedule::stationary, threads,
               (compute + 3 * transfer(tape)) / threads + lost(threads, static_cast<double>(2 * shape.layers + 2),
                                                               tape + static_cast<double>(shape.upper_bytes)));
    // Half of the values and gradients, and all weights, move between members. Only `members` members get rows.
    const auto members =
        static_cast<double>(std::min<std::ptrdiff_t>(threads, (shape.rows + kHalfPanel - 1) / kHalfPanel));
    if (shape.separable && !shape.narrow && threads > 1)
      consider(Schedule::by_rows, threads,
               (compute / 3 + 3 * transfer(tape)) / threads + compute * 2 / 3 / members +
                   lost(threads, 2, tape / 2 + parameters));
    if (!shape.narrow && (!shape.segmentable || segments < 2)) continue;
    // A segment reads all weights and writes all gradients; both move between members.
    const double rounds = static_cast<double>((segments + threads - 1) / threads),
                 share = 1 / static_cast<double>(segments);
    consider(Schedule::chunked, threads,
             rounds * (compute * share + 3 * transfer(tape * share) + 2 * transfer(parameters)) +
                 lost(threads, 2, 2 * parameters));
  }
  return best;
}

StepPlan plan_prediction(const StepShape& shape, int most_threads) {
  const double rows = static_cast<double>(shape.rows), weights = static_cast<double>(shape.parameter_bytes);
  const double work = nanoseconds(shape.work * rows, shape.vector_bytes);
  // Reads from caches overlap with computation; reads from memory do not.
  const bool far = weights > kShareOfLast * static_cast<double>(caches().last.bytes);
  const double read = weights / (far ? kMemoryBytes : kCacheBytes);
  const auto time = [&](double computing, double reading) {
    return far ? computing + reading : std::max(computing, reading);
  };
  StepPlan best{Schedule::stationary, 1};
  double lowest = kWorthwhile * time(work, read);
  const auto consider = [&](Schedule schedule, int threads, double cost) {
    if (cost >= lowest) return;
    lowest = cost;
    best = {schedule, threads};
  };
  // Members divide the rows if each gets enough of them to be worth waking it and reading all weights.
  const int members =
      static_cast<int>(std::min<double>(most_threads, std::min(work / (4 * kWake), rows / kFewestRows)));
  if (members >= 2) consider(Schedule::chunked, members, time(work / members, read) + kWake);
  consider(Schedule::stationary, most_threads,
           time(work, read) / most_threads + kWake + static_cast<double>(shape.layers) * kLayer +
               lost(most_threads, 0, rows * static_cast<double>(shape.row_bytes)));
  return best;
}

}  // namespace lamina::engine
