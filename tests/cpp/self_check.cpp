// Checks the kernel library without Python, under every instruction set that this machine can run: enough to detect a
// miscompilation by another compiler or on another architecture. The full tests are the Python ones.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/availability.hpp"
#include "core/dispatch.hpp"
#include "core/threads.hpp"
#include "engine/choice.hpp"
#include "engine/layers/dense.hpp"
#include "engine/pace.hpp"
#include "engine/training.hpp"
#include "networks.hpp"

namespace {

using lamina::Matrix;
using lamina::testing::numbers;
using lamina::testing::Sizes;
using lamina::testing::SmallNetwork;

int failures = 0;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

template <class T>
double tolerance(std::ptrdiff_t terms) {
  return static_cast<double>(terms + 8) * (sizeof(T) == 4 ? 1.2e-7 : 2.3e-16);
}

template <class T>
void check_dense(std::ptrdiff_t n, std::ptrdiff_t in, std::ptrdiff_t out) {
  const lamina::Kernels<T>& k = lamina::kernels_of<T>(lamina::kernels());
  const std::string where = std::string(lamina::kernels().isa) + " " + std::to_string(n) + "x" + std::to_string(in) +
                            "x" + std::to_string(out) + " float" + std::to_string(8 * sizeof(T));
  const std::vector<T> x = numbers<T>(n * in, 1), w = numbers<T>(in * out, 2), b = numbers<T>(out, 3),
                       dz = numbers<T>(n * out, 4);
  std::vector<T> y(x.size() + w.size() + dz.size()), dx(x.size()), dw(w.size()), db(b.size());
  const auto at = [](const std::vector<T>& m, std::ptrdiff_t index) {
    return static_cast<double>(m[static_cast<std::size_t>(index)]);
  };
  k.dense_forward(
      {{x.data(), n, in, in}, {w.data(), in, out, out}, b.data(), {y.data(), n, out, out}, {}, nullptr, T(0)});
  k.dense_backward({{x.data(), n, in, in},
                    {w.data(), in, out, out},
                    {dz.data(), n, out, out},
                    {},
                    {dx.data(), n, in, in},
                    {dw.data(), in, out, out},
                    db.data(),
                    nullptr,
                    T(0)});
  double worst_y = 0, worst_dx = 0, worst_dw = 0, worst_db = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i)
    for (std::ptrdiff_t j = 0; j < out; ++j) {
      double sum = at(b, j);
      for (std::ptrdiff_t p = 0; p < in; ++p) sum += at(x, i * in + p) * at(w, p * out + j);
      worst_y = std::fmax(worst_y, std::fabs(sum - at(y, i * out + j)));
    }
  for (std::ptrdiff_t i = 0; i < n; ++i)
    for (std::ptrdiff_t p = 0; p < in; ++p) {
      double sum = 0;
      for (std::ptrdiff_t j = 0; j < out; ++j) sum += at(dz, i * out + j) * at(w, p * out + j);
      worst_dx = std::fmax(worst_dx, std::fabs(sum - at(dx, i * in + p)));
    }
  for (std::ptrdiff_t p = 0; p < in; ++p)
    for (std::ptrdiff_t j = 0; j < out; ++j) {
      double sum = 0;
      for (std::ptrdiff_t i = 0; i < n; ++i) sum += at(x, i * in + p) * at(dz, i * out + j);
      worst_dw = std::fmax(worst_dw, std::fabs(sum - at(dw, p * out + j)));
    }
  for (std::ptrdiff_t j = 0; j < out; ++j) {
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < n; ++i) sum += at(dz, i * out + j);
    worst_db = std::fmax(worst_db, std::fabs(sum - at(db, j)));
  }
  expect(worst_y <= tolerance<T>(in), where + ": y");
  expect(worst_dx <= tolerance<T>(out), where + ": dx");
  expect(worst_dw <= tolerance<T>(n), where + ": dw");
  expect(worst_db <= tolerance<T>(n), where + ": db");
}

