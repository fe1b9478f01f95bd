// Training and predictions while one allocation after the other fails: std::bad_alloc is thrown, the weights are as
// before, and the next call gives what it would have given. And while no thread can be started: that costs time alone.

#include <dlfcn.h>
#include <pthread.h>
#include <atomic>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "core/threads.hpp"
#include "networks.hpp"

namespace {

// Allocations until one fails; negative: none does. Members of a team allocate, too.
std::atomic<long> left{-1};

bool fails() {
  long now = left.load();
  while (now >= 0)
    if (left.compare_exchange_weak(now, now - 1)) return now == 0;
  return false;
}

std::atomic<bool> no_threads{false};
std::atomic<int> refused{0};

int failures = 0;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

using namespace lamina;

template <class T>
std::vector<T> predicted(testing::SmallNetwork<T>& small) {
  std::vector<T> out(static_cast<std::size_t>(small.row_count * small.sizes.of[3]));
  small.network->predict({engine::InputKind::dense, small.rows(small.x.data(), small.sizes.of[0])}, out.data(), nullptr,
                         nullptr);
  return out;
}

// Returns how many allocations failed until the call needed no more.
template <class T, class Call>
int fail_in(const testing::Sizes& sizes, engine::Schedule schedule, int threads, const char* what, Call call) {
  for (long number = 0;; ++number) {
    const std::string where = std::string(what) + ", allocation " + std::to_string(number);
    testing::SmallNetwork<T> small(sizes), same(sizes);
    small.trainer->force(schedule, threads, false);
    same.trainer->force(schedule, threads, false);
    const std::vector<T> before = small.weights();
    bool thrown = false;
    left = number;
    try {
      call(small);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    const bool reached = left < 0;
    left = -1;
    if (!reached) return static_cast<int>(number);
    if (thrown) {
      expect(small.weights() == before, where + ": the weights have changed");
      expect(call(small) == call(same), where + ": the next call gives something else");
    } else {
      expect(call(small) == (call(same), call(same)), where + ": it was used, and changed the result");
    }
    expect(small.weights() == same.weights(), where + ": the weights afterwards are others");
  }
}

template <class T>
void check(const testing::Sizes& sizes) {
  for (const engine::Schedule schedule :
       {engine::Schedule::stationary, engine::Schedule::chunked, engine::Schedule::by_rows})
    for (const int threads : {1, 3}) {
      const int counted[] = {
          fail_in<T>(sizes, schedule, threads, "training", [](auto& small) { return small.epoch(130); }),
          fail_in<T>(sizes, schedule, threads, "testing", [](auto& small) { return small.loss(); }),
          fail_in<T>(sizes, schedule, threads, "predictions", [](auto& small) { return predicted(small); })};
      for (const int count : counted) expect(count > 0, "nothing was allocated");
      std::printf("%d, %d and %d allocations failed\n", counted[0], counted[1], counted[2]);
    }
}

void check_without_threads() {
  const testing::Sizes sizes{{30, 50, 40, 3}};
  testing::SmallNetwork<float> alone(sizes), small(sizes);
  alone.trainer->force(engine::Schedule::stationary, 1, false);
  small.trainer->force(engine::Schedule::stationary, 3, false);
  no_threads = true;
  expect(small.epoch(130) == alone.epoch(130), "without threads: another loss");
  no_threads = false;
  expect(refused > 0, "without threads: none was asked for");
  expect(small.weights() == alone.weights(), "without threads: other weights");
  expect(small.epoch(130) == alone.epoch(130), "with threads again: another loss");
}

}  // namespace

// The one that the C++ library calls.
extern "C" [[gnu::visibility("default")]] int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                             void* (*run)(void*), void* argument) {
  if (no_threads) {
    ++refused;
    return EAGAIN;
  }
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Create* const create = reinterpret_cast<Create*>(dlsym(RTLD_NEXT, "pthread_create"));
  return create(thread, attributes, run, argument);
}

[[gnu::noinline]] void* operator new(std::size_t size) {
  void* data = fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
void* operator new[](std::size_t size) { return operator new(size); }
[[gnu::noinline]] void operator delete(void* data) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete(void* data, std::size_t) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete[](void* data) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete[](void* data, std::size_t) noexcept { std::free(data); }
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __real_aligned_alloc(alignment, size);
}

int main() {
  set_num_threads(3);
  check_without_threads();  // first, while the team has no threads yet
  check<float>({{30, 50, 40, 3}});
  check<float>({{5, 13, 7, 3}});
  check<double>({{30, 50, 40, 3}});
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
