// Jobs that do not depend on each other, each on one thread: the trainings of many models.
#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "engine/passage.hpp"

namespace lamina::engine {

struct Job {
  std::function<void(const Poll&)> run;
  double work;                   // multiply-adds, to begin with the longest
  bool by_team = false;          // takes all threads, alone
  std::exception_ptr failure{};  // what it threw
  bool done = false;             // it was begun, and has ended by itself
};

// Runs jobs: first those by a team, one after the other; then the members of a team each take the next one when they
// are free. A job that throws ends alone. If `poll`, which is called on the calling thread, returns true, the polls of
// all jobs return true from then on, and no other job begins.
void run_jobs(std::vector<Job>& jobs, const Poll& poll);

}  // namespace lamina::engine