// The products of narrow layers, and that what lies beyond the last row has no influence.
template <class T>
void check_narrow(std::ptrdiff_t n, std::ptrdiff_t in, std::ptrdiff_t out) {
  constexpr std::ptrdiff_t width = lamina::kPanelWidth<T>;
  const lamina::Kernels<T>& k = lamina::kernels_of<T>(lamina::kernels());
  if (k.narrow_product == nullptr) return;
  const std::string where = std::string(lamina::kernels().isa) + " narrow " + std::to_string(n) + "x" +
                            std::to_string(in) + "x" + std::to_string(out) + " float" + std::to_string(8 * sizeof(T));
  const auto memory = [&](unsigned seed) {
    std::vector<T> values = numbers<T>(lamina::panel_count(n, width) * width * (width + 4), seed);
    return values;
  };
  const auto view = [&](std::vector<T>& values, std::ptrdiff_t columns) -> lamina::Panels<T> {
    return {values.data(), columns, n, (width + 4) * width, width};
  };
  const auto at = [](const lamina::Panels<T>& m, std::ptrdiff_t column, std::ptrdiff_t row) -> T& {
    return m.data[row / width * m.panel_stride + column * width + row % width];
  };
  std::vector<T> x_memory = memory(1), z_memory = memory(2), dx_memory = memory(3), w = numbers<T>(in * width, 4),
                 dw(w.size(), T(0));
  const lamina::Panels<T> x = view(x_memory, in), z = view(z_memory, out), dx = view(dx_memory, in);
  k.narrow_product({.w = w.data(), .transposed = true, .x = x, .z = z});
  double worst_z = 0, worst_dx = 0, worst_dw = 0;
  const auto weight = [&](std::ptrdiff_t i, std::ptrdiff_t j) { return static_cast<double>(w[i * width + j]); };
  const auto number = [](T value) { return static_cast<double>(value); };
  for (std::ptrdiff_t r = 0; r < n; ++r)
    for (std::ptrdiff_t j = 0; j < out; ++j) {
      double sum = 0;
      for (std::ptrdiff_t i = 0; i < in; ++i) sum += number(at(x, i, r)) * weight(i, j);
      worst_z = std::fmax(worst_z, std::fabs(sum - number(at(z, j, r))));
    }
  expect(worst_z <= tolerance<T>(in), where + ": z");
  // The same bits as panel_product's.
  std::vector<T> rows(static_cast<std::size_t>(n * width)), products(rows.size());
  for (std::ptrdiff_t r = 0; r < n; ++r)
    for (std::ptrdiff_t i = 0; i < in; ++i) rows[static_cast<std::size_t>(r * width + i)] = at(x, i, r);
  k.panel_product({.a = {rows.data(), n, in, width, width},
                   .b = {w.data(), in, out, width, width},
                   .c = {products.data(), n, out, width, width},
                   .rows = {0, n},
                   .panels = {0, 1}});
  bool same = true;
  for (std::ptrdiff_t r = 0; r < n; ++r)
    for (std::ptrdiff_t j = 0; j < out; ++j) same &= products[static_cast<std::size_t>(r * width + j)] == at(z, j, r);
  expect(same, where + ": z has other bits than panel_product");

  k.narrow_product({.w = w.data(), .transposed = false, .x = z, .z = dx});
  for (std::ptrdiff_t r = 0; r < n; ++r)
    for (std::ptrdiff_t i = 0; i < in; ++i) {
      double sum = 0;
      for (std::ptrdiff_t j = 0; j < out; ++j) sum += number(at(z, j, r)) * weight(i, j);
      worst_dx = std::fmax(worst_dx, std::fabs(sum - number(at(dx, i, r))));
    }
  expect(worst_dx <= 8 * tolerance<T>(out), where + ": dx");

  const auto spoil = [&](const lamina::Panels<T>& m, std::ptrdiff_t columns) {
    for (std::ptrdiff_t r = n; r < lamina::panel_count(n, width) * width; ++r)
      for (std::ptrdiff_t c = 0; c < columns; ++c) at(m, c, r) = T(NAN);
  };
  spoil(x, in);
  spoil(z, out);
  const lamina::NarrowGradient<T> gradient{.x = x, .dz = z, .dw = {dw.data(), in, out, width, width}, .add = false};
  k.narrow_gradient(gradient);
  lamina::NarrowGradient<T> twice = gradient;
  twice.add = true;
  std::vector<T> once = dw;
  k.narrow_gradient(twice);
  bool untouched = true, doubled = true;
  for (std::ptrdiff_t i = 0; i < in; ++i)
    for (std::ptrdiff_t j = 0; j < width; ++j) {
      const auto place = static_cast<std::size_t>(i * width + j);
      if (j >= out) {
        untouched &= dw[place] == T(0);
        continue;
      }
      double sum = 0;
      for (std::ptrdiff_t r = 0; r < n; ++r) sum += number(at(x, i, r)) * number(at(z, j, r));
      worst_dw = std::fmax(worst_dw, std::isnan(once[place]) ? 1 : std::fabs(sum - number(once[place])));
      doubled &= dw[place] == once[place] + once[place];
    }
  expect(worst_dw <= 8 * tolerance<T>(n), where + ": dw");
  expect(doubled, where + ": dw is not added");
  expect(untouched, where + ": memory beyond dw is written");
}

