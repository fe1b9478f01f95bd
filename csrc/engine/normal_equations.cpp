#include "engine/normal_equations.hpp"

#include <algorithm>
#include <cmath>

#include "core/dispatch.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {
namespace {

// Numbers of a block, and its rows.
constexpr std::ptrdiff_t kBlock = 65536;
constexpr std::ptrdiff_t kFewestRows = 16, kMostRows = 1024;

}  // namespace

NormalEquations::NormalEquations(std::ptrdiff_t size)
    : kernels_(kernels_of<double>(lamina::kernels())), size_(size), panels_(panel_count(size + 1, kWidth)) {}

std::ptrdiff_t NormalEquations::block_rows(std::ptrdiff_t together) const {
  return std::clamp(kBlock / (size_ + 1) / together / kFewestRows * kFewestRows, kFewestRows, kMostRows);
}

void NormalEquations::reserve(std::ptrdiff_t rows) {
  if (products_.size() == 0) {
    products_ = Buffer<double>(panels_ * (size_ + 1) * kWidth);
    factor_ = Buffer<double>(panels_ * (size_ + 1) * kWidth);
  }
  if (rows <= capacity_) return;
  rows_ = Buffer<double>(panels_ * rows * kWidth);
  capacity_ = rows;
}

void NormalEquations::release() {
  for (Buffer<double>* memory : {&rows_, &products_, &factor_}) *memory = Buffer<double>();
  capacity_ = 0;
}

void NormalEquations::write_row(std::ptrdiff_t row, double scale, const double* derivatives, double residual) {
  for (std::ptrdiff_t panel = 0; panel < panels_; ++panel) {
    double* to = rows_.data() + place_of(row, panel * kWidth, capacity_);
    const double* from = derivatives + panel * kWidth;
    for (std::ptrdiff_t j = 0; j < kWidth; ++j) to[j] = scale * from[j];
  }
  double* last = rows_.data() + place_of(row, (panels_ - 1) * kWidth, capacity_);
  const std::ptrdiff_t count = std::max(size_ - (panels_ - 1) * kWidth, std::ptrdiff_t{0});
  for (std::ptrdiff_t j = count; j < kWidth; ++j) last[j] = 0;
  this->residual(row) = residual;
}

void NormalEquations::add_products(std::ptrdiff_t rows, bool first, int index, int count) {
  const Panels<double> j{rows_.data(), rows, size_ + 1, capacity_ * kWidth, kWidth};
  const Panels<double> sums{products_.data(), size_ + 1, size_ + 1, (size_ + 1) * kWidth, kWidth};
  const Range mine = share_of(panels_ * (panels_ + 1) / 2, 1, index, count);  // of the pairs of panels
  std::ptrdiff_t pair = 0;
  for (std::ptrdiff_t above = 0; above < panels_; pair += panels_ - above, ++above) {
    const Range panels{above + std::max(mine.begin - pair, std::ptrdiff_t{0}),
                       above + std::min(mine.end - pair, panels_ - above)};
    if (panels.begin >= panels.end) continue;
    kernels_.panel_gradient({.x = j,
                             .dz = j,
                             .dw = sums,
                             .rows = {0, rows},
                             .x_panels = {above, above + 1},
                             .panels = panels,
                             .end = first ? GradientEnd::store : GradientEnd::add});
  }
}

// RᵀR = JᵀJ + damping I, a row of panels at a time; the last column becomes R⁻ᵀ Jᵀr.
bool NormalEquations::factorize(double damping) {
  const std::ptrdiff_t rows = size_ + 1;
  const Panels<double> r{factor_.data(), rows, rows, rows * kWidth, kWidth};
  std::copy_n(products_.data(), products_.size(), factor_.data());
  for (std::ptrdiff_t i = 0; i < size_; ++i) factor_[place_of(i, i, rows)] += damping;
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
      const double square = factor_[place_of(i, i, rows)];
      if (!(square > 0) || !std::isfinite(square)) return false;
      const double inverse = 1 / std::sqrt(square);
      for (std::ptrdiff_t panel = block; panel < panels_; ++panel) {
        double* row = factor_.data() + place_of(i, panel * kWidth, rows);
        for (std::ptrdiff_t j = 0; j < kWidth; ++j) row[j] *= inverse;
      }
      for (std::ptrdiff_t below = i + 1; below < last; ++below) {
        const double share = factor_[place_of(i, below, rows)];
        for (std::ptrdiff_t panel = block; panel < panels_; ++panel) {
          const double* row = factor_.data() + place_of(i, panel * kWidth, rows);
          double* to = factor_.data() + place_of(below, panel * kWidth, rows);
          for (std::ptrdiff_t j = 0; j < kWidth; ++j) to[j] -= share * row[j];
        }
      }
    }
  }
  return true;
}

bool NormalEquations::solve(double damping, double* solution) {
  if (!factorize(damping)) return false;
  const std::ptrdiff_t rows = size_ + 1;
  for (std::ptrdiff_t i = size_ - 1; i >= 0; --i) {
    double sum = -factor_[place_of(i, size_, rows)];
    for (std::ptrdiff_t j = i + 1; j < size_; ++j) sum -= factor_[place_of(i, j, rows)] * solution[j];
    solution[i] = sum / factor_[place_of(i, i, rows)];
  }
  return true;
}

template <class T>
void add_outer_product(const T* x, std::ptrdiff_t n, const T* y, std::ptrdiff_t m, T* to) {
  for (std::ptrdiff_t i = 0; i < n; ++i, to += m)
    for (std::ptrdiff_t j = 0; j < m; ++j) to[j] += x[i] * y[j];
}
template void add_outer_product(const float*, std::ptrdiff_t, const float*, std::ptrdiff_t, float*);
template void add_outer_product(const double*, std::ptrdiff_t, const double*, std::ptrdiff_t, double*);

}  // namespace lamina::engine
