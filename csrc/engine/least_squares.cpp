#include "engine/least_squares.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "core/dispatch.hpp"
#include "core/threads.hpp"
#include "engine/barrier.hpp"

namespace lamina::engine {
namespace {

constexpr std::ptrdiff_t kWidth = kPanelWidth<double>;

// Numbers of a block of rows of the Jacobian. The order of sums depends on it, so it is the same on all machines.
constexpr std::ptrdiff_t kBlock = 65536;
constexpr std::ptrdiff_t kFewestRows = 16, kMostRows = 1024;

// Multiply-adds that are worth a team.
constexpr double kWorthATeam = 2e6;

constexpr double kLeastDamping = 1e-15, kMostDamping = 1e15;

// Element (row, column) of panels of doubles whose rows follow each other.
std::ptrdiff_t place_of(std::ptrdiff_t row, std::ptrdiff_t column, std::ptrdiff_t rows) {
  return column / kWidth * rows * kWidth + row * kWidth + column % kWidth;
}

// Copies line i of a boundary.
template <class T>
void read_line(const Panels<T>& from, std::ptrdiff_t i, double* to) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t first = 0; first < from.cols; first += width) {
    const T* line = from.data + first / width * from.panel_stride + i * from.row_stride;
    const std::ptrdiff_t count = std::min(width, from.cols - first);
    for (std::ptrdiff_t j = 0; j < count; ++j) to[first + j] = static_cast<double>(line[j]);
  }
}

}  // namespace

template <class T>
LeastSquares<T>::LeastSquares(std::shared_ptr<Network<T>> network, Update<T>& update, HeadSpec<T> head,
                              std::vector<bool> labels)
    : network_(std::move(network)),
      update_(update),
      head_spec_(std::move(head)),
      labels_(std::move(labels)),
      kernels_(kernels_of<double>(lamina::kernels())),
      size_(update.vector_size()),
      columns_(size_ + 1),
      panels_(panel_count(columns_, kWidth)) {
  head_spec_.metrics.clear();
  dense_ = !gives_entries(network_->input());
  for (std::ptrdiff_t l = 0; l < network_->depth(); ++l) {
    if (!network_->layer(l).repeats())
      throw std::invalid_argument(
          "LevenbergMarquardt: the loss must be the same whenever it is evaluated: there must be no noise, no batch "
          "normalization in training and no layer written in Python.");
    dense_ &= !update_.layer(l).trained() || update_.layer(l).parameters->layout().dense;
  }
}

// Rows of the batch whose rows of the Jacobian are in memory together.
template <class T>
std::ptrdiff_t LeastSquares<T>::block_rows() const {
  return std::clamp(kBlock / columns_ / network_->outputs() / kFewestRows * kFewestRows, kFewestRows, kMostRows);
}

