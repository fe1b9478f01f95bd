// Noise on panels. Which elements are dropped and which values are added depends only on the stream and on an element's
// row and column in the batch.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/activations.hpp"
#include "kernels/random.hpp"

namespace lamina::LAMINA_ISA {

// What SELU approaches far below zero.
constexpr double kLeastSelu = -Selu::kScaleAlpha<double>;

constexpr std::ptrdiff_t kNoiseWidth = 32;  // columns that get their words from eight Philox blocks

// Computes the 32 random words for a group of 32 columns of a row, from eight blocks. Word w of block b belongs to
// column 8 w + b, whatever the instruction set.
[[gnu::always_inline]] inline void noise_words(RandomStream stream, std::uint64_t block, std::uint32_t* words) {
  typedef std::uint32_t Narrow __attribute__((vector_size(4 * kWideLanes)));
  for (std::ptrdiff_t first = 0; first < 8; first += kWideLanes) {
    WideVec c[4];
    philox_blocks(stream, block + static_cast<std::uint64_t>(first), c);
    for (std::ptrdiff_t w = 0; w < 4; ++w) {
      const Narrow narrow = __builtin_convertvector(c[w], Narrow);
      __builtin_memcpy(words + 8 * w + first, &narrow, sizeof narrow);
    }
  }
}

// Applies noise to contiguous elements of a row; words[k] is the random word of element k.
template <class T>
[[gnu::noinline]] void noise_run(const Noise<T>& a, const T* x, T* y, const std::uint32_t* words,
                                 std::ptrdiff_t count) {
  const double kept = 1.0 - a.rate;
  const double limit = a.rate * 4294967296.0;
  const std::uint32_t below = limit >= 4294967295.0 ? 0xffffffffu : static_cast<std::uint32_t>(limit);
  if (a.kind == NoiseKind::dropout) {
    const T factor = static_cast<T>(kept > 0 ? 1.0 / kept : 0.0);
    for (std::ptrdiff_t k = 0; k < count; ++k) y[k] = words[k] >= below ? x[k] * factor : T(0);
    return;
  }
  if (a.kind == NoiseKind::alpha_dropout) {
    const double scale = 1.0 / __builtin_sqrt(kept * (1.0 + a.rate * kLeastSelu * kLeastSelu));
    const double shift = a.backward ? 0.0 : -scale * kLeastSelu * a.rate;
    const T factor = static_cast<T>(scale), plus = static_cast<T>(shift),
            dropped = static_cast<T>(a.backward ? 0.0 : scale * kLeastSelu + shift);
    for (std::ptrdiff_t k = 0; k < count; ++k) y[k] = words[k] >= below ? x[k] * factor + plus : dropped;
    return;
  }
  if (a.kind == NoiseKind::gaussian && a.backward) {
    for (std::ptrdiff_t k = 0; k < count; ++k) y[k] = x[k];
    return;
  }
  const bool adds = a.kind == NoiseKind::gaussian;
  const double deviation = adds ? a.rate : __builtin_sqrt(a.rate / kept);
  double normal[kNoiseWidth] = {};
  for (std::ptrdiff_t k = 0; k < count; ++k) normal[k] = (static_cast<double>(words[k]) + 0.5) * 0x1p-32;
  for (std::ptrdiff_t k = 0; k < count; k += kLanes<double>) store(normal + k, normal_quantile(load(normal + k)));
  for (std::ptrdiff_t k = 0; k < count; ++k)
    y[k] = adds ? x[k] + static_cast<T>(normal[k] * deviation) : x[k] * static_cast<T>(1.0 + normal[k] * deviation);
}

// y = noise(x): dropout keeps an element with probability 1 - rate and divides it by that; alpha_dropout makes SELU's
// least value of those that are dropped, and scales and shifts all; gaussian adds a normal deviate times rate;
// gaussian_dropout multiplies by 1 + √(rate / (1 - rate)) times a deviate. Backward, all multiply by the same factors,
// those of gaussian are 1.
template <class T>
void noise(const Noise<T>& a) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t groups = (a.x.cols + kNoiseWidth - 1) / kNoiseWidth;
  const std::ptrdiff_t end = smaller(a.x.cols, a.panels.end * width);
  for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
    const auto row = static_cast<std::uint64_t>((a.first_row + i) / a.alike * groups);
    for (std::ptrdiff_t column = a.panels.begin * width; column < end;) {
      const std::ptrdiff_t group = column / kNoiseWidth, last = smaller(end, (group + 1) * kNoiseWidth);
      std::uint32_t words[kNoiseWidth];
      noise_words(a.stream, (row + static_cast<std::uint64_t>(group)) * 8, words);
      for (; column < last; column = smaller(last, (column / width + 1) * width)) {
        const std::ptrdiff_t panel = column / width;
        noise_run(a, a.x.data + panel * a.x.panel_stride + i * a.x.row_stride,
                  a.y.data + panel * a.y.panel_stride + i * a.y.row_stride, words + column % kNoiseWidth,
                  smaller(last, (panel + 1) * width) - column);
      }
    }
  }
}

}  // namespace lamina::LAMINA_ISA
