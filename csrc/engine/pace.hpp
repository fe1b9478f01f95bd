// Measures whether a team really makes short steps faster. Steps are timed on a team and on one thread, now and then,
// and the faster way is used: for steps of some microseconds the distance between two cores decides, which the cost
// model cannot know. Both ways give the same bits.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lamina::engine {

class Pace {
 public:
  struct Stretch {
    int threads;
    std::ptrdiff_t steps;
    bool timed;
  };

  // The next steps to run, given the threads of the cost model and its guess of a step's nanoseconds on one thread.
  Stretch next(int planned, double guess, std::ptrdiff_t left) {
    if (planned == 1 || guess > kLong) return {planned, left, false};
    if (planned != planned_ || guess != guess_) {
      planned_ = planned;
      guess_ = guess;
      threads_ = planned;
      doubts_ = patience_ = slower_ = 0;
      decided_ = false;
      begin(Phase::settled, steps_of(kSettled));
    }
    const std::ptrdiff_t trial = steps_of(kTrial);
    while (left_in_phase_ == 0) {
      switch (phase_) {
        case Phase::waking:
          begin(Phase::together, trial);
          break;
        case Phase::together:
          begin(Phase::alone, trial);
          break;
        case Phase::alone:
          decide(planned);
          begin(Phase::settled, steps_of(kSettled) << patience_);
          break;
        case Phase::settled:
          begin(Phase::waking, kWakingSteps);
          break;
      }
    }
    if (phase_ != Phase::settled)
      return {phase_ == Phase::alone ? 1 : planned, std::min(left, left_in_phase_), phase_ != Phase::waking};
    return {threads_, std::min({left, left_in_phase_, steps_of(kSettled)}), false};
  }

  // Records the nanoseconds that a stretch took.
  void note(const Stretch& stretch, double nanoseconds) {
    left_in_phase_ = std::max<std::ptrdiff_t>(0, left_in_phase_ - stretch.steps);
    if (phase_ == Phase::settled && decided_ && stretch.steps >= steps_of(kWatched))
      watch(nanoseconds / static_cast<double>(stretch.steps));
    if (!stretch.timed) return;
    Mean& mean = phase_ == Phase::alone ? alone_ : together_;
    mean.nanoseconds += nanoseconds;
    mean.steps += stretch.steps;
  }

 private:
  enum class Phase { waking, together, alone, settled };
  struct Mean {
    double nanoseconds = 0;
    std::ptrdiff_t steps = 0;
    double mean() const { return nanoseconds / static_cast<double>(std::max<std::ptrdiff_t>(1, steps)); }
  };
  std::ptrdiff_t steps_of(double nanoseconds) const {
    return static_cast<std::ptrdiff_t>(std::max(kFewestSteps, nanoseconds / guess_));
  }
  void begin(Phase phase, std::ptrdiff_t steps) {
    phase_ = phase;
    left_in_phase_ = steps;
    if (phase == Phase::together) together_ = {};
    if (phase == Phase::alone) alone_ = {};
  }

  // Evaluates a comparison. A single one may be disturbed, so only two in a row change the number of threads. As long
  // as comparisons agree with it, they become rarer.
  void decide(int planned) {
    const bool better_alone = alone_.mean() < kWorthwhile * together_.mean();
    const bool is_alone = threads_ == 1;
    doubts_ = better_alone == is_alone ? 0 : doubts_ + 1;
    patience_ = doubts_ == 0 ? std::min(patience_ + 1, kMostPatience) : 0;
    decided_ = true;
    if (doubts_ < 2) return;
    threads_ = better_alone ? 1 : planned;
    doubts_ = 0;
  }

  // Starts a comparison at once if settled steps are much slower than when they were compared, twice in a row:
  // something has changed.
  void watch(double nanoseconds) {
    const double known = (threads_ == 1 ? alone_ : together_).mean();
    slower_ = nanoseconds > kMuchSlower * known ? slower_ + 1 : 0;
    if (slower_ < 2) return;
    slower_ = patience_ = 0;
    doubts_ = 1;
    left_in_phase_ = 0;
  }

  static constexpr double kLong = 1e6, kTrial = 0.3e6, kWatched = 1.5e6, kSettled = 15e6;  // ns
  static constexpr double kWorthwhile = 0.95, kMuchSlower = 1.3, kFewestSteps = 6;
  static constexpr std::ptrdiff_t kWakingSteps = 6;
  static constexpr int kMostPatience = 6;

  Phase phase_ = Phase::waking;
  int planned_ = 0, threads_ = 1, doubts_ = 0, patience_ = 0, slower_ = 0;
  bool decided_ = false;  // there was a comparison
  double guess_ = 0;
  std::ptrdiff_t left_in_phase_ = 0;
  Mean together_, alone_;
};

}  // namespace lamina::engine