template <class T>
void LeastSquares<T>::reserve(std::ptrdiff_t size, int members) {
  const std::ptrdiff_t rows = std::min(size, block_rows());
  if (products_.size() == 0) {
    products_ = Buffer<double>(panels_ * columns_ * kWidth);
    factor_ = Buffer<double>(panels_ * columns_ * kWidth);
    start_ = Buffer<T>(size_);
    moved_ = Buffer<T>(size_);
    solution_.resize(static_cast<std::size_t>(columns_));
  }
  if (jacobian_rows_ < rows * network_->outputs()) {
    jacobian_rows_ = rows * network_->outputs();
    jacobian_ = Buffer<double>(panels_ * jacobian_rows_ * kWidth);
  }
  if (head_ == nullptr || capacity_ < size) {
    std::vector<bool> labels(labels_.begin(), labels_.begin() + 1);
    head_ = std::make_unique<Head<T>>(head_spec_, network_->kernels(), std::move(labels), network_->boundaries().back(),
                                      size, network_->penalizes(), false);
    capacity_ = size;
  }
  std::ptrdiff_t widest = columns_;
  for (const BoundaryShape& boundary : network_->boundaries()) widest = std::max(widest, boundary.width);
  while (static_cast<int>(members_.size()) < members) members_.push_back(std::make_unique<Member>());
  for (auto& member : members_) {
    if (member->tape.capacity() >= rows) continue;
    member->tape = Tape<T>(network_->boundaries(), rows, true);
    for (auto* numbers : {&member->row, &member->input, &member->output})
      numbers->resize(static_cast<std::size_t>(widest + kWidth));
    member->scales.resize(static_cast<std::size_t>(rows * network_->boundaries().back().factor));
    if (!dense_) member->sums = Buffer<T>(update_.gradient_size());
    if (!dense_) member->values = Buffer<T>(size_);
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

// Computes the derivatives of one output by the parameters, for one row of the tape, as the member's row: the outer
// products of inputs and gradients of each dense layer, added up for the lines of the row, or what backward() stored
// for a tape of one row.
template <class T>
void LeastSquares<T>::find_row(Member& member, std::ptrdiff_t row, std::ptrdiff_t rows) const {
  std::fill_n(member.row.data(), size_, 0.0);
  for (std::ptrdiff_t l = network_->first_trained(); l < network_->depth(); ++l) {
    const LayerUpdate<T>& layer = update_.layer(l);
    if (!layer.trained()) continue;
    if (!dense_) {
      for (std::size_t tensor = 0; tensor < layer.rules.size(); ++tensor) {
        const TensorRule<T>& rule = layer.rules[tensor];
        if (!rule.trained) continue;
        unpack(layer.parameters->layout(), static_cast<int>(tensor), member.sums.data() + update_.offset(l),
               member.values.data() + rule.place);
        const std::ptrdiff_t end = rule.place + layer.parameters->layout().tensors[tensor].size();
        for (std::ptrdiff_t i = rule.place; i < end; ++i)
          member.row[static_cast<std::size_t>(i)] = static_cast<double>(member.values[i]);
      }
      continue;
    }
    const Panels<T>&x = member.tape[l].value, &dz = member.tape[l + 1].gradient;
    const std::ptrdiff_t lines = x.rows / rows;
    for (std::ptrdiff_t line = row * lines; line < (row + 1) * lines; ++line) {
      double *input = member.input.data(), *output = member.output.data();
      read_line(dz, line, output);
      if (layer.rules[0].trained) {
        read_line(x, line, input);
        double* to = member.row.data() + layer.rules[0].place;
        for (std::ptrdiff_t i = 0; i < x.cols; ++i, to += dz.cols)
          for (std::ptrdiff_t j = 0; j < dz.cols; ++j) to[j] += input[i] * output[j];
      }
      if (layer.rules.size() > 1 && layer.rules[1].trained) {
        double* to = member.row.data() + layer.rules[1].place;
        for (std::ptrdiff_t j = 0; j < dz.cols; ++j) to[j] += output[j];
      }
    }
  }
}

// Writes the member's row, and the residual, to a row of the Jacobian. Padding is zero.
template <class T>
void LeastSquares<T>::write_row(const Member& member, double scale, double residual, std::ptrdiff_t row) {
  for (std::ptrdiff_t panel = 0; panel < panels_; ++panel) {
    double* to = jacobian_.data() + place_of(row, panel * kWidth, jacobian_rows_);
    const double* from = member.row.data() + panel * kWidth;
    const std::ptrdiff_t count = std::clamp(size_ - panel * kWidth, std::ptrdiff_t{0}, kWidth);
    for (std::ptrdiff_t j = 0; j < count; ++j) to[j] = scale * from[j];
    for (std::ptrdiff_t j = count; j < kWidth; ++j) to[j] = 0;
  }
  jacobian_[place_of(row, size_, jacobian_rows_)] = residual;
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
  const auto residual_at = [&](std::ptrdiff_t i, std::ptrdiff_t k) -> double& {
    return jacobian_[place_of(first_row + i * outputs + k, size_, jacobian_rows_)];
  };
  for (std::ptrdiff_t line = 0; line < count * lines; ++line) {
    const double weight = weight_of(batch, rows.begin + line / lines, line % lines);
    const double scale = divisor == 0 ? 0 : std::sqrt(2 * weight / (static_cast<double>(columns) * divisor));
    member.scales[static_cast<std::size_t>(line)] = scale;
    read_line(gradient, line, member.output.data());
    for (std::ptrdiff_t k = 0; k < columns; ++k)
      residual_at(line / lines, line % lines * columns + k) =
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
      write_row(member, member.scales[static_cast<std::size_t>(i * lines + k / columns)], residual_at(i, k),
                first_row + i * outputs + k);
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

// Adds the products of rows of the Jacobian to the upper half of the sums; members share the pairs of panels.
template <class T>
void LeastSquares<T>::add_products(Range rows, bool first, int index, int count) {
  const Panels<double> j{jacobian_.data(), rows.end, columns_, jacobian_rows_ * kWidth, kWidth};
  const Panels<double> sums{products_.data(), columns_, columns_, columns_ * kWidth, kWidth};
  const Range mine = share_of(panels_ * (panels_ + 1) / 2, 1, index, count);
  std::ptrdiff_t pair = 0;
  for (std::ptrdiff_t above = 0; above < panels_; pair += panels_ - above, ++above) {
    const Range panels{above + std::max(mine.begin - pair, std::ptrdiff_t{0}),
                       above + std::min(mine.end - pair, panels_ - above)};
    if (panels.begin >= panels.end) continue;
    kernels_.panel_gradient({.x = j,
                             .dz = j,
                             .dw = sums,
                             .rows = rows,
                             .x_panels = {above, above + 1},
                             .panels = panels,
                             .end = first ? GradientEnd::store : GradientEnd::add});
  }
}

template <class T>
void LeastSquares<T>::find_equations(const Batch& batch, const Poll& poll) {
  const std::ptrdiff_t block = block_rows(), outputs = network_->outputs();
  const double work = static_cast<double>(batch.size * outputs) * static_cast<double>(columns_ * columns_) / 2;
  const int threads = work < kWorthATeam || network_->host() ? 1 : available_threads(num_threads());
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
      add_products({0, rows * outputs}, first == 0, index, count);
      barrier.wait();
    }
  });
  add_penalties();
}

// Adds the second derivatives of the penalties l2 Σ w² to the products, and their gradients to the last column.
template <class T>
void LeastSquares<T>::add_penalties() {
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l) {
    const LayerUpdate<T>& layer = update_.layer(l);
    for (std::size_t tensor = 0; tensor < layer.rules.size(); ++tensor) {
      const TensorRule<T>& rule = layer.rules[tensor];
      if (!rule.penalized()) continue;
      const std::ptrdiff_t size = layer.parameters->layout().tensors[tensor].size();
      for (std::ptrdiff_t i = rule.place; i < rule.place + size; ++i) {
        products_[place_of(i, i, columns_)] += 2 * rule.spec.l2;
        products_[place_of(i, size_, columns_)] += 2 * rule.spec.l2 * static_cast<double>(start_[i]);
      }
    }
  }
}

