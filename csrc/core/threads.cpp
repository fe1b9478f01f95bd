#include "core/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/cpu.hpp"

namespace lamina {
namespace {

// A worker that has nothing to do looks for work this long before it sleeps. Waking a sleeping thread
// costs 50 to 100 µs, so this bridges the gap between calls of a loop; longer, it would take the core
// away from others.
constexpr auto kSpinTime = std::chrono::microseconds(200);

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool in_team = false;

struct Job {
  TeamBody body;
  void* context;
  int count;
  std::atomic<int> unfinished;
  std::mutex failure_mutex;
  std::exception_ptr failure;

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

// One worker's mailbox. `job` is null while there is nothing to do.
struct alignas(64) Mailbox {
  std::atomic<Job*> job{nullptr};
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
  int index = 0;

  void put(Job* next) {
    job.store(next, std::memory_order_seq_cst);
    if (asleep.load(std::memory_order_seq_cst)) {
      const std::lock_guard<std::mutex> lock(mutex);
      wake.notify_one();
    }
  }

  Job* wait_for_job() {
    const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
    for (;;) {
      for (int spin = 0; spin < 64; ++spin) {
        if (Job* found = job.load(std::memory_order_acquire)) return found;
        pause_briefly();
      }
      if (std::chrono::steady_clock::now() > deadline) break;
    }
    std::unique_lock<std::mutex> lock(mutex);
    asleep.store(true, std::memory_order_seq_cst);
    wake.wait(lock, [this] { return job.load(std::memory_order_seq_cst) != nullptr; });
    asleep.store(false, std::memory_order_relaxed);
    return job.load(std::memory_order_acquire);
  }

  [[noreturn]] void serve() {
    for (;;) {
      Job* current = wait_for_job();
      job.store(nullptr, std::memory_order_relaxed);
      current->run_member(index);
      current->unfinished.fetch_sub(1, std::memory_order_release);  // the job may be gone after this
    }
  }
};

struct Team {
  std::mutex busy;
  std::vector<std::unique_ptr<Mailbox>> mailboxes;

  // Returns how many members are available, at most `wanted`: fewer where a thread could not be started.
  int grow_to(int wanted) {
    while (static_cast<int>(mailboxes.size()) + 1 < wanted) {
      auto mailbox = std::make_unique<Mailbox>();
      mailbox->index = static_cast<int>(mailboxes.size()) + 1;
      try {
        std::thread([box = mailbox.get()] { box->serve(); }).detach();
      } catch (const std::system_error&) {
        break;
      }
      mailboxes.push_back(std::move(mailbox));
    }
    const int available = static_cast<int>(mailboxes.size()) + 1;
    return available < wanted ? available : wanted;
  }
};

// Never destroyed: workers sleep on it until the process ends. After fork the child, which has none of the
// workers, starts with a new one.
std::atomic<Team*> the_team{nullptr};

Team& team() {
  static const bool registered = [] {
    the_team.store(new Team);
    pthread_atfork(nullptr, nullptr, [] {
      the_team.store(new Team);
      in_team = false;
    });
    return true;
  }();
  static_cast<void>(registered);
  return *the_team.load();
}

std::atomic<int> chosen_threads{0};

int positive_integer(const char* text) {
  if (text == nullptr) return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  const bool complete = end != text && (*end == '\0' || *end == ',');  // OMP_NUM_THREADS may be a list
  return complete && value > 0 && value < 65536 ? static_cast<int>(value) : 0;
}

}  // namespace

int num_threads() {
  if (const int chosen = chosen_threads.load(std::memory_order_relaxed)) return chosen;
  static const int initial = [] {
    if (const int own = positive_integer(std::getenv("LAMINA_NUM_THREADS"))) return own;
    if (const int openmp = positive_integer(std::getenv("OMP_NUM_THREADS"))) return openmp;
    return usable_cpus();
  }();
  return initial;
}

void set_num_threads(int threads) { chosen_threads.store(threads, std::memory_order_relaxed); }

void run_team(int threads, TeamBody body, void* context) {
  if (threads <= 1 || in_team) return body(context, 0, 1);
  Team& current = team();
  std::unique_lock<std::mutex> lock(current.busy, std::try_to_lock);
  if (!lock.owns_lock()) return body(context, 0, 1);
  const int count = current.grow_to(threads);
  Job job{body, context, count, {count - 1}, {}, nullptr};
  for (int i = 1; i < count; ++i) current.mailboxes[static_cast<std::size_t>(i - 1)]->put(&job);
  job.run_member(0);
  for (long spin = 0; job.unfinished.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < 20000)
      pause_briefly();
    else
      sched_yield();
  }
  if (job.failure) std::rethrow_exception(job.failure);
}

}  // namespace lamina
