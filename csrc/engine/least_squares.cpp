#include "engine/least_squares.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "core/threads.hpp"
#include "engine/barrier.hpp"
#include "engine/outer_products.hpp"

namespace lamina::engine {
namespace {

// Multiply-adds that are worth a team.
constexpr double kWorthSharing = 2e6;

constexpr double kLeastDamping = 1e-15, kMostDamping = 1e15;

}  // namespace

template <class T>
LeastSquares<T>::LeastSquares(std::shared_ptr<Network<T>> network, Update<T>& update, HeadSpec<T> head,
                              std::vector<bool> labels)
    : network_(std::move(network)),
      update_(update),
      head_spec_(std::move(head)),
      labels_(std::move(labels)),
      equations_(update.vector_size()) {
  head_spec_.metrics.clear();
  dense_ = has_outer_products(*network_, update_);
  for (std::ptrdiff_t l = 0; l < network_->depth(); ++l) {
    if (!network_->layer(l).repeats())
      throw std::invalid_argument(
          "LevenbergMarquardt: the loss must be the same whenever it is evaluated: there must be no noise, no batch "
          "normalization in training and no layer written in Python.");
  }
}

template <class T>
void LeastSquares<T>::reserve(std::ptrdiff_t size, int members) {
  const std::ptrdiff_t rows = std::min(size, equations_.block_rows(network_->outputs()));
  equations_.reserve(rows * network_->outputs());
  if (start_.size() == 0) {
    start_ = Buffer<T>(equations_.size());
    moved_ = Buffer<T>(equations_.size());
    solution_.resize(static_cast<std::size_t>(equations_.size()));
  }
  if (head_ == nullptr || capacity_ < size) {
    head_ = std::make_unique<Head<T>>(head_spec_, network_->kernels(), std::vector<bool>(1, labels_[0]),
                                      network_->boundaries().back(), size, network_->penalizes(), false);
    capacity_ = size;
  }
  std::ptrdiff_t widest = equations_.size() + kPanelWidth<double>;
  for (const BoundaryShape& boundary : network_->boundaries()) widest = std::max(widest, boundary.width);
  while (static_cast<int>(members_.size()) < members) members_.push_back(std::make_unique<Member>());
  for (auto& member : members_) {
    if (member->tape.capacity() >= rows) continue;
    member->tape = Tape<T>(network_->boundaries(), rows, true);
    for (auto* numbers : {&member->row, &member->output}) numbers->resize(static_cast<std::size_t>(widest));
    member->scales.resize(static_cast<std::size_t>(rows * network_->boundaries().back().factor));
    if (dense_) continue;
    member->sums = Buffer<T>(update_.gradient_size());
    member->values = Buffer<T>(equations_.size());
  }
}

// Runs the rows of the tape backward.
template <class T>
void LeastSquares<T>::backward(Pass<T>& pass, Member& member) const {
  const std::ptrdiff_t depth = network_->depth();
  const Panels<T>& gradient = pass.tape[depth].gradient;
  network_->layer(depth - 1).finish_gradient(pass, {0, gradient.rows}, {0, panel_count(gradient.cols, kPanelWidth<T>)});
  for (std::ptrdiff_t l = depth - 1; l >= network_->first_trained(); --l) {
    const Layer<T>* below = l > 0 ? &network_->layer(l - 1) : nullptr;
    GradientSink<T> sink(network_->kernels(), update_, l, pass.tape.rows(), {.sums = member.sums.data()}, nullptr);
    network_->layer(l).backward(pass, {0, network_->layer(l).backward_units(pass.tape)}, below,
                                dense_ || !update_.layer(l).trained() ? nullptr : &sink);
  }
}

// Computes the derivatives of one output by the parameters, for one row of the tape, as the member's row: outer
// products, or what backward() stored for a tape of one row.
template <class T>
void LeastSquares<T>::find_row(Member& member, std::ptrdiff_t row, std::ptrdiff_t rows) const {
  std::fill_n(member.row.data(), equations_.size(), 0.0);
  if (dense_) return add_outer_products(*network_, update_, member.tape, row, rows, member.lines, member.row.data());
  for (std::ptrdiff_t l = network_->first_trained(); l < network_->depth(); ++l) {
    const LayerUpdate<T>& layer = update_.layer(l);
    if (!layer.trained()) continue;
    for (std::size_t tensor = 0; tensor < layer.rules.size(); ++tensor) {
      const TensorRule<T>& rule = layer.rules[tensor];
      if (!rule.trained) continue;
      unpack(layer.parameters->layout(), static_cast<int>(tensor), member.sums.data() + update_.offset(l),
             member.values.data() + rule.place);
      const std::ptrdiff_t end = rule.place + layer.parameters->layout().tensors[tensor].size();
      for (std::ptrdiff_t i = rule.place; i < end; ++i)
        member.row[static_cast<std::size_t>(i)] = static_cast<double>(member.values[i]);
    }
  }
}

// Computes the rows of the Jacobian of some rows of the batch, from row `first_row` on.
template <class T>
void LeastSquares<T>::find_rows(const Batch& batch, double divisor, Member& member, Range rows,
                                std::ptrdiff_t first_row) {
  if (rows.begin >= rows.end) return;
  if (!dense_ && rows.size() > 1) {
    for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i)
      find_rows(batch, divisor, member, {i, i + 1}, first_row + (i - rows.begin) * network_->outputs());
    return;
  }
  Tape<T>& tape = member.tape;
  const TrainingData<T>& data = batch.data;
  const std::ptrdiff_t depth = network_->depth(), outputs = network_->outputs(), count = rows.size();
  const std::ptrdiff_t lines = network_->boundaries().back().factor, columns = outputs / lines;
  if (gives_entries(network_->input())) tape.reserve_entries(data.x.most_entries(count));
  if (tape.rows() != count) tape.set_rows(count);
  Pass<T> pass{.kernels = network_->kernels(),
               .tape = tape,
               .training = true,
               .offset = rows.begin,
               .batch = batch.size,
               .penalties = head_->penalties(),
               .ahead = {}};
  network_->reserve_scratch(count);
  fetch(network_->kernels(), data.x, data.order, batch.first + rows.begin, {0, count}, tape[0],
        network_->boundaries().front().factor);
  head_->gather(data, batch.first, rows);
  network_->forward(pass, 0, 1, nullptr);
  head_->evaluate(tape[depth], rows.begin, rows, divisor, true);
  const Panels<T>& gradient = tape[depth].gradient;
  for (std::ptrdiff_t line = 0; line < count * lines; ++line) {
    const double weight = weight_of(batch, rows.begin + line / lines, line % lines);
    const double scale = divisor == 0 ? 0 : std::sqrt(2 * weight / (static_cast<double>(columns) * divisor));
    member.scales[static_cast<std::size_t>(line)] = scale;
    read_line(gradient, line, member.output.data());
    for (std::ptrdiff_t k = 0; k < columns; ++k)
      equations_.residual(first_row + line / lines * outputs + line % lines * columns + k) =
          scale == 0 ? 0 : member.output[static_cast<std::size_t>(k)] / scale;
  }
  for (std::ptrdiff_t k = 0; k < outputs; ++k) {
    for (std::ptrdiff_t i = 0; i < gradient.rows; ++i) {
      T* line = gradient.data + i * gradient.row_stride;
      std::fill_n(line, columns, T(0));
      if (i % lines == k / columns) line[k % columns] = T(1);
    }
    backward(pass, member);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      find_row(member, i, count);
      const std::ptrdiff_t row = first_row + i * outputs + k;
      equations_.write_row(row, member.scales[static_cast<std::size_t>(i * lines + k / columns)], member.row.data(),
                           equations_.residual(row));
    }
  }
}

