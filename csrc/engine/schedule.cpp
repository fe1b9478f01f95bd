#include "engine/schedule.hpp"

#include <algorithm>

#include "engine/gradients.hpp"

namespace lamina::engine {
namespace {

// Measured on an EPYC of Zen 4 (2 cores); they need to be right within a factor of two.
constexpr double kShareOfPeak = 0.6;  // of one multiply-add a cycle and lane, at kGigahertz
constexpr double kGigahertz = 3.5;
constexpr double kBarrier = 800;                   // ns, two threads
constexpr double kWake = 3000;                     // ns to start a team that looks for work
constexpr double kNearBytes = 40, kFarBytes = 12;  // a ns, from the second-level cache and from beyond it
constexpr std::ptrdiff_t kNearCache = 1 << 20;

double nanoseconds(double multiply_adds, int vector_bytes) {
  return multiply_adds / (kShareOfPeak * kGigahertz * vector_bytes / 4.0);
}

double transfer(double bytes) { return bytes / (bytes > kNearCache ? kFarBytes : kNearBytes); }

}  // namespace

StepPlan plan_step(const StepShape& shape, int most_threads) {
  const double rows = static_cast<double>(shape.rows), parameters = static_cast<double>(shape.parameter_bytes);
  const double compute = nanoseconds(3 * shape.work * rows, shape.vector_bytes);
  const double tape = rows * static_cast<double>(shape.row_bytes);
  const std::ptrdiff_t segments = gradient_segments(shape.rows);
  StepPlan best{Schedule::stationary, 1};
  double lowest = 0;
  const auto consider = [&](Schedule schedule, int threads, double cost) {
    if (lowest == 0 || cost < 0.92 * lowest) {
      lowest = cost;
      best = {schedule, threads};
    }
  };
  for (int threads = 1; threads <= most_threads;
       threads = threads < most_threads ? std::min(2 * threads, most_threads) : most_threads + 1) {
    const double team =
        threads == 1 ? 0 : static_cast<double>(2 * shape.layers + 2) * kBarrier * (0.5 + 0.25 * threads);
    consider(Schedule::stationary, threads, compute / threads + 3 * transfer(tape) / threads + team);
    if (!shape.segmentable || segments < 2) continue;
    const double rounds = static_cast<double>((segments + threads - 1) / threads);
    const double gather = threads == 1 ? 0 : 2 * kBarrier * (0.5 + 0.25 * threads);
    const double near_tape = tape / static_cast<double>(segments);
    consider(Schedule::chunked, threads,
             rounds * (compute / static_cast<double>(segments) + 3 * transfer(near_tape) + 2 * transfer(parameters)) +
                 gather);
  }
  return best;
}

StepPlan plan_prediction(const StepShape& shape, int most_threads) {
  const double work = nanoseconds(shape.work * static_cast<double>(shape.rows), shape.vector_bytes);
  const double weights = static_cast<double>(shape.parameter_bytes);
  // Rows divide where each member gets enough of them to be worth reading all weights.
  const int by_rows = static_cast<int>(
      std::min<double>(most_threads, std::min(work / (4 * kWake), static_cast<double>(shape.rows) / 16)));
  if (by_rows >= 2) return {Schedule::chunked, by_rows};
  const double alone = std::max(work, transfer(weights));
  const double together = alone / most_threads + kWake + static_cast<double>(shape.layers) * kBarrier;
  return {Schedule::stationary, together < 0.8 * alone ? most_threads : 1};
}

}  // namespace lamina::engine
