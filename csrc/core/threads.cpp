#include "core/threads.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/availability.hpp"
#include "core/claimed_cpus.hpp"
#include "core/cpu.hpp"
#include "core/floating_point.hpp"
#include "core/pause.hpp"
#include "core/system/system.hpp"

namespace lamina {
namespace {

// A worker that has nothing to do looks for work this long before it sleeps. Waking a sleeping thread costs 50 to
// 100 µs, so this bridges the gap between calls of a loop. A longer time would keep the core from other threads.
constexpr auto kSpinTime = std::chrono::microseconds(200);

// How long a caller waits for its workers before it sleeps. If every member has a core, it waits for kPatience, or for
// twice the time of its own share if that is more, because it would be woken on its worker's core, away from its own.
// If members must share cores, it waits for kCrowdedPatience. sched_yield() in these loops was no substitute: on Linux
// 6.18 with two cores calls then took the time of one thread, or exactly a tick of 4 ms.
constexpr auto kPatience = std::chrono::microseconds(1000);
constexpr auto kCrowdedPatience = std::chrono::microseconds(50);

// The caller's share of a job can be judged if jobs take longer than this.
constexpr auto kLongJob = std::chrono::milliseconds(2);

// A worker is taken to be stuck if it has not begun when its caller has done its own share and waited this long.
constexpr auto kGrace = std::chrono::microseconds(10);

// Spins until `done` returns true; returns false if that takes longer than `patience`.
template <class Done>
bool spin_until(std::chrono::microseconds patience, Done&& done) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  do {
    for (int spin = 0; spin < 64; ++spin) {
      if (done()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

thread_local bool in_team = false;

struct Job {
  TeamBody body;
  void* context;
  int count;
  std::atomic<int> unfinished;
  std::mutex failure_mutex;
  std::exception_ptr failure;
  ClaimedCpus cpus;

  void run_member(int index) noexcept {
    in_team = true;
    try {
      body(context, index, count);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
    in_team = false;
  }
};

// One worker's mailbox. `job` is null while there is nothing to do. The worker's affinity mask is changed only under
// the mutex: otherwise one thread could take a mask that another has narrowed for a moment for the full one, and leave
// the worker on one core.
struct alignas(64) Mailbox {
  std::atomic<Job*> job{nullptr};
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<system::Thread> thread{system::kThisThread};  // until the worker has said which it is
  // Guarded by the mutex.
  int assigned_cpu = -1;  // the core that it was moved to for the present job
  bool narrowed = false;  // the affinity mask is narrowed, and is `before` again once the thread is awake
  system::CpuSet before;
  int index = 0;

  void put(Job* next) {
    job.store(next, std::memory_order_seq_cst);
    if (asleep.load(std::memory_order_seq_cst)) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!asleep.load(std::memory_order_relaxed)) return;  // it has seen the job by itself
      if (!narrowed) narrowed = next->cpus.keep_off(thread.load(std::memory_order_relaxed), before);
      wake.notify_one();
    }
  }

  // Called by the worker when it runs: claims a core and empties the mailbox, so that rescue() leaves it alone.
  void begin(Job& current) {
    const std::lock_guard<std::mutex> lock(mutex);
    current.cpus.settle(assigned_cpu);
    assigned_cpu = -1;
    job.store(nullptr, std::memory_order_relaxed);
  }

  // Moves the worker if it has a job and has not begun. Returns false if no core is free.
  bool rescue(Job& current) {
    const std::lock_guard<std::mutex> lock(mutex);
    const system::Thread id = thread.load(std::memory_order_relaxed);
    if (id == system::kThisThread || job.load(std::memory_order_relaxed) == nullptr) return true;
    assigned_cpu = current.cpus.move(id, narrowed ? &before : nullptr);
    narrowed = false;
    return assigned_cpu >= 0;
  }

  // Waits for a job and returns it. With `look` the worker looks for work for kSpinTime before it sleeps. Starts
  // `watch` anew if it has slept.
  Job* wait_for_job(bool look, Stopwatch& watch) {
    if (look && spin_until(kSpinTime, [this] { return job.load(std::memory_order_acquire) != nullptr; }))
      return job.load();
    std::unique_lock<std::mutex> lock(mutex);
    asleep.store(true, std::memory_order_seq_cst);
    wake.wait(lock, [this] { return job.load(std::memory_order_seq_cst) != nullptr; });
    asleep.store(false, std::memory_order_relaxed);
    if (narrowed) system::set_affinity(system::kThisThread, before);
    narrowed = false;
    watch.start();
    return job.load(std::memory_order_acquire);
  }
};

Availability& availability() {
  static Availability of_the_machine;
  return of_the_machine;
}

struct Team {
  std::mutex busy;
  std::vector<std::unique_ptr<Mailbox>> mailboxes;
  std::atomic<bool> caller_asleep{false};
  std::mutex finished_mutex;
  std::condition_variable finished;
  const int cpus = usable_cpus();
  // Guarded by `busy`: whether the last job took so long that the caller's share of it can be judged, and how often in
  // a row callers have lost time.
  bool long_jobs = false;
  int losses = 0;

  [[noreturn]] void serve(Mailbox& mailbox) {
    mailbox.thread.store(system::this_thread(), std::memory_order_relaxed);
    DefaultFloatingPoint::fix();  // a thread inherits the mode of the one that started it
    Stopwatch watch;
    int losses = 0;
    watch.start();
    for (bool look = true;;) {
      Job* current = mailbox.wait_for_job(look, watch);
      mailbox.begin(*current);
      current->run_member(mailbox.index);
      if (watch.is_due()) availability().note(current->count, watch.share(), losses);
      const bool last = current->unfinished.fetch_sub(1, std::memory_order_seq_cst) == 1;
      // The job may be gone from here on.
      look = true;
      if (last && caller_asleep.load(std::memory_order_seq_cst)) {
        const std::lock_guard<std::mutex> lock(finished_mutex);
        finished.notify_one();
        look = false;  // the caller may be woken on this very core
      }
    }
  }

  // Moves the workers that have not begun their job.
  void rescue(Job& job) {
    for (int i = 1; i < job.count; ++i) {
      if (!mailboxes[static_cast<std::size_t>(i - 1)]->rescue(job)) return;
    }
  }

  void wait_for_workers(Job& job, std::chrono::steady_clock::duration own_share) {
    const auto finished_now = [&job] { return job.unfinished.load(std::memory_order_acquire) == 0; };
    const bool crowded = job.count > cpus;
    if (!crowded) {
      if (spin_until(kGrace, finished_now)) return;
      rescue(job);
    }
    const auto patience =
        crowded ? kCrowdedPatience
                : std::max(kPatience, std::chrono::duration_cast<std::chrono::microseconds>(2 * own_share));
    if (spin_until(patience, finished_now)) return;
    const auto begun = std::chrono::steady_clock::now();
    std::unique_lock<std::mutex> lock(finished_mutex);
    caller_asleep.store(true, std::memory_order_seq_cst);
    finished.wait(lock, [&job] { return job.unfinished.load(std::memory_order_seq_cst) == 0; });
    caller_asleep.store(false, std::memory_order_relaxed);
    Stopwatch::add_sleep(std::chrono::steady_clock::now() - begun);
  }

  // Starts the threads that are missing. Returns how many members are available, at most `wanted`: fewer if a thread
  // could not be started.
  int grow_to(int wanted) {
    while (static_cast<int>(mailboxes.size()) + 1 < wanted) {
      mailboxes.push_back(std::make_unique<Mailbox>());
      Mailbox* mailbox = mailboxes.back().get();
      mailbox->index = static_cast<int>(mailboxes.size());
      try {
        std::thread([this, mailbox] { serve(*mailbox); }).detach();
      } catch (const std::system_error&) {
        mailboxes.pop_back();
        break;
      }
    }
    const int available = static_cast<int>(mailboxes.size()) + 1;
    return available < wanted ? available : wanted;
  }
};

// Never destroyed: workers sleep on it until the process ends. The child of a fork has none of the workers and starts
// with a new team.
std::atomic<Team*> the_team{nullptr};

std::atomic<std::uint32_t> forks{0};

Team& team() {
  static const bool registered = [] {
    the_team.store(new Team);
    system::in_children([] {
      the_team.store(new Team);
      in_team = false;
      forks.fetch_add(1);
    });
    return true;
  }();
  static_cast<void>(registered);
  return *the_team.load();
}

std::atomic<int> chosen_threads{0};

// Parses an integer from 1 to 65535 that is followed by blanks at most, and then by the end of the text or the
// character `end`. Returns 0 for any other text.
int positive_integer(const char* text, char end) {
  char* rest = nullptr;
  const long value = std::strtol(text, &rest, 10);
  if (rest == text) return 0;
  while (*rest == ' ') ++rest;
  return (*rest == '\0' || *rest == end) && value > 0 && value < 65536 ? static_cast<int>(value) : 0;
}

int threads_from_environment() {
  if (const char* own = std::getenv("LAMINA_NUM_THREADS"); own != nullptr && *own != '\0') {
    if (const int threads = positive_integer(own, '\0')) return threads;
    throw std::invalid_argument(std::string("LAMINA_NUM_THREADS: must be a whole number from 1 to 65535; got '") + own +
                                "'.");
  }
  // May be a list, whose first number counts. An invalid value is ignored, as in OpenMP.
  if (const char* openmp = std::getenv("OMP_NUM_THREADS"); openmp != nullptr)
    if (const int threads = positive_integer(openmp, ',')) return threads;
  return usable_cpus();
}

}  // namespace

void initialize_threads() {
  team();
  num_threads();
}

int num_threads() {
  if (const int chosen = chosen_threads.load(std::memory_order_relaxed)) return chosen;
  static const int initial = threads_from_environment();
  return initial;
}

int available_threads(int wanted) { return availability().members(wanted, team().cpus); }

void adapt_to_machine(bool on) { availability().adapt(on); }

std::uint32_t fork_generation() noexcept { return forks.load(std::memory_order_relaxed); }

void set_num_threads(int threads) { chosen_threads.store(threads, std::memory_order_relaxed); }

void run_team(int threads, TeamBody body, void* context) {
  if (threads <= 1 || in_team) return body(context, 0, 1);
  Team& current = team();
  std::unique_lock<std::mutex> lock(current.busy, std::try_to_lock);
  if (!lock.owns_lock()) return body(context, 0, 1);
  const int count = current.grow_to(availability().members(threads, current.cpus));
  if (count == 1) {
    lock.unlock();
    return body(context, 0, 1);
  }
  Job job{body, context, count, {count - 1}, {}, nullptr, {}};
  job.cpus.settle();
  for (int i = 1; i < count; ++i) current.mailboxes[static_cast<std::size_t>(i - 1)]->put(&job);
  Stopwatch watch;
  if (current.long_jobs) watch.start();
  const auto begun = std::chrono::steady_clock::now();
  job.run_member(0);
  current.wait_for_workers(job, std::chrono::steady_clock::now() - begun);
  if (current.long_jobs && watch.is_due()) availability().note(count, watch.share(), current.losses);
  current.long_jobs = std::chrono::steady_clock::now() - begun > kLongJob;
  if (job.failure) std::rethrow_exception(job.failure);
}

}  // namespace lamina
