#include "engine/derivatives.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "core/threads.hpp"
#include "engine/outer_products.hpp"
#include "engine/schedule.hpp"

namespace lamina::engine {
namespace {

// Passes of fewer rows read transposed kernels.
template <class T>
constexpr std::ptrdiff_t kFewRows = kPanelWidth<T> / 2;

}  // namespace

template <class T>
Range Derivatives<T>::Part::share() const {
  return share_of(rows.size(), kPanelWidth<T> / 2, index, count);
}

template <class T>
Derivatives<T>::Derivatives(std::shared_ptr<Network<T>> network, UpdateSpec<T> update)
    : network_(std::move(network)),
      kernels_(network_->kernels()),
      update_(std::move(update), kernels_, network_->all_parameters()) {}

template <class T>
std::unique_ptr<typename Derivatives<T>::Workspace> Derivatives<T>::borrow(std::ptrdiff_t capacity) {
  std::unique_ptr<Workspace> found;
  {
    const std::lock_guard<BriefLock> lock(lock_);
    for (std::size_t i = workspaces_.size(); i-- > 0 && found == nullptr;) {
      if (workspaces_[i]->tape.capacity() < capacity) continue;
      found = std::move(workspaces_[i]);
      workspaces_.erase(workspaces_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  if (found == nullptr) {
    found = std::make_unique<Workspace>(kernels_, update_.gradient_size());
    found->tape = Tape<T>(network_->boundaries(), capacity, true);
  }
  return found;
}

template <class T>
void Derivatives<T>::give_back(std::unique_ptr<Workspace> workspace) {
  constexpr std::size_t most = 16;
  const std::lock_guard<BriefLock> lock(lock_);
  if (workspaces_.size() < most) workspaces_.push_back(std::move(workspace));
}

// Copies the lines of a boundary, `factor` of them for each row, to rows that are `stride` numbers apart.
template <class T>
void Derivatives<T>::read(const Part& part, const Panels<T>& lines, std::ptrdiff_t factor, T* to,
                          std::ptrdiff_t stride) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Range mine = part.share();
  for (std::ptrdiff_t i = mine.begin * factor; i < mine.end * factor; ++i) {
    T* line = to + (part.rows.begin + i / factor) * stride + i % factor * lines.cols;
    for (std::ptrdiff_t first = 0; first < lines.cols; first += width)
      std::copy_n(lines.data + first / width * lines.panel_stride + i * lines.row_stride,
                  std::min(width, lines.cols - first), line + first);
  }
}

// Returns the transposed kernels for a pass of that many rows, or null. None of the parameters may change meanwhile.
template <class T>
const Panels<T>* Derivatives<T>::transposed(std::ptrdiff_t rows) {
  if (rows >= kFewRows<T>) return nullptr;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::lock_guard<std::mutex> lock(transposing_);
  const auto depth = static_cast<std::size_t>(network_->depth());
  transposed_memory_.resize(depth);
  transposed_.resize(depth);
  versions_.resize(depth);
  for (std::size_t l = 0; l < depth; ++l) {
    const Layer<T>& layer = network_->layer(static_cast<std::ptrdiff_t>(l));
    const Parameters<T>* parameters = layer.parameters();
    if (!layer.need_dx || parameters == nullptr || !parameters->layout().dense) continue;
    const std::int64_t version = parameters->version();
    Panels<T>& to = transposed_[l];
    if (to.data != nullptr && versions_[l] == version) continue;
    const std::ptrdiff_t in = parameters->layout().in(), out = parameters->layout().out();
    if (to.data == nullptr) {
      transposed_memory_[l] = Buffer<T>(panel_count(in, width) * width * out);
      to = {transposed_memory_[l].data(), out, in, out * width, width};
    }
    for (std::ptrdiff_t row = 0; row < in; row += width)
      kernels_.panel_transpose(
          {.from = parameters->kernel(), .to = to, .rows = {row, std::min(in, row + width)}, .columns = {0, out}});
    versions_[l] = version;
  }
  return transposed_.data();
}

// Runs rows forward. A member may then use its share of the output.
template <class T>
Pass<T> Derivatives<T>::forward(const Part& part, const Input& x, bool random, std::uint64_t draw,
                                const Panels<T>* transposed) const {
  Tape<T>& tape = part.workspace.tape;
  const Range rows = part.rows, mine = part.share();
  if (part.index == 0) {
    if (gives_entries(network_->input())) tape.reserve_entries(x.most_entries(rows.size()));
    if (tape.rows() != rows.size()) tape.set_rows(rows.size());
  }
  part.wait();
  Pass<T> pass{.kernels = kernels_,
               .tape = tape,
               .training = true,
               .random = random,
               .draw = draw,
               .offset = rows.begin,
               .batch = x.rows(),
               .ahead = {},
               .transposed = transposed};
  network_->reserve_scratch(rows.size());
  if (mine.begin < mine.end)
    fetch<T>(kernels_, x, nullptr, rows.begin, mine, tape[0], network_->boundaries().front().factor);
  part.wait();
  network_->forward(pass, part.index, part.count, part.barrier);
  return pass;
}

// Runs the rows backward. seed(row, line) writes the gradient of a line of a row of the output.
template <class T>
template <class Seed>
void Derivatives<T>::backward(const Part& part, Pass<T>& pass, const Destination<T>& to, Seed&& seed) const {
  const std::ptrdiff_t depth = network_->depth(), lines = network_->boundaries().back().factor;
  const Panels<T>& dy = pass.tape[depth].gradient;
  const Range mine{part.share().begin * lines, part.share().end * lines};
  for (std::ptrdiff_t i = mine.begin; i < mine.end; ++i) seed(part.rows.begin * lines + i, dy.data + i * dy.row_stride);
  if (mine.begin < mine.end)
    network_->layer(depth - 1).finish_gradient(pass, mine, {0, panel_count(dy.cols, kPanelWidth<T>)});
  const bool all = to.sums != nullptr || to.vector != nullptr;
  const std::ptrdiff_t lowest = network_->input_gradient() ? 0 : network_->first_trained();
  for (std::ptrdiff_t l = depth - 1; l >= lowest; --l) {
    part.wait();
    const Layer<T>& layer = network_->layer(l);
    const Layer<T>* below = l > 0 ? &network_->layer(l - 1) : nullptr;
    const Range units = share_of(layer.backward_units(pass.tape), 1, part.index, part.count);
    if (units.begin >= units.end) continue;
    if (!all || !update_.layer(l).trained()) {
      layer.backward(pass, units, below, nullptr);
    } else {
      GradientSink<T> sink(kernels_, update_, l, pass.tape.rows(), to, nullptr);
      layer.backward(pass, units, below, &sink);
    }
  }
  part.wait();
}

// Calls body(part) for segments of rows, on a team if the work, `passes` times a forward pass, is worth it: a member
// takes whole segments, or all take them together if there are fewer segments than members. Then calls
// finish(workspaces).
template <class T>
template <class Segment, class Body, class Finish>
void Derivatives<T>::for_each_segment(std::ptrdiff_t n, std::ptrdiff_t segments, double passes, const Poll* poll,
                                      Segment&& segment, Body&& body, Finish&& finish) {
  int threads = 1;
  if (!network_->host())
    threads = available_threads(plan_prediction({.rows = n,
                                                 .work = passes * network_->work(),
                                                 .parameter_bytes = network_->parameter_bytes(),
                                                 .row_bytes = network_->row_bytes(),
                                                 .layers = network_->depth(),
                                                 .segmentable = true},
                                                num_threads())
                                    .threads);
  const bool apart = segments >= threads;
  std::vector<std::unique_ptr<Workspace>> workspaces;
  for (int m = 0; m < (apart ? threads : 1); ++m) {
    workspaces.push_back(borrow(segment(0).size()));
    workspaces.back()->sums.clear();
  }
  const auto owners = static_cast<std::ptrdiff_t>(workspaces.size());
  std::atomic<bool> stopped{false};
  auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
  const auto look = [&](int index) {
    if (index != 0 || poll == nullptr || std::chrono::steady_clock::now() < next_poll) return;
    next_poll = std::chrono::steady_clock::now() + kPollInterval;
    if ((*poll)()) stopped = true;
  };
  run_together(threads, [&](int index, int count, Barrier& barrier) {
    if (!apart) {
      for (std::ptrdiff_t s = 0; s < segments; ++s) {
        look(index);
        if (barrier.wait(stopped ? 1 : 0) != 0) return;
        body(Part{*workspaces[0], segment(s), index, count, count > 1 ? &barrier : nullptr}, s);
      }
      return;
    }
    for (std::ptrdiff_t m = index; m < owners; m += count)
      for (std::ptrdiff_t s = segments * m / owners; s < segments * (m + 1) / owners && !stopped; ++s) {
        look(index);
        body(Part{*workspaces[static_cast<std::size_t>(m)], segment(s)}, s);
      }
  });
  if (!stopped) finish(threads, workspaces);
  for (auto& workspace : workspaces) give_back(std::move(workspace));
  if (stopped) throw Interrupted{};
}

template <class T>
void Derivatives<T>::pull_back(const Product& product, const Poll* poll) {
  const std::ptrdiff_t n = product.x.rows(), outputs = network_->outputs(), depth = network_->depth();
  const std::ptrdiff_t lines_in = network_->boundaries().front().factor, lines = network_->boundaries().back().factor;
  const bool random = product.draw != nullptr;
  if (n == 0) {
    if (product.gradients != nullptr) std::fill_n(product.gradients, update_.vector_size(), T(0));
    return;
  }
  const std::uint64_t draw = random ? *product.draw : network_->next_draw();
  const std::ptrdiff_t segments = network_->rows_alone(random) ? gradient_segments(n) : 1;
  const bool direct = segments == 1 && writes_directly(), sums = product.gradients != nullptr && !direct;
  const std::ptrdiff_t columns = outputs / lines;
  const Panels<T>* transposed = this->transposed(n);
  const auto body = [&](const Part& part, std::ptrdiff_t s) {
    if (sums && part.index == 0) part.workspace.to = part.workspace.sums.open(s);
    Pass<T> pass = forward(part, product.x, random, draw, transposed);
    const Destination<T> to = sums ? part.workspace.to : Destination<T>{.vector = direct ? product.gradients : nullptr};
    if (product.y != nullptr) read(part, pass.tape[depth].value, lines, product.y, outputs);
    backward(part, pass, to,
             [&](std::ptrdiff_t line, T* seed) { std::copy_n(product.dy + line * columns, columns, seed); });
    if (product.dx != nullptr) read(part, pass.tape[0].gradient, lines_in, product.dx, network_->inputs());
    if (sums && part.index == 0) part.workspace.sums.close();
  };
  const auto finish = [&](int threads, const std::vector<std::unique_ptr<Workspace>>& workspaces) {
    if (!sums) return;
    run_team(threads, [&](int index, int count) {
      const Range mine = share_of(update_.gradient_size(), kPanelWidth<T>, index, count);
      if (mine.begin >= mine.end) return;
      SegmentTree<T> tree(kernels_, mine);
      for (const auto& workspace : workspaces) tree.add(workspace->sums);
      update_.use(tree.finish(), mine, product.gradients);
    });
  };
  for_each_segment(
      n, segments, 3, poll,
      [&](std::ptrdiff_t s) -> Range {
        return {gradient_segment_begin(n, s, segments), gradient_segment_begin(n, s + 1, segments)};
      },
      body, finish);
}

template <class T>
void Derivatives<T>::jacobian(const Jacobian& wanted, const Poll* poll) {
  const std::ptrdiff_t n = wanted.x.rows(), outputs = network_->outputs();
  const std::ptrdiff_t inputs = network_->inputs(), lines_in = network_->boundaries().front().factor;
  const std::ptrdiff_t lines = network_->boundaries().back().factor, columns = outputs / lines;
  if (n == 0) return;
  // The gradients of the parameters are outer products of one row's values, or those of one row; the input's do not
  // depend on how many rows there are.
  const bool products = wanted.parameters != nullptr && has_outer_products(*network_, update_);
  const bool alone = wanted.parameters != nullptr && !products;
  const std::ptrdiff_t together = alone ? 1 : network_->rows_alone(false) ? kGradientRows : n;
  const std::uint64_t draw = network_->next_draw();
  const bool sums = alone && !writes_directly();
  const Panels<T>* transposed = this->transposed(std::min(n, together));
  const auto body = [&](const Part& part, std::ptrdiff_t) {
    if (sums && part.index == 0) part.workspace.to = part.workspace.sums.open(0);
    Pass<T> pass = forward(part, wanted.x, false, draw, transposed);
    const Range mine = part.share();
    std::vector<T> scratch;
    for (std::ptrdiff_t k = 0; k < outputs; ++k) {
      const std::ptrdiff_t output = part.rows.begin * outputs + k;
      const std::ptrdiff_t size = update_.vector_size();
      T* row = wanted.parameters == nullptr ? nullptr : wanted.parameters + output * size;
      const Destination<T> to = sums ? part.workspace.to : Destination<T>{.vector = alone ? row : nullptr};
      backward(part, pass, to, [&](std::ptrdiff_t line, T* seed) {
        std::fill_n(seed, columns, T(0));
        if (line % lines == k / columns) seed[k % columns] = T(1);
      });
      for (std::ptrdiff_t i = mine.begin; products && i < mine.end; ++i) {
        T* own = row + i * outputs * size;
        std::fill_n(own, size, T(0));
        add_outer_products(*network_, update_, pass.tape, i, part.rows.size(), scratch, own);
      }
      if (sums && part.index == 0) update_.use(part.workspace.to.sums, {0, update_.gradient_size()}, row);
      if (wanted.inputs != nullptr)
        read(part, pass.tape[0].gradient, lines_in, wanted.inputs + k * inputs, outputs * inputs);
    }
    if (sums && part.index == 0) part.workspace.sums.clear();
  };
  for_each_segment(
      n, (n + together - 1) / together, 1 + 2 * static_cast<double>(outputs), poll,
      [&](std::ptrdiff_t s) -> Range { return {s * together, std::min(n, (s + 1) * together)}; }, body,
      [](int, const auto&) {});
}

template class Derivatives<float>;
template class Derivatives<double>;

}  // namespace lamina::engine
