#include "engine/derivatives.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "core/threads.hpp"
#include "engine/schedule.hpp"

namespace lamina::engine {
namespace {

// Copies the lines of a boundary to the rows of a batch, each of which has `factor` lines, `stride` numbers apart.
template <class T>
void read_lines(const Panels<T>& from, std::ptrdiff_t factor, T* to, std::ptrdiff_t stride) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t i = 0; i < from.rows; ++i) {
    T* line = to + i / factor * stride + i % factor * from.cols;
    for (std::ptrdiff_t first = 0; first < from.cols; first += width)
      std::copy_n(from.data + first / width * from.panel_stride + i * from.row_stride,
                  std::min(width, from.cols - first), line + first);
  }
}

}  // namespace

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

// Runs the rows of the tape backward, from the gradient of its output.
template <class T>
void Derivatives<T>::backward(Pass<T>& pass, T* sums, bool add) const {
  const std::ptrdiff_t depth = network_->depth();
  const Panels<T>& scores = pass.tape[depth].gradient;
  network_->layer(depth - 1).finish_gradient(pass, {0, scores.rows}, {0, panel_count(scores.cols, kPanelWidth<T>)});
  const std::ptrdiff_t lowest = network_->input_gradient() ? 0 : network_->first_trained();
  for (std::ptrdiff_t l = depth - 1; l >= lowest; --l) {
    const Layer<T>& layer = network_->layer(l);
    const Layer<T>* below = l > 0 ? &network_->layer(l - 1) : nullptr;
    const Range units{0, layer.backward_units(pass.tape)};
    if (sums == nullptr || !update_.layer(l).trained()) {
      layer.backward(pass, units, below, nullptr);
    } else {
      GradientSink<T> sink(kernels_, update_, l, pass.tape.rows(), sums + update_.offset(l), add, nullptr);
      layer.backward(pass, units, below, &sink);
    }
  }
}

// Runs rows of a batch forward, on the calling thread.
template <class T>
Pass<T> Derivatives<T>::forward(const Input& x, Range rows, bool random, std::uint64_t draw, Tape<T>& tape) const {
  if (gives_entries(network_->input())) tape.reserve_entries(x.most_entries(rows.size()));
  if (tape.rows() != rows.size()) tape.set_rows(rows.size());
  Pass<T> pass{.kernels = kernels_,
               .tape = tape,
               .training = true,
               .random = random,
               .draw = draw,
               .offset = rows.begin,
               .batch = x.rows(),
               .ahead = {}};
  network_->reserve_scratch(rows.size());
  fetch<T>(kernels_, x, nullptr, rows.begin, {0, rows.size()}, tape[0], network_->boundaries().front().factor);
  network_->forward(pass, 0, 1, nullptr);
  return pass;
}

// Calls body(member, s) for each segment of rows, on a team if the work is worth it.
template <class T>
template <class Body>
void Derivatives<T>::for_each_segment(std::ptrdiff_t segments, const std::vector<std::unique_ptr<Workspace>>& members,
                                      const Poll* poll, Body&& body) const {
  const std::ptrdiff_t threads = static_cast<std::ptrdiff_t>(members.size());
  std::atomic<bool> stopped{false};
  auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
  run_team(static_cast<int>(threads), [&](int index, int count) {
    for (std::ptrdiff_t m = index; m < threads; m += count)
      for (std::ptrdiff_t s = segments * m / threads; s < segments * (m + 1) / threads && !stopped; ++s) {
        if (index == 0 && poll != nullptr && std::chrono::steady_clock::now() >= next_poll) {
          next_poll = std::chrono::steady_clock::now() + kPollInterval;
          if ((*poll)()) stopped = true;
        }
        body(*members[static_cast<std::size_t>(m)], s);
      }
  });
  if (stopped) throw Interrupted{};
}

// Memory for as many threads as the work is worth.
template <class T>
std::vector<std::unique_ptr<typename Derivatives<T>::Workspace>> Derivatives<T>::borrow_for(std::ptrdiff_t n,
                                                                                            std::ptrdiff_t segments,
                                                                                            std::ptrdiff_t capacity,
                                                                                            double passes) {
  int threads = 1;
  if (segments > 1 && !network_->host()) {
    threads = plan_prediction({.rows = n,
                               .work = passes * network_->work(),
                               .parameter_bytes = network_->parameter_bytes(),
                               .row_bytes = network_->row_bytes(),
                               .layers = network_->depth(),
                               .segmentable = true},
                              num_threads())
                  .threads;
    threads = static_cast<int>(std::min<std::ptrdiff_t>(available_threads(threads), segments));
  }
  std::vector<std::unique_ptr<Workspace>> members;
  for (int m = 0; m < threads; ++m) members.push_back(borrow(capacity));
  return members;
}