template <class T>
void check_activations() {
  const lamina::Kernels<T>& k = lamina::kernels_of<T>(lamina::kernels());
  const std::string where = std::string(lamina::kernels().isa) + " float" + std::to_string(8 * sizeof(T)) + ": ";
  const std::ptrdiff_t n = 1001;
  std::vector<T> x(static_cast<std::size_t>(n)), y(x.size()), v(x.size());
  for (std::ptrdiff_t i = 0; i < n; ++i)
    x[static_cast<std::size_t>(i)] = static_cast<T>(static_cast<double>(i - 500) / 50.0);
  const struct {
    const char* name;
    double (*reference)(double);
  } cases[] = {
      {"exponential", [](double t) { return std::exp(t); }},
      {"sigmoid", [](double t) { return 1 / (1 + std::exp(-t)); }},
      {"tanh", [](double t) { return std::tanh(t); }},
      {"softplus", [](double t) { return std::log1p(std::exp(t)); }},
      {"gelu", [](double t) { return t * 0.5 * std::erfc(-t / std::sqrt(2.0)); }},
      {"mish", [](double t) { return t * std::tanh(std::log1p(std::exp(t))); }},
      {"elu", [](double t) { return t > 0 ? t : std::expm1(t); }},
  };
  for (const auto& c : cases) {
    const auto& kernel = k.activations[lamina::testing::activation_of(c.name)];
    kernel.forward({x.data(), 1, n, n}, {y.data(), 1, n, n}, static_cast<T>(kernel.info.default_alpha));
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = c.reference(static_cast<double>(x[i]));
      worst = std::fmax(worst, std::fabs(static_cast<double>(y[i]) - exact) / std::fmax(std::fabs(exact), 1e-30));
    }
    // 10 ULP, and for GELU the error of the reference, which takes erfc of a rounded argument.
    expect(worst <= (sizeof(T) == 4 ? 1.5e-6 : 2e-14), where + c.name + " " + std::to_string(worst));
  }
}

void check_threads() {
  const lamina::Kernels<float>& k = lamina::kernels().f32;
  const std::ptrdiff_t n = 200, in = 300, out = 400;
  const std::vector<float> x = numbers<float>(n * in, 5), w = numbers<float>(in * out, 6);
  std::vector<float> one(static_cast<std::size_t>(n * out)), many(one.size());
  for (const int threads : {1, 2, 3, 5, 8}) {
    lamina::set_num_threads(threads);
    std::vector<float>& y = threads == 1 ? one : many;
    for (int repeat = 0; repeat < 20; ++repeat) {
      k.dense_forward(
          {{x.data(), n, in, in}, {w.data(), in, out, out}, nullptr, {y.data(), n, out, out}, {}, nullptr, 0.0f});
      expect(threads == 1 || one == many, std::to_string(threads) + " threads give other bits");
    }
  }
}

