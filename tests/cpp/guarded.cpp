// Kernels and the engine with every buffer between pages that nobody may touch: a read or write outside of one ends the
// program, which prints what it was doing. Each buffer lies once at the end of its pages and once at their begin.

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/availability.hpp"
#include "core/dispatch.hpp"
#include "core/threads.hpp"
#include "networks.hpp"

namespace {

using namespace lamina;

char doing[256] = "nothing yet";
bool at_end = true;

void on_fault(int) {
  const char said[] = "FAILED: memory outside of a buffer is touched: ";
  (void)!write(1, said, sizeof said - 1);
  (void)!write(1, doing, std::strlen(doing));
  (void)!write(1, "\n", 1);
  _exit(1);
}

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

// Pages with `bytes` at their end, or at their begin, and a page that nobody may touch on either side.
struct Pages {
  char* whole;
  std::size_t length;
  char* data;

  explicit Pages(std::size_t bytes) {
    const std::size_t inside = (bytes + page() - 1) / page() * page();
    length = inside + 2 * page();
    whole = static_cast<char*>(mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (whole == MAP_FAILED || (inside > 0 && mprotect(whole + page(), inside, PROT_READ | PROT_WRITE) != 0))
      std::abort();
    data = whole + page() + (at_end ? inside - bytes : 0);
  }
};

template <class T>
class Guarded {
 public:
  explicit Guarded(std::ptrdiff_t size) : pages_(static_cast<std::size_t>(size) * sizeof(T)) {}
  explicit Guarded(const std::vector<T>& values) : Guarded(static_cast<std::ptrdiff_t>(values.size())) {
    std::copy(values.begin(), values.end(), data());
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(pages_.whole, pages_.length); }
  T* data() const { return reinterpret_cast<T*>(pages_.data); }
  Matrix<T> matrix(std::ptrdiff_t rows, std::ptrdiff_t cols) const { return {data(), rows, cols, cols}; }
  Matrix<const T> constant(std::ptrdiff_t rows, std::ptrdiff_t cols) const { return {data(), rows, cols, cols}; }