// Cholesky: Rᵀ R = products + damping I, row by row of panels; the last column becomes R⁻ᵀ Jᵀ r. Returns false if the
// matrix is not positive definite.
template <class T>
bool LeastSquares<T>::factorize(double damping) {
  const Panels<double> r{factor_.data(), columns_, columns_, columns_ * kWidth, kWidth};
  std::copy_n(products_.data(), products_.size(), factor_.data());
  for (std::ptrdiff_t i = 0; i < size_; ++i) factor_[place_of(i, i, columns_)] += damping;
  for (std::ptrdiff_t block = 0; block * kWidth < size_; ++block) {
    const std::ptrdiff_t first = block * kWidth, last = std::min(first + kWidth, size_);
    if (block > 0)
      kernels_.panel_gradient({.x = r,
                               .dz = r,
                               .dw = r,
                               .rows = {0, first},
                               .x_panels = {block, block + 1},
                               .panels = {block, panels_},
                               .end = GradientEnd::add_scaled,
                               .factor = -1});
    for (std::ptrdiff_t i = first; i < last; ++i) {
      const double square = factor_[place_of(i, i, columns_)];
      if (!(square > 0) || !std::isfinite(square)) return false;
      const double inverse = 1 / std::sqrt(square);
      for (std::ptrdiff_t panel = block; panel < panels_; ++panel) {
        double* row = factor_.data() + place_of(i, panel * kWidth, columns_);
        for (std::ptrdiff_t j = 0; j < kWidth; ++j) row[j] *= inverse;
      }
      for (std::ptrdiff_t below = i + 1; below < last; ++below) {
        const double share = factor_[place_of(i, below, columns_)];
        for (std::ptrdiff_t panel = block; panel < panels_; ++panel) {
          const double* row = factor_.data() + place_of(i, panel * kWidth, columns_);
          double* to = factor_.data() + place_of(below, panel * kWidth, columns_);
          for (std::ptrdiff_t j = 0; j < kWidth; ++j) to[j] -= share * row[j];
        }
      }
    }
  }
  return true;
}

// solution = -R⁻¹ (R⁻ᵀ Jᵀ r).
template <class T>
void LeastSquares<T>::solve() {
  for (std::ptrdiff_t i = size_ - 1; i >= 0; --i) {
    double sum = -factor_[place_of(i, size_, columns_)];
    for (std::ptrdiff_t j = i + 1; j < size_; ++j)
      sum -= factor_[place_of(i, j, columns_)] * solution_[static_cast<std::size_t>(j)];
    solution_[static_cast<std::size_t>(i)] = sum / factor_[place_of(i, i, columns_)];
  }
}

template <class T>
void LeastSquares<T>::read_parameters() {
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l)
    for (std::size_t tensor = 0; tensor < update_.layer(l).rules.size(); ++tensor)
      if (update_.layer(l).rules[tensor].trained)
        update_.layer(l).parameters->read(static_cast<int>(tensor),
                                          start_.data() + update_.layer(l).rules[tensor].place);
}

// Sets the parameters to start + rate solution.
template <class T>
void LeastSquares<T>::move(double rate) {
  for (std::ptrdiff_t i = 0; i < size_; ++i)
    moved_[i] = rate == 0
                    ? start_[i]
                    : static_cast<T>(static_cast<double>(start_[i]) + rate * solution_[static_cast<std::size_t>(i)]);
  for (std::ptrdiff_t l = 0; l < update_.depth(); ++l)
    for (std::size_t tensor = 0; tensor < update_.layer(l).rules.size(); ++tensor)
      if (update_.layer(l).rules[tensor].trained)
        update_.layer(l).parameters->write(static_cast<int>(tensor),
                                           moved_.data() + update_.layer(l).rules[tensor].place);
}

template <class T>
bool LeastSquares<T>::step(const Batch& batch, double rate, double& damping, const std::function<double()>& loss,
                           const Poll& poll) {
  const DampingSettings& settings = update_.damping();
  const double before = loss();
  reserve(batch.size, 1);
  read_parameters();
  find_equations(batch, poll);
  try {
    for (int attempt = 0; attempt < settings.attempts; ++attempt) {
      if (factorize(damping)) {
        solve();
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

template class LeastSquares<float>;
template class LeastSquares<double>;

}  // namespace lamina::engine