constexpr Sizes kSmall{{30, 50, 40, 3}}, kNarrow{{5, 13, 7, 3}};

template <class T>
void check_engine(const Sizes& sizes) {
  using lamina::engine::Schedule;
  const std::string where = std::string(lamina::kernels().isa) + " engine float" + std::to_string(8 * sizeof(T)) + " " +
                            std::to_string(sizes.of[0]) + "-… ";
  for (const std::ptrdiff_t batch : {9, 130, 700}) {
    std::vector<T> expected;
    for (const Schedule schedule : {Schedule::stationary, Schedule::chunked})
      for (const int threads : {1, 2, 3}) {
        SmallNetwork<T> small(sizes);
        small.trainer->force(schedule, threads, threads == 3);
        const double first = small.epoch(batch), second = small.epoch(batch);
        expect(second < first, where + "does not learn");
        if (expected.empty()) expected = small.weights();
        expect(small.weights() == expected, where + std::to_string(batch) + " rows: other bits");
      }
    // Rows have the same predictions alone and together.
    SmallNetwork<T> small(sizes);
    const std::ptrdiff_t in = sizes.of[0], out = sizes.of[3];
    std::vector<T> together(static_cast<std::size_t>(batch * out)), alone(together.size());
    const auto rows = [&](std::ptrdiff_t first, std::ptrdiff_t count) -> lamina::Rows {
      lamina::Rows all = small.rows(small.x.data(), in);
      all.base = small.x.data() + first * in;
      all.rows = count;
      return all;
    };
    small.network->predict({lamina::engine::InputKind::dense, rows(0, batch)}, together.data(), nullptr);
    for (std::ptrdiff_t i = 0; i < batch; ++i)
      small.network->predict({lamina::engine::InputKind::dense, rows(i, 1)}, alone.data() + i * out, nullptr);
    expect(together == alone, where + std::to_string(batch) + " rows: other predictions than one by one");
  }
  if (sizeof(T) == 4) return;
  SmallNetwork<T> small(sizes);
  lamina::engine::Totals totals{{0.0}, {0.0}};
  std::vector<T> vector(static_cast<std::size_t>(small.trainer->vector_size()));
  small.trainer->gradients(small.data(), 0, true, vector.data(), totals, {});
  const T* place = vector.data();
  for (std::size_t l = 0; l < 3; ++l) {
    const lamina::engine::Layout& layout = small.parameters[l]->layout();
    lamina::engine::Parameters<T> gradient(layout);
    for (int tensor = 0; tensor < 2; ++tensor) {
      gradient.write(tensor, place);
      place += layout.tensors[static_cast<std::size_t>(tensor)].size();
    }
    T* values = small.parameters[l]->data();
    for (const std::ptrdiff_t i :
         {0, 3, static_cast<int>(lamina::kPanelWidth<T>) + 1, 2 * static_cast<int>(lamina::kPanelWidth<T>) + 1}) {
      const T kept = values[i], move = T(1e-5);
      values[i] = kept + move;
      const double above = small.loss();
      values[i] = kept - move;
      const double below = small.loss();
      values[i] = kept;
      const double numeric = (above - below) / 2e-5, analytic = static_cast<double>(gradient.data()[i]);
      expect(std::fabs(numeric - analytic) < 1e-8 + 1e-5 * std::fabs(numeric), where + "gradient");
    }
  }
}

}  // namespace

// Nanoseconds of a step on one thread and on the team.
struct StepTimes {
  double alone, together;
};