// The sample weight of a line of a row of the batch.
template <class T>
double LeastSquares<T>::weight_of(const Batch& batch, std::ptrdiff_t row, std::ptrdiff_t line) {
  const TrainingData<T>& data = batch.data;
  if (data.sample_weight == nullptr) return 1;
  const std::ptrdiff_t place = batch.first + row;
  const std::ptrdiff_t of = data.order == nullptr ? place : static_cast<std::ptrdiff_t>(data.order[place]);
  const auto weight =
      static_cast<double>(data.sample_weight[of * data.row_weights + (data.row_weights == 1 ? 0 : line)]);
  if (weight < 0) throw std::invalid_argument("LevenbergMarquardt: sample weights must be >= 0.");
  return weight;
}

template <class T>
void LeastSquares<T>::find_equations(const Batch& batch, const Poll& poll) {
  const std::ptrdiff_t outputs = network_->outputs(), block = equations_.block_rows(outputs);
  const auto columns = static_cast<double>(equations_.size() + 1);
  const double work = static_cast<double>(batch.size * outputs) * columns * columns / 2;
  const int threads = work < kWorthSharing || network_->host() ? 1 : available_threads(num_threads());
  reserve(batch.size, threads);
  const double divisor = head_->divisor(batch.data, batch.first, batch.size);
  auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
  run_together(threads, [&](int index, int count, Barrier& barrier) {
    for (std::ptrdiff_t first = 0; first < batch.size; first += block) {
      if (index == 0 && poll && std::chrono::steady_clock::now() >= next_poll) {
        if (poll()) throw Interrupted{};
        next_poll = std::chrono::steady_clock::now() + kPollInterval;
      }
      const std::ptrdiff_t rows = std::min(block, batch.size - first);
      const Range mine = share_of(rows, 1, index, count);
      find_rows(batch, divisor, *members_[static_cast<std::size_t>(index)], {first + mine.begin, first + mine.end},
                mine.begin * outputs);
      barrier.wait();
      equations_.add_products(rows * outputs, first == 0, index, count);
      barrier.wait();
    }
  });
  // The penalties l2 Σ w².
  const double rows_of_batch = Head<T>::rows_of(batch.data, batch.first, batch.size);
  for_each_tensor([&](Parameters<T>& parameters, int tensor, const TensorRule<T>& rule) {
    if (!rule.penalized()) return;
    const double curvature = 2 * rule.spec.l2 * (!rule.spec.per_row ? 1 : rows_of_batch == 0 ? 0 : 1 / rows_of_batch);
    const std::ptrdiff_t size = parameters.layout().tensors[static_cast<std::size_t>(tensor)].size();
    for (std::ptrdiff_t i = rule.place; i < rule.place + size; ++i) {
      equations_.diagonal(i) += curvature;
      equations_.gradient(i) += curvature * static_cast<double>(start_[i]);
    }
  });
}