template <class T>
std::vector<std::shared_ptr<Parameters<T>>> Derivatives<T>::pull_back(const Product& product, const Poll* poll) {
  std::vector<std::shared_ptr<Parameters<T>>> found;
  const std::ptrdiff_t n = product.x.rows(), outputs = network_->outputs(), depth = network_->depth();
  const std::ptrdiff_t lines_in = network_->boundaries().front().factor, lines = network_->boundaries().back().factor;
  const bool parameters = product.parameters && update_.gradient_size() > 0, random = product.draw != nullptr;
  Buffer<T> total;
  if (parameters) total = Buffer<T>(update_.gradient_size());
  if (parameters) std::fill_n(total.data(), total.size(), T(0));
  if (n > 0) {
    const std::uint64_t draw = random ? *product.draw : network_->next_draw();
    const std::ptrdiff_t segments = network_->rows_alone(random) ? gradient_segments(n) : 1;
    const auto segment = [&](std::ptrdiff_t s) -> Range {
      return {gradient_segment_begin(n, s, segments), gradient_segment_begin(n, s + 1, segments)};
    };
    std::vector<std::unique_ptr<Workspace>> members = borrow_for(n, segments, segment(0).size(), 3);
    for (const auto& member : members) member->sums.clear();
    for_each_segment(segments, members, poll, [&](Workspace& mine, std::ptrdiff_t s) {
      const Range rows = segment(s);
      typename SegmentSums<T>::Place place{nullptr, false};
      if (parameters) place = mine.sums.open(s);
      Pass<T> pass = forward(product.x, rows, random, draw, mine.tape);
      if (product.y != nullptr) read_lines(mine.tape[depth].value, lines, product.y + rows.begin * outputs, outputs);
      const Panels<T>& gradient = mine.tape[depth].gradient;
      const T* dy = product.dy + rows.begin * outputs;
      for (std::ptrdiff_t i = 0; i < gradient.rows; ++i)
        std::copy_n(dy + i * gradient.cols, gradient.cols, gradient.data + i * gradient.row_stride);
      backward(pass, place.sums, place.add);
      if (product.dx != nullptr)
        read_lines(mine.tape[0].gradient, lines_in, product.dx + rows.begin * network_->inputs(), network_->inputs());
      if (parameters) mine.sums.close();
    });
    if (parameters) {
      SegmentTree<T> tree(kernels_, {0, update_.gradient_size()});
      for (const auto& member : members) tree.add(member->sums);
      std::copy_n(tree.finish(), update_.gradient_size(), total.data());
    }
    for (auto& member : members) give_back(std::move(member));
  }
  if (!parameters) return found;
  found.resize(static_cast<std::size_t>(update_.depth()));
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l) {
    if (!update_.layer(l).trained()) continue;
    auto& gradient = found[static_cast<std::size_t>(l)];
    gradient = std::make_shared<Parameters<T>>(update_.layer(l).parameters->layout());
    std::copy_n(total.data() + update_.offset(l), gradient->size(), gradient->data());
  }
  return found;
}

template <class T>
void Derivatives<T>::jacobian(const Jacobian& wanted, const Poll* poll) {
  const std::ptrdiff_t n = wanted.x.rows(), outputs = network_->outputs(), depth = network_->depth();
  const std::ptrdiff_t inputs = network_->inputs(), lines_in = network_->boundaries().front().factor;
  if (n == 0) return;
  // The gradients of the parameters are those of one row; the input's do not depend on how many rows there are.
  const std::ptrdiff_t together = wanted.parameters != nullptr ? 1 : network_->rows_alone(false) ? kGradientRows : n;
  const std::ptrdiff_t segments = (n + together - 1) / together;
  const std::uint64_t draw = network_->next_draw();
  std::vector<std::unique_ptr<Workspace>> members =
      borrow_for(n, segments, std::min(n, together), 1 + 2 * static_cast<double>(outputs));
  for (const auto& member : members) member->sums.clear();
  for_each_segment(segments, members, poll, [&](Workspace& mine, std::ptrdiff_t s) {
    const Range rows{s * together, std::min(n, (s + 1) * together)};
    Pass<T> pass = forward(wanted.x, rows, false, draw, mine.tape);
    const Panels<T>& gradient = mine.tape[depth].gradient;
    T* sums = nullptr;
    if (wanted.parameters != nullptr) {
      mine.sums.clear();
      sums = mine.sums.open(0).sums;
      std::fill_n(sums, update_.gradient_size(), T(0));
    }
    for (std::ptrdiff_t k = 0; k < outputs; ++k) {
      for (std::ptrdiff_t i = 0; i < gradient.rows; ++i) {
        T* line = gradient.data + i * gradient.row_stride;
        std::fill_n(line, gradient.cols, T(0));
        const std::ptrdiff_t column = k - i * gradient.cols % outputs;  // of this line of the row
        if (column >= 0 && column < gradient.cols) line[column] = T(1);
      }
      backward(pass, sums, false);
      if (wanted.inputs != nullptr)
        read_lines(mine.tape[0].gradient, lines_in, wanted.inputs + (rows.begin * outputs + k) * inputs,
                   outputs * inputs);
      for (const Place& place : wanted.places) {
        const Parameters<T>& block = *update_.layer(place.layer).parameters;
        unpack(block.layout(), place.tensor, sums + update_.offset(place.layer),
               wanted.parameters + (rows.begin * outputs + k) * wanted.width + place.offset);
      }
    }
  });
  for (auto& member : members) give_back(std::move(member));
}

template class Derivatives<float>;
template class Derivatives<double>;

}  // namespace lamina::engine
