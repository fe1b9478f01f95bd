#include "engine/network.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "core/dispatch.hpp"
#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "engine/schedule.hpp"

namespace lamina::engine {
namespace {

// Rows of one forward pass of a prediction, at most, if rows are independent.
constexpr std::ptrdiff_t kPredictionRows = 192;

// A network is treated as narrow if its layers on panels would take so many times the multiply-adds that they need:
// forward and gradients of the weights are padded to whole panels of outputs, propagation is not.
constexpr double kWorthNarrow = 1.25;

// Fewer rows leave most lanes empty if vectors run along them.
constexpr std::ptrdiff_t kFewestNarrowRows = 8;

// A member's share of lines, if each row of the batch has `factor` of them. It begins with the first line of a row, at
// a multiple of half a panel's width.
template <class T>
Range lines_together(std::ptrdiff_t lines, std::ptrdiff_t factor, int index, int count) {
  const std::ptrdiff_t rows = factor == 0 ? 0 : lines / factor, half = kPanelWidth<T> / 2;
  const Range share = share_of(rows, half / std::gcd(half, factor), index, count);
  return {share.begin * factor, share.end * factor};
}

}  // namespace

template <class T>
Network<T>::Network(const Kernels<T>& kernels, std::ptrdiff_t width, std::ptrdiff_t factor,
                    std::vector<std::unique_ptr<Layer<T>>> layers, const std::vector<bool>& trained, InputKind input,
                    bool input_gradient)
    : kernels_(kernels),
      layers_(std::move(layers)),
      boundaries_(layers_.size() + 1),
      input_(input),
      inputs_(is_indices(input) ? factor : width * factor) {
  boundaries_[0].width = width;
  boundaries_[0].factor = is_bags(input) ? 1 : factor;
  boundaries_[0].entries = is_bags(input) ? factor : 1;
  first_trained_ = depth();
  double needed = 0, padded = 0;
  for (std::ptrdiff_t l = depth(); l-- > 0;)
    if (trained[static_cast<std::size_t>(l)]) first_trained_ = l;
  for (std::ptrdiff_t l = 0; l < depth(); ++l) {
    const auto i = static_cast<std::size_t>(l);
    layers_[i]->at = l;
    if (layers_[i]->columns() != 0 && layers_[i]->columns() != boundaries_[i].width)
      throw std::invalid_argument("layer " + std::to_string(l) + " was made for " +
                                  std::to_string(layers_[i]->columns()) + " columns; the one before gives " +
                                  std::to_string(boundaries_[i].width) + ".");
    if (layers_[i]->reads_indices() && boundaries_[i].factor != boundaries_[0].factor)
      throw std::invalid_argument("layer " + std::to_string(l) + " reads a mask of " +
                                  std::to_string(boundaries_[0].factor) + " steps; the one before gives " +
                                  std::to_string(boundaries_[i].factor) + " steps.");
    const bool trained_below = input_gradient || l > first_trained_;
    layers_[i]->set_boundaries(boundaries_[i], boundaries_[i + 1], trained_below);
    boundaries_[i].has_gradient = trained_below;
    work_ += layers_[i]->work();
    const std::ptrdiff_t in = boundaries_[i].width, out = boundaries_[i + 1].width,
                         whole = panel_count(out, kPanelWidth<T>) * kPanelWidth<T>;
    needed += static_cast<double>(in * 3 * out);
    padded += static_cast<double>(in * (2 * whole + out));
    host_ |= layers_[i]->host();
    random_ |= layers_[i]->always_random();
    penalizes_ |= layers_[i]->keeps_lines_together();
    for (const bool training : {false, true}) {
      rows_alone_[training] &= layers_[i]->rows_alone(training);
      narrow_[training] &= layers_[i]->narrow(training || l + 1 < depth());
    }
    if (Parameters<T>* parameters = layers_[i]->parameters()) {
      parameter_bytes_ += parameters->size() * static_cast<std::ptrdiff_t>(sizeof(T));
      gates_.push_back(&parameters->gate());
    }
  }
  for (bool& narrow : narrow_) narrow &= padded >= kWorthNarrow * needed;
  gates_ = sorted_gates(std::move(gates_));
  boundaries_.back().row_major = true;
  for (const BoundaryShape& boundary : boundaries_)
    row_bytes_ += boundary.factor * boundary.width * static_cast<std::ptrdiff_t>(sizeof(T)) *
                  (1 + (boundary.has_gradient ? 1 + boundary.transposed : 0) + boundary.pre);
}

template <class T>
std::vector<Parameters<T>*> Network<T>::all_parameters() const {
  std::vector<Parameters<T>*> found;
  for (const auto& layer : layers_) found.push_back(layer->parameters());
  return found;
}

template <class T>
void Network<T>::reserve_scratch(std::ptrdiff_t rows) const {
  std::size_t bytes = 0;
  for (const auto& layer : layers_) bytes = std::max(bytes, layer->scratch_bytes(rows));
  scratch(Scratch::gradient, bytes);
  std::ptrdiff_t factor = 1;
  for (const BoundaryShape& boundary : boundaries_) factor = std::max(factor, boundary.factor);
  scratch(Scratch::sums, BlockSums<T>::bytes({rows, rows * factor}, kPanelWidth<T> * kPanelWidth<T>));
}

template <class T>
void Network<T>::forward(Pass<T>& pass, int index, int count, Barrier* barrier) const {
  Interrupt* interrupt = pass.interrupt;
  constexpr std::ptrdiff_t grain = kPanelWidth<T> / 2;
  bool divided_by_rows = false;
  for (std::ptrdiff_t l = 0; l < depth(); ++l) {
    const Layer<T>& layer = this->layer(l);
    const Panels<T>& output = pass.tape[l + 1].value;
    const std::ptrdiff_t rows = output.rows, panels = panel_count(output.cols, kPanelWidth<T>);
    // A layer that writes one number for each row of the batch gets all of a row's lines and panels in one call.
    const bool together = layer.keeps_lines_together();
    const bool by_rows =
        together || ((count > 1 || interrupt != nullptr) && layer.forward_by_rows(pass.tape.rows(), count));
    // Members that continue with the same rows need no barrier. If the lines of a row stay together, the division into
    // rows depends on the factor, and the barrier remains.
    const std::ptrdiff_t factor = boundaries_[static_cast<std::size_t>(l + 1)].factor;
    const bool apart = together && factor > 1;
    if (count > 1 && l > 0 && !(by_rows && divided_by_rows && pass.tape[l].value.rows == rows && !apart))
      barrier->wait();
    divided_by_rows = by_rows && !apart;
    const Range mine = apart     ? lines_together<T>(rows, factor, index, count)
                       : by_rows ? share_of(rows, grain, index, count)
                                 : share_of(panels, 1, index, count);
    const bool whole = interrupt == nullptr || layer.host();
    const std::ptrdiff_t piece = whole ? mine.size() : (by_rows ? 2 * kPanelWidth<T> : 1);
    for (std::ptrdiff_t begin = mine.begin; begin < mine.end; begin += piece) {
      if (interrupt != nullptr && interrupt->stop()) break;
      const Range part{begin, std::min(mine.end, begin + piece)};
      layer.forward(pass, by_rows ? part : Range{0, rows}, by_rows ? Range{0, panels} : part);
    }
  }
  // Members that divided the last layer by rows of the batch may continue with their rows; else they must wait.
  if (count > 1 && !(divided_by_rows && boundaries_.back().factor == 1)) barrier->wait();
}

template <class T>
void Network<T>::forward_narrow(const NarrowPass<T>& pass, bool row_major) const {
  for (std::ptrdiff_t l = 0; l < depth(); ++l) layer(l).forward_narrow(pass);
  if (!row_major) return;
  pass.tape.read_output(kernels_);
  layer(depth() - 1).finish_narrow_output(kernels_, pass.tape.output().value);
}

template <class T>
void Network<T>::settle(Pass<T>& pass, int index, int count) const {
  for (std::ptrdiff_t l = 0; l < depth(); ++l)
    layer(l).settle(pass, share_of(panel_count(pass.tape[l + 1].value.cols, kPanelWidth<T>), 1, index, count));
}

template <class T>
std::unique_ptr<typename Network<T>::Tapes> Network<T>::borrow_tapes(std::ptrdiff_t capacity, std::ptrdiff_t entries,
                                                                     bool narrow) const {
  std::unique_ptr<Tapes> tapes = kept_.take();
  if (narrow && tapes->narrow.capacity() < capacity) tapes->narrow = NarrowTape<T>(boundaries_, capacity, false);
  if (!narrow && tapes->panels.capacity() < capacity) tapes->panels = Tape<T>(boundaries_, capacity, false);
  if (gives_entries(input_)) tapes->panels.reserve_entries(entries);
  return tapes;
}

template <class T>
Network<T>::Kept::~Kept() {
  for (Slot& slot : slots_) delete slot.tapes.load(std::memory_order_acquire);
}

template <class T>
std::unique_ptr<typename Network<T>::Tapes> Network<T>::Kept::take() {
  const std::size_t own = thread_group() * slots_.size() / kThreadGroups;
  for (std::size_t k = 0; k < slots_.size(); ++k) {
    Slot& slot = slots_[(own + k) % slots_.size()];
    if (slot.tapes.load(std::memory_order_relaxed) == nullptr) continue;
    if (Tapes* found = slot.tapes.exchange(nullptr, std::memory_order_acquire)) return std::unique_ptr<Tapes>(found);
  }
  auto made = std::make_unique<Tapes>();
  made->slot = own;
  return made;
}

template <class T>
void Network<T>::Kept::keep(std::unique_ptr<Tapes> tapes) {
  for (std::size_t k = 0; k < slots_.size() && tapes != nullptr; ++k) {
    Slot& slot = slots_[(tapes->slot + k) % slots_.size()];
    Tapes* empty = nullptr;
    if (slot.tapes.compare_exchange_strong(empty, tapes.get(), std::memory_order_release, std::memory_order_relaxed))
      static_cast<void>(tapes.release());
  }
}

template <class T>
void Network<T>::return_tapes(std::unique_ptr<Tapes> tapes) const {
  kept_.keep(std::move(tapes));
}

template <class T>
void Network<T>::predict_narrow(const Input& rows, std::ptrdiff_t first, std::ptrdiff_t count, T* out,
                                NarrowTape<T>& tape) const {
  if (tape.rows() != count) tape.set_rows(count);
  kernels_.gather({.source = rows.dense, .first = first, .count = count, .to = tape[0].value, .transposed = true});
  forward_narrow({kernels_, tape, false}, true);
  const Panels<T>& output = tape.output().value;
  constexpr std::ptrdiff_t size = sizeof(T);
  const Rows from{.base = output.data,
                  .rows = count,
                  .cols = output.cols,
                  .row_bytes = output.row_stride * size,
                  .type = kNumberType<T>};
  kernels_.gather({.source = from,
                   .count = count,
                   .to = {out + first * output.cols, count, output.cols, kPanelWidth<T>, output.cols}});
}

template <class T>
void Network<T>::predict_rows(const Input& rows, std::ptrdiff_t first, std::ptrdiff_t count, T* out, Tape<T>& tape,
                              const std::uint64_t* draw, std::uint64_t number, int index, int members,
                              Barrier* barrier) const {
  constexpr std::ptrdiff_t size = sizeof(T), width = kPanelWidth<T>;
  Pass<T> pass{.kernels = kernels_,
               .tape = tape,
               .training = false,
               .random = draw != nullptr,
               .draw = draw == nullptr ? number : *draw,
               .offset = first,
               .ahead = {}};
  const Rows& dense = rows.dense;
  const char* begin = static_cast<const char*>(dense.base) + first * dense.row_bytes;
  const bool in_place = rows.kind == InputKind::dense && dense.type == kNumberType<T> && dense.offsets == nullptr &&
                        dense.row_bytes == dense.cols * size && reinterpret_cast<std::uintptr_t>(begin) % size == 0;
  if (index == 0) {
    if (tape.rows() != count || !in_place) tape.set_rows(count);  // also points the input at the tape's memory again
    const BoundaryShape &input = boundaries_.front(), &output = boundaries_.back();
    if (in_place)
      tape[0].value = {const_cast<T*>(reinterpret_cast<const T*>(begin)), count * input.factor, input.width, width,
                       input.width};
    else
      fetch<T>(kernels_, rows, nullptr, first, {0, count}, tape[0], input.factor);
    tape[depth()].value = {out + first * outputs(), count * output.factor, output.width, width, output.width};
  }
  if (members > 1) barrier->wait();
  forward(pass, index, members, barrier);
}

template <class T>
Access Network<T>::access_for(const std::uint64_t* draw) const {
  const bool learns = draw != nullptr && !rows_alone_[true];  // may update running moments
  return learns ? Access::exclusive : Access::shared;
}

template <class T>
void Network<T>::predict(const Input& rows, T* out, const Poll* poll, const std::uint64_t* draw) const {
  if (rows.rows() == 0) return;
  const Passage passage(gates_, access_for(draw), poll);
  predict_inside(rows, out, draw);
}

template <class T>
bool Network<T>::try_predict(const Input& rows, T* out, const std::uint64_t* draw) const {
  if (rows.rows() == 0) return true;
  const Passage passage(gates_, access_for(draw), Passage::AtOnce{});
  if (!passage.entered()) return false;
  predict_inside(rows, out, draw);
  return true;
}

template <class T>
void Network<T>::predict_inside(const Input& rows, T* out, const std::uint64_t* draw) const {
  struct Changed {
    const Network& network;
    bool learns;
    ~Changed() {
      for (const auto& layer : network.layers_)
        if (learns && layer->parameters() != nullptr) layer->parameters()->changed();
    }
  } const changed{*this, access_for(draw) == Access::exclusive};
  const bool alone = rows_alone_[draw != nullptr];
  const std::uint64_t number = next_draw();
  const std::ptrdiff_t n = rows.rows(), entries = rows.most_entries(alone ? kPredictionRows : n);
  StepPlan plan = plan_prediction({.rows = n,
                                   .work = work_,
                                   .parameter_bytes = parameter_bytes_,
                                   .row_bytes = row_bytes_,
                                   .layers = depth(),
                                   .segmentable = alone},
                                  host_ ? 1 : num_threads());
  if (plan.threads > 1) plan.threads = available_threads(plan.threads);
  const bool narrow = this->narrow(false) && n >= kFewestNarrowRows;
  const auto predict_share = [&](Range mine) {  // on the calling thread alone
    if (mine.begin >= mine.end) return;
    const std::ptrdiff_t chunks = alone ? (mine.size() + kPredictionRows - 1) / kPredictionRows : 1;
    std::unique_ptr<Tapes> tapes = borrow_tapes((mine.size() + chunks - 1) / chunks, entries, narrow);
    for (std::ptrdiff_t c = 0; c < chunks; ++c) {
      const std::ptrdiff_t begin = mine.begin + mine.size() * c / chunks,
                           end = mine.begin + mine.size() * (c + 1) / chunks;
      if (narrow)
        predict_narrow(rows, begin, end - begin, out, tapes->narrow);
      else
        predict_rows(rows, begin, end - begin, out, tapes->panels, draw, number, 0, 1, nullptr);
    }
    return_tapes(std::move(tapes));
  };
  if (plan.threads == 1) return predict_share({0, n});
  if (plan.schedule == Schedule::chunked || narrow) {
    run_team(plan.threads, [&](int index, int count) { predict_share(share_of(n, 1, index, count)); });
    return;
  }
  const std::ptrdiff_t chunks = alone ? (n + kPredictionRows - 1) / kPredictionRows : 1;
  std::unique_ptr<Tapes> tapes = borrow_tapes((n + chunks - 1) / chunks, entries, false);
  run_together(plan.threads, [&](int index, int count, Barrier& barrier) {
    for (std::ptrdiff_t c = 0; c < chunks; ++c) {
      if (c > 0 && count > 1) barrier.wait();
      predict_rows(rows, n * c / chunks, n * (c + 1) / chunks - n * c / chunks, out, tapes->panels, draw, number, index,
                   count, &barrier);
    }
  });
  return_tapes(std::move(tapes));
}

template class Network<float>;
template class Network<double>;

}  // namespace lamina::engine
