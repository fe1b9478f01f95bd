// Chooses a schedule by measurement. The cost model knows the machine within a factor of two, and so cannot tell
// schedules apart that cost nearly the same; other programs change that, too. Now and then steps are timed under each
// of them, and the fastest is used. All give the same bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "engine/schedule.hpp"

namespace lamina::engine {

class ScheduleChoice {
 public:
  struct Turn {
    Schedule schedule;
    std::ptrdiff_t steps;
    bool tries;  // it belongs to a comparison
  };

  // The next steps to run, at most `left`, for steps of so many rows.
  Turn next(const StepPlan& plan, std::ptrdiff_t rows, std::ptrdiff_t left) {
    if (rows != rows_ || !(plan == plan_)) {
      *this = ScheduleChoice();
      rows_ = rows;
      plan_ = plan;
      chosen_ = plan.schedule;
    }
    if (left_in_phase_ == 0 && ran_ >= wait_) {
      in_question_ = plan.alternatives | bit(chosen_);
      std::fill(times_, times_ + kSchedules, std::numeric_limits<double>::infinity());
      begin(0);
    }
    if (left_in_phase_ == 0) return {chosen_, left, false};
    return {schedule_in(phase_), std::min(left, left_in_phase_), true};
  }

  // Records the nanoseconds that a turn took.
  void note(const Turn& turn, double nanoseconds) {
    if (!turn.tries) {
      ran_ += nanoseconds;
      step_ = nanoseconds / static_cast<double>(turn.steps);
      return;
    }
    took_ += nanoseconds;
    left_in_phase_ -= turn.steps;
    if (left_in_phase_ > 0) return;
    const double mean = took_ / static_cast<double>(steps_in(phase_));
    if (is_timed(phase_)) {
      double& time = times_[static_cast<std::size_t>(turn.schedule)];
      time = std::min(time, mean);
    }
    if (is_first(phase_) && mean > kHopeless * step_) in_question_ &= ~bit(turn.schedule);
    begin(phase_ + 1);
  }

  // The schedule that is in use for a plan.
  Schedule chosen(const StepPlan& plan) const { return plan == plan_ ? chosen_ : plan.schedule; }

 private:
  static constexpr unsigned bit(Schedule schedule) { return 1u << static_cast<unsigned>(schedule); }

  // Phases of a comparison: in each round every schedule first takes a few steps, which move data to where it wants
  // them, and then some that are timed. In the first round these are few, and show what is hopeless.
  static constexpr int kSchedules = 3, kRounds = 4, kPhases = kRounds * kSchedules * 2;
  static Schedule schedule_in(int phase) { return static_cast<Schedule>(phase / 2 % kSchedules); }
  static bool is_first(int phase) { return phase < kSchedules * 2 && phase % 2 == 1; }
  static bool is_timed(int phase) { return phase >= kSchedules * 2 && phase % 2 == 1; }
  std::ptrdiff_t steps_in(int phase) const {
    if (phase % 2 == 0) return kMoving;
    return is_first(phase) ? kFewestSteps : std::max(kFewestSteps, static_cast<std::ptrdiff_t>(kTimed / step_));
  }
  bool is_idle(int phase) const {
    const unsigned own = bit(schedule_in(phase));
    return (in_question_ & own) == 0 || in_question_ == bit(chosen_) || (phase < kSchedules * 2 && own == bit(chosen_));
  }

  void begin(int phase) {
    while (phase < kPhases && is_idle(phase)) ++phase;
    phase_ = phase;
    took_ = 0;
    left_in_phase_ = phase < kPhases ? steps_in(phase) : 0;
    if (phase < kPhases) return;
    const double* fastest = std::min_element(times_, times_ + kSchedules);
    const bool changes = *fastest < kWorthwhile * times_[static_cast<std::size_t>(chosen_)];
    if (changes) chosen_ = static_cast<Schedule>(fastest - times_);
    wait_ = changes ? kFirstWait : std::min(kLongestWait, 4 * wait_);
    ran_ = 0;
  }

  static constexpr double kFirstWait = 100e6, kLongestWait = 20e9, kTimed = 1e6;  // ns
  static constexpr double kWorthwhile = 0.96, kHopeless = 1.25;
  static constexpr std::ptrdiff_t kMoving = 2, kFewestSteps = 4;

  StepPlan plan_{Schedule::stationary, 0};
  std::ptrdiff_t rows_ = 0, left_in_phase_ = 0;
  Schedule chosen_ = Schedule::stationary;
  unsigned in_question_ = 0;
  int phase_ = 0;
  double ran_ = 0, wait_ = kFirstWait, step_ = 1, took_ = 0;
  double times_[kSchedules] = {};
};

}  // namespace lamina::engine
