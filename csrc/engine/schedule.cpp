#include "engine/schedule.hpp"

#include <algorithm>
#include <limits>

#include "core/caches.hpp"
#include "engine/gradients.hpp"
#include "engine/machine.hpp"

namespace lamina::engine {
namespace {

// How much of the machine's measured speeds a step reaches, and how much longer than a mere meeting it takes until all
// members of a team are there. Fitted to steps of many networks on a Zen 4 server; they need to be right only within a
// factor of two.
constexpr double kShareOfPeak = 0.58;
constexpr double kShareOfNear = 0.35, kShareOfFar = 0.125, kShareOfForeign = 0.16;
constexpr double kMeetings = 4;
constexpr double kUncertain = 1.5;
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::size_t kSchedules = 3;
constexpr double kWakes = 34;              // meetings in the time to start a team that looks for work
constexpr double kLayers = 9;              // meetings in the time of a layer of a prediction by a team
constexpr std::ptrdiff_t kHalfPanel = 16;  // rows; fewer are not divided
// For predictions: the shares of the speeds at which weights are read, the share of the last cache that weights may
// take, the fewest rows of a member, and the share of one thread's time below which a team is used.
constexpr double kShareOfCache = 0.65, kShareOfMemory = 0.55;
constexpr double kShareOfLast = 0.75;
constexpr double kFewestRows = 4, kWorthwhile = 0.8;
constexpr double kLittle = 100e3;  // multiply-adds: less is not worth a team

double nanoseconds(double multiply_adds) { return multiply_adds / (kShareOfPeak * speeds().multiply_adds); }

double transfer(double bytes) {
  return bytes / (bytes > static_cast<double>(caches().second.share()) ? kShareOfFar * speeds().far_bytes
                                                                       : kShareOfNear * speeds().near_bytes);
}

// Nanoseconds that a step of a team loses to barriers and to reading bytes that other members have written.
double lost(int threads, double barriers, double bytes) {
  if (threads == 1) return 0;
  return barriers * kMeetings * meetings().nanoseconds * (0.5 + 0.25 * threads) +
         bytes * (threads - 1) / threads / (kShareOfForeign * meetings().foreign_bytes);
}

}  // namespace

StepPlan plan_step(const StepShape& shape, int most_threads) {
  StepPlan best{shape.narrow ? Schedule::chunked : Schedule::stationary, 1};
  if (most_threads == 1 && shape.narrow) return best;
  const double rows = static_cast<double>(shape.rows), parameters = static_cast<double>(shape.parameter_bytes);
  const double compute = nanoseconds(3 * shape.work * rows);
  const double tape = rows * static_cast<double>(shape.row_bytes);
  const std::ptrdiff_t segments = gradient_segments(shape.rows);
  double lowest = 0, costs[kSchedules];
  const auto consider = [&](Schedule schedule, int threads, double cost) {
    costs[static_cast<std::size_t>(schedule)] = cost;
    if (lowest == 0 || cost < 0.95 * lowest) {
      lowest = cost;
      best = {schedule, threads};
    }
  };
  // Schedules that may be as fast, as far as this model can tell.
  const auto note_alternatives = [&](int threads) {
    if (best.threads != threads || threads == 1) return;
    best.alternatives = 0;
    for (unsigned s = 0; s < kSchedules; ++s)
      if (costs[s] < kUncertain * lowest) best.alternatives |= 1u << s;
  };
  const bool copies = parameters * most_threads > static_cast<double>(caches().last.bytes);  // of gradients, too large
  for (int threads = 1; threads <= most_threads;
       threads = threads < most_threads ? std::min(2 * threads, most_threads) : most_threads + 1) {
    std::fill(costs, costs + kSchedules, kNever);
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
    if (!shape.narrow && (!shape.segmentable || segments < 2)) {
      note_alternatives(threads);
      continue;
    }
    // A segment reads all weights and writes all gradients; both move between members.
    const double rounds = static_cast<double>((segments + threads - 1) / threads),
                 share = 1 / static_cast<double>(segments);
    consider(Schedule::chunked, threads,
             rounds * (compute * share + 3 * transfer(tape * share) + 2 * transfer(parameters)) +
                 lost(threads, 2, 2 * parameters));
    if (copies && best.schedule != Schedule::chunked) costs[static_cast<std::size_t>(Schedule::chunked)] = kNever;
    note_alternatives(threads);
  }
  return best;
}

StepPlan plan_prediction(const StepShape& shape, int most_threads) {
  StepPlan best{Schedule::stationary, 1};
  // A few microseconds of work on any machine: nothing is measured for them.
  if (most_threads == 1 || shape.work * static_cast<double>(shape.rows) < kLittle) return best;
  const double rows = static_cast<double>(shape.rows), weights = static_cast<double>(shape.parameter_bytes);
  const double work = nanoseconds(shape.work * rows);
  // Reads from caches overlap with computation; reads from memory do not.
  const double wake = kWakes * meetings().nanoseconds;
  const bool uncached = weights > kShareOfLast * static_cast<double>(caches().last.bytes);
  // A member that reads only a part of the weights may keep it in its second-level cache.
  const auto read = [&](double bytes) {
    if (uncached) return bytes / (kShareOfMemory * speeds().memory_bytes);
    const bool near = bytes <= static_cast<double>(caches().second.share());
    return bytes / (kShareOfCache * (near ? speeds().near_bytes : speeds().far_bytes));
  };
  const auto time = [&](double computing, double reading) {
    return uncached ? computing + reading : std::max(computing, reading);
  };
  double lowest = kWorthwhile * time(work, read(weights));
  const auto consider = [&](Schedule schedule, int threads, double cost) {
    if (cost >= lowest) return;
    lowest = cost;
    best = {schedule, threads};
  };
  // Members divide the rows if each gets enough of them to be worth waking it and reading all weights.
  const int members = static_cast<int>(std::min<double>(most_threads, std::min(work / (4 * wake), rows / kFewestRows)));
  if (members >= 2) consider(Schedule::chunked, members, time(work / members, read(weights)) + wake);
  consider(Schedule::stationary, most_threads,
           time(work / most_threads, read(weights / most_threads)) + wake +
               static_cast<double>(shape.layers) * kLayers * meetings().nanoseconds +
               lost(most_threads, 0, rows * static_cast<double>(shape.row_bytes)));
  return best;
}

}  // namespace lamina::engine
