// The thread pool: a team that runs one function on several threads at once.
#pragma once

#include <cstdint>

namespace lamina {

// Called as body(context, index, count) on every member, 0 <= index < count.
using TeamBody = void (*)(void* context, int index, int count);

// Runs body on up to `threads` threads, the caller among them, and returns when all are done. If the team is busy
// with another caller's work, or threads is 1, the caller runs it alone with count == 1, so body must not assume a
// count. Safe from any thread and after fork (the child makes its own team).
void run_team(int threads, TeamBody body, void* context);

// The same for a callable.
template <class Body>
void run_team(int threads, Body&& body) {
  run_team(threads, [](void* context, int index, int count) { (*static_cast<Body*>(context))(index, count); }, &body);
}

// Makes the team and reads the environment. Called once, when the library is loaded, so that no fork can interrupt it.
// Throws std::invalid_argument if LAMINA_NUM_THREADS is not a valid number of threads.
void initialize_threads();

// Number of threads that a call may use: the one given to set_num_threads, else LAMINA_NUM_THREADS, else
// OMP_NUM_THREADS, else min(CPUs of the affinity mask, CPUs of the cgroup quota).
int num_threads();
void set_num_threads(int threads);

// How many of `wanted` threads a team would use now: no more than there are CPUs, and fewer while other programs keep
// some of them busy.
int available_threads(int wanted);
// For tests: whether teams adapt to the machine like that.
void adapt_to_machine(bool on);

// A counter that grows in the child of every fork. Locks taken in an earlier generation count as free, because the
// threads that held them are gone.
std::uint32_t fork_generation() noexcept;

}  // namespace lamina
