#include "engine/jobs.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include "core/threads.hpp"

namespace lamina::engine {

void run_jobs(std::vector<Job>& jobs, const Poll& poll) {
  std::vector<std::size_t> order(jobs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return jobs[a].by_team != jobs[b].by_team ? jobs[a].by_team : jobs[a].work > jobs[b].work;
  });
  const auto alone =
      static_cast<std::size_t>(std::count_if(jobs.begin(), jobs.end(), [](const Job& job) { return job.by_team; }));
  std::atomic<bool> stopped{false};
  std::atomic<std::size_t> next{alone}, ended{alone};
  const Poll poll_here = [&] {
    if (!stopped && poll && poll()) stopped = true;
    return stopped.load();
  };
  const Poll poll_elsewhere = [&] { return stopped.load(); };
  const auto run = [&](Job& job, const Poll& own) {
    if (stopped) return;
    try {
      job.run(own);
      job.done = !stopped;
    } catch (const Interrupted&) {
    } catch (...) {
      job.failure = std::current_exception();
    }
  };
  for (std::size_t i = 0; i < alone; ++i) run(jobs[order[i]], poll_here);
  const auto threads =
      std::min<std::size_t>(static_cast<std::size_t>(available_threads(num_threads())), jobs.size() - alone);
  run_team(static_cast<int>(threads), [&](int index, int) {
    for (std::size_t i = next++; i < order.size(); i = next++) {
      run(jobs[order[i]], index == 0 ? poll_here : poll_elsewhere);
      ++ended;
    }
    // The caller goes on polling until the others are done.
    while (index == 0 && ended < order.size()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      poll_here();
    }
  });
}

}  // namespace lamina::engine