 private:
  Pages pages_;
};

template <class T>
void note(const char* what, std::ptrdiff_t n, std::ptrdiff_t in, std::ptrdiff_t out) {
  std::snprintf(doing, sizeof doing, "%s, %s, float%d, %td x %td x %td, %s", kernels().isa, what,
                static_cast<int>(8 * sizeof(T)), n, in, out, at_end ? "end" : "begin");
}

template <class T>
void dense(std::ptrdiff_t n, std::ptrdiff_t in, std::ptrdiff_t out) {
  note<T>("dense", n, in, out);
  const Kernels<T>& k = kernels_of<T>(kernels());
  const Guarded<T> x(testing::numbers<T>(n * in, 1)), w(testing::numbers<T>(in * out, 2)),
      b(testing::numbers<T>(out, 3)), y(n * out), pre(n * out), dx(n * in), dw(in * out), db(out);
  const ActivationKernel<T>& tanh = k.activations[testing::activation_of("tanh")];
  k.dense_forward(
      {x.constant(n, in), w.constant(in, out), b.data(), y.matrix(n, out), pre.matrix(n, out), &tanh, T(0)});
  k.dense_backward({x.constant(n, in), w.constant(in, out), pre.constant(n, out), y.constant(n, out), dx.matrix(n, in),
                    dw.matrix(in, out), db.data(), &tanh, T(0)});
}

template <class T>
void elements(std::ptrdiff_t n, std::ptrdiff_t cols) {
  const Kernels<T>& k = kernels_of<T>(kernels());
  const Guarded<T> x(testing::numbers<T>(n * cols, 1)), dy(testing::numbers<T>(n * cols, 2)), y(n * cols);
  for (int i = 0; i < kernels().activation_count; ++i) {
    note<T>(k.activations[i].info.name, n, cols, 0);
    const T alpha = static_cast<T>(k.activations[i].info.default_alpha);
    k.activations[i].forward(x.constant(n, cols), y.matrix(n, cols), alpha);
    k.activations[i].backward(y.constant(n, cols), dy.constant(n, cols), y.matrix(n, cols), alpha);
  }
}

template <class T>
void losses_and_metrics(std::ptrdiff_t n, std::ptrdiff_t cols) {
  const Kernels<T>& k = kernels_of<T>(kernels());
  std::vector<T> shares = testing::numbers<T>(n * cols, 1);
  for (T& value : shares) value = (value + 1) / 2;
  const Guarded<T> predictions(shares), targets(shares), weights(testing::numbers<T>(n, 3)), loss(n),
      gradient(n * cols);
  const Guarded<std::int64_t> labels(std::vector<std::int64_t>(static_cast<std::size_t>(n), cols - 1));
  const Guarded<std::uint8_t> small(std::vector<std::uint8_t>(static_cast<std::size_t>(n), 0));
  for (int i = 0; i < kernels().loss_count; ++i) {
    const LossInfo& info = k.losses[i].info;
    note<T>(info.name, n, cols, 0);
    LossArguments<T> arguments{.predictions = predictions.constant(n, cols),
                               .targets = targets.constant(n, cols),
                               .sample_weight = weights.data(),
                               .parameters = {static_cast<T>(info.default_parameter)},
                               .loss = loss.data(),
                               .gradient = gradient.matrix(n, cols)};
    k.losses[i].evaluate(arguments);
    if (!info.takes_labels) continue;
    arguments.targets = {};
    arguments.labels = {labels.data(), n, NumberType::int64};
    k.losses[i].evaluate(arguments);
    arguments.labels = {small.data(), n, NumberType::uint8};
    k.losses[i].evaluate(arguments);
  }
  for (int i = 0; i < kernels().metric_count; ++i) {
    const MetricInfo& info = k.metrics[i].info;
    note<T>(info.name, n, cols, 0);
    MetricArguments<T> arguments{.predictions = predictions.constant(n, cols),
                                 .targets = targets.constant(n, cols),
                                 .labels = {},
                                 .parameter = 1,
                                 .values = loss.data()};
    if (info.takes_labels) {
      arguments.targets = {};
      arguments.labels = {labels.data(), n, NumberType::int64};
    }
    k.metrics[i].evaluate(arguments);
  }
}

template <class T>
void vectors(std::ptrdiff_t n) {
  note<T>("sums and updates", n, 0, 0);
  const Kernels<T>& k = kernels_of<T>(kernels());
  const Guarded<T> a(testing::numbers<T>(n, 1)), b(testing::numbers<T>(n, 2));
  const Guarded<T> slots[3] = {Guarded<T>(n), Guarded<T>(n), Guarded<T>(n)};
  k.sum(a.data(), nullptr, n);
  k.sum(a.data(), b.data(), n);
  k.add(a.data(), b.data(), n);
  k.penalty(a.data(), 1, 1, n);
  k.add_penalty_gradient(a.data(), b.data(), T(1), T(1), n);
  k.scale_and_clip(b.data(), T(1), T(1), n);
  k.running_average(a.data(), b.data(), 0.5, n);
  for (const Distribution kind : {Distribution::uniform, Distribution::normal, Distribution::truncated_normal})
    k.random_fill(kind, {1, 0}, T(0), T(1), b.data(), n);
  for (int i = 0; i < kernels().optimizer_count; ++i) {
    note<T>(k.optimizers[i].info.name, n, 0, 0);
    const double settings[kMostSettings] = {0.9, 0.99, 1e-3};
    T scalars[64] = {};
    k.optimizers[i].prepare(settings, 0.01, 1, scalars);
    k.optimizers[i].update({a.data(), b.data(), {slots[0].data(), slots[1].data(), slots[2].data()}, n, scalars});
  }
}

// Training, testing and predictions: the user's arrays are guarded.
template <class T>
void engine_on(const testing::Sizes& sizes, std::ptrdiff_t rows) {
  testing::SmallNetwork<T> small(sizes, rows);
  const Guarded<T> x(small.x), y(small.y), out(rows * sizes.of[3]);
  const Guarded<std::int64_t> order(small.order);
  for (const engine::Schedule schedule :
       {engine::Schedule::stationary, engine::Schedule::chunked, engine::Schedule::by_rows})
    for (const int threads : {1, 3}) {
      note<T>("training", rows, sizes.of[0], sizes.of[3]);
      small.trainer->force(schedule, threads, false);
      for (const std::ptrdiff_t batch : {rows, (rows + 2) / 3})
        small.epoch(small.data(x.data(), y.data(), order.data()), batch);
    }
  note<T>("predictions", rows, sizes.of[0], sizes.of[3]);
  small.network->predict({engine::InputKind::dense, small.rows(x.data(), sizes.of[0])}, out.data(), nullptr, nullptr);
}

template <class T>
void check() {
  const std::ptrdiff_t ragged[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 64, 65};
  for (const std::ptrdiff_t n : {1, 2, 5, 13, 33})
    for (const std::ptrdiff_t in : ragged)
      for (const std::ptrdiff_t out : ragged) dense<T>(n, in, out);
  dense<T>(70, 300, 130);
  for (const std::ptrdiff_t n : {1, 3, 8, 17})
    for (std::ptrdiff_t cols = 1; cols <= 67; ++cols) {
      elements<T>(n, cols);
      losses_and_metrics<T>(n, cols);
    }
  for (std::ptrdiff_t n = 1; n <= 150; ++n) vectors<T>(n);
  for (const testing::Sizes& sizes : {testing::Sizes{{1, 1, 1, 1}}, testing::Sizes{{5, 13, 7, 3}},
                                      testing::Sizes{{33, 17, 65, 2}}, testing::Sizes{{31, 50, 40, 33}}})
    for (const std::ptrdiff_t rows : {1, 2, 17, 130, 300}) engine_on<T>(sizes, rows);
}

}  // namespace

// The kernel library's own memory (the linker puts these in the place of the functions that it calls). A C++ library
// that is linked in frees other memory with the same function, so the blocks that are lent are known.
namespace {
std::array<std::atomic<void*>, 4096> lent;

bool replace(void* from, void* to) {
  for (auto& block : lent) {
    void* expected = from;
    if (block.compare_exchange_strong(expected, to)) return true;
  }
  return false;
}
}  // namespace

extern "C" void __real_free(void* data);
extern "C" void* __wrap_aligned_alloc(std::size_t, std::size_t size) {
  const bool before = at_end;
  at_end = true;  // sizes are multiples of the alignment
  const Pages pages(size + 128);
  at_end = before;
  const Pages kept = pages;
  std::memcpy(pages.data, &kept, sizeof kept);  // for __wrap_free
  if (!replace(nullptr, pages.data + 128)) std::abort();
  return pages.data + 128;
}
extern "C" void __wrap_free(void* data) {
  if (data == nullptr || !replace(data, nullptr)) return __real_free(data);
  Pages pages(0);
  munmap(pages.whole, pages.length);
  std::memcpy(static_cast<void*>(&pages), static_cast<char*>(data) - 128, sizeof pages);
  munmap(pages.whole, pages.length);
}

int main() {
  std::signal(SIGSEGV, on_fault);
  std::signal(SIGBUS, on_fault);
  int kinds = 0;
  for (const std::string& isa : available_isas()) {
    select_isa(isa);
    for (const bool end : {true, false}) {
      at_end = end;
      check<float>();
      check<double>();
    }
    ++kinds;
  }
  // The pages do what they are for.
  const Guarded<char> one(1);
  if (const pid_t child = fork(); child == 0) {
    close(1);
    at_end ? one.data()[1] = 1 : one.data()[-1] = 1;
    _exit(0);
  } else {
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0) {
      std::printf("FAILED: a write outside of a buffer is not noticed\n");
      return 1;
    }
  }
  std::printf("%d instruction sets checked\n", kinds);
  return 0;
}