// Calls body(parameters, tensor, rule) for each trained tensor.
template <class T>
template <class Body>
void LeastSquares<T>::for_each_tensor(Body&& body) const {
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l) {
    const LayerUpdate<T>& layer = update_.layer(l);
    for (std::size_t tensor = 0; tensor < layer.rules.size(); ++tensor)
      if (layer.rules[tensor].trained) body(*layer.parameters, static_cast<int>(tensor), layer.rules[tensor]);
  }
}

// Sets the parameters to start + rate solution.
template <class T>
void LeastSquares<T>::move(double rate) {
  for (std::ptrdiff_t i = 0; i < equations_.size(); ++i) {
    const double place = static_cast<double>(start_[i]) + rate * solution_[static_cast<std::size_t>(i)];
    moved_[i] = rate == 0 ? start_[i] : static_cast<T>(place);
  }
  for_each_tensor([&](Parameters<T>& parameters, int tensor, const TensorRule<T>& rule) {
    parameters.write(tensor, moved_.data() + rule.place);
  });
}

template <class T>
bool LeastSquares<T>::step(const Batch& batch, double rate, double& damping, const std::function<double()>& loss,
                           const Poll& poll) {
  const DampingSettings& settings = update_.damping();
  const double before = loss();
  reserve(batch.size, 1);
  for_each_tensor([&](Parameters<T>& parameters, int tensor, const TensorRule<T>& rule) {
    parameters.read(tensor, start_.data() + rule.place);
  });
  find_equations(batch, poll);
  try {
    for (int attempt = 0; attempt < settings.attempts; ++attempt) {
      if (equations_.solve(damping, solution_.data())) {
        move(rate);
        if (loss() < before) {
          damping = std::max(kLeastDamping, damping / settings.factor);
          return true;
        }
      }
      damping = std::min(kMostDamping, damping * settings.factor);
    }
  } catch (...) {
    move(0);
    throw;
  }
  move(0);
  return false;
}

template <class T>
void LeastSquares<T>::release() {
  head_.reset();
  members_.clear();
  equations_.release();
  capacity_ = 0;
}

template class LeastSquares<float>;
template class LeastSquares<double>;

}  // namespace lamina::engine