// Returns how many of 500,000 steps Pace runs on one thread if a step takes `before`, and `after` from number `change`
// on. Every seventh timed stretch takes `disturbance` times as long.
std::ptrdiff_t steps_alone(StepTimes before, double disturbance, std::ptrdiff_t change = 500'000,
                           StepTimes after = {0, 0}) {
  lamina::engine::Pace pace;
  std::ptrdiff_t done = 0, alone = 0, trials = 0;
  while (done < 500'000) {
    const auto stretch = pace.next(2, 10e3, 500'000 - done);
    const StepTimes times = done < change ? before : after;
    double took = (stretch.threads == 1 ? times.alone : times.together) * static_cast<double>(stretch.steps);
    if (stretch.timed && ++trials % 7 == 0) took *= disturbance;
    pace.note(stretch, took);
    done += stretch.steps;
    if (stretch.threads == 1) alone += stretch.steps;
  }
  return alone;
}

void check_pace() {
  const StepTimes near{30e3, 20e3}, far{15e3, 40e3};
  expect(steps_alone(near, 1) < 5'000, "pace: the team is faster");
  expect(steps_alone(near, 5) < 20'000, "pace: the team is faster, some trials are disturbed");
  expect(steps_alone(far, 1) > 480'000, "pace: one thread is faster");
  expect(steps_alone(far, 5) > 450'000, "pace: one thread is faster, some trials are disturbed");
  expect(steps_alone(near, 1, 300'000, far) > 190'000, "pace: the team becomes slower");
  expect(steps_alone(far, 1, 300'000, {60e3, 20e3}) < 310'000, "pace: one thread becomes slower");
}

// Nanoseconds of a step under each schedule.
using ScheduleTimes = std::array<double, 3>;

// Returns how many times longer than under the fastest schedules 100,000 steps take, chosen among by measurement, if
// the model plans `planned`. From the middle on they take `after`. Every fifth turn takes `disturbance` times as long.
double excess(lamina::engine::Schedule planned, const ScheduleTimes& before, double disturbance = 1,
              ScheduleTimes after = {}) {
  if (after[0] == 0) after = before;
  constexpr std::ptrdiff_t steps = 100'000;
  const lamina::engine::StepPlan plan{planned, 2, 7};
  lamina::engine::ScheduleChoice choice;
  double spent = 0, least = 0;
  int turns = 0;
  for (std::ptrdiff_t done = 0; done < steps;) {
    const ScheduleTimes& times = done < steps / 2 ? before : after;
    const double fastest = *std::min_element(times.begin(), times.end());
    auto turn = choice.next(plan, 200, steps - done);
    turn.steps = std::min(turn.steps, std::max<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(10e6 / fastest)));
    const double took = times[static_cast<std::size_t>(turn.schedule)] * static_cast<double>(turn.steps);
    choice.note(turn, ++turns % 5 == 0 ? disturbance * took : took);
    spent += took;
    least += fastest * static_cast<double>(turn.steps);
    done += turn.steps;
  }
  return spent / least;
}

void check_choice() {
  using lamina::engine::Schedule;
  for (const double step : {20e3, 1e6}) {
    const ScheduleTimes near{step, 1.15 * step, 0.9 * step}, far{step, 4 * step, 5 * step};
    for (const Schedule planned : {Schedule::stationary, Schedule::chunked, Schedule::by_rows}) {
      expect(excess(planned, near) < 1.02, "choice: the fastest of three");
      expect(excess(planned, near, 3) < 1.1, "choice: the fastest of three, some trials are disturbed");
    }
    expect(excess(Schedule::stationary, far) < 1.02, "choice: what is hopeless is hardly tried");
    expect(excess(Schedule::by_rows, near, 1, {step, 0.6 * step, step}) < 1.35, "choice: another one becomes faster");
  }
}

// One of many members waits for a CPU while the others report that they do not.
void check_availability() {
  constexpr int members = 16;
  lamina::Availability availability;
  expect(availability.members(members, members) == members, "all members at first");
  expect(availability.members(members, 3) == 3, "no more members than CPUs");
  int undisturbed = 0, disturbed = 0;
  for (int report = 0; report < 2; ++report) {
    expect(availability.members(members, members) == members, "one loss may be an accident");
    availability.note(members, 0.5, disturbed);
    for (int other = 1; other < members; ++other) availability.note(members, 1, undisturbed);
  }
  expect(availability.members(members, members) == members - 1, "a member that waits for a CPU is given up");
  expect(availability.members(4, members) == 4, "fewer members than are left");
  availability.adapt(false);
  expect(availability.members(members, 3) == members, "all members if nothing adapts");
  // A member of two is worth waiting for as long as it runs for most of the time.
  lamina::Availability pair;
  int losses = 0;
  for (int report = 0; report < 4; ++report) pair.note(2, 0.7, losses);
  expect(pair.members(2, 2) == 2, "a member of two that runs for 0.7 of the time");
  for (int report = 0; report < 2; ++report) pair.note(2, 0.4, losses);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  expect(pair.members(2, 2) == 2, "both after the process was idle");
  // For 200 ms now, because the first loss is not long ago. Others may have taken the CPU meanwhile: then it is tried
  // again.
  bool ran = false;
  for (int attempt = 0; attempt < 300 && !ran; ++attempt) {
    pair.members(2, 2);
    pair.note(2, 0.4, losses);
    const auto begun = std::chrono::steady_clock::now();
    const std::clock_t used = std::clock();
    while (std::chrono::steady_clock::now() - begun < std::chrono::milliseconds(30)) {
    }
    ran = std::clock() - used > CLOCKS_PER_SEC * 18 / 1000;
    if (ran) expect(pair.members(2, 2) == 1, "one of two while the process is not idle");
  }
  if (!ran) std::puts("not checked, because others took most of the CPU for nine seconds: a process that is not idle");
}

// Whether members divide the rows of a layer depends on which way leaves fewer of them without work.
void check_division() {
  const auto by_rows = [](std::ptrdiff_t in, std::ptrdiff_t out, std::ptrdiff_t rows, int threads) {
    const lamina::engine::Layout layout{true, {{in, out}, {1, out}}};
    const auto parameters = std::make_shared<lamina::engine::Parameters<float>>(layout);
    return lamina::engine::Dense<float>(parameters, 0, 0.0, lamina::kernels().f32).forward_by_rows(rows, threads);
  };
  expect(!by_rows(3000, 64, 16, 2), "two panels, one group of rows: panels are divided");
  expect(by_rows(20, 64, 32, 2), "both ways are balanced, and the weights small: rows are divided");
  expect(!by_rows(3000, 64, 32, 2), "both ways are balanced, and the weights large: panels are divided");
  expect(by_rows(3000, 10, 32, 2), "one panel: rows are divided");
  expect(!by_rows(784, 128, 512, 2), "many panels are divided");
}

int main() {
  check_division();
  check_choice();
  check_pace();
  check_availability();
  for (const std::string& isa : lamina::available_isas()) {
    lamina::select_isa(isa);
    for (const std::ptrdiff_t n : {1, 5, 13, 40})
      for (const std::ptrdiff_t in : {1, 16, 65, 400})
        for (const std::ptrdiff_t out : {1, 10, 33, 130}) {
          check_dense<float>(n, in, out);
          check_dense<double>(n, in, out);
        }
    check_activations<float>();
    check_activations<double>();
    check_threads();
    for (const Sizes& sizes : {kSmall, kNarrow}) {
      check_engine<float>(sizes);
      check_engine<double>(sizes);
    }
    for (const std::ptrdiff_t n : {1, 7, 16, 33, 100, 128})
      for (const std::ptrdiff_t in : {1, 5, 16})
        for (const std::ptrdiff_t out : {1, 3, 7, 11, 16}) {
          check_narrow<float>(n, in, out);
          check_narrow<double>(n, in, out);
        }
    check_narrow<float>(128, 32, 32);
    std::printf("%s checked\n", isa.c_str());
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
