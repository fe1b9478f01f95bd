// Noise on panels: which elements are dropped, and what is added, is a function of the stream and of the element's row
// and column in the batch alone.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/random.hpp"

namespace lamina::LAMINA_ISA {

constexpr std::ptrdiff_t kNoiseWidth = 32;  // columns that eight Philox blocks serve

// 32 random words of columns 32 group … of a row. Word w of block b is column 8 w + b, whatever the instruction set.
[[gnu::always_inline]] inline void noise_words(RandomStream stream, std::uint64_t block, std::uint32_t* words) {
  for (std::ptrdiff_t first = 0; first < 8; first += kWideLanes) {
    WideVec c[4];
    philox_blocks(stream, block + static_cast<std::uint64_t>(first), c);
    for (std::ptrdiff_t w = 0; w < 4; ++w)
      for (std::ptrdiff_t lane = 0; lane < kWideLanes && first + lane < 8; ++lane)
        words[8 * w + first + lane] = static_cast<std::uint32_t>(c[w][lane]);
  }
}

// to = noise(from): dropout keeps an element with probability 1 - rate and divides it by that; gaussian adds a normal
// deviate times rate; gaussian_dropout multiplies by 1 + √(rate / (1 - rate)) times a deviate. Backward, dropout and
// gaussian_dropout are the same factors, gaussian the identity.
template <class T>
void noise(const Noise<T>& a) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::uint64_t groups = static_cast<std::uint64_t>((a.x.cols + kNoiseWidth - 1) / kNoiseWidth);
  const double kept = 1.0 - a.rate;
  const auto limit = static_cast<std::uint64_t>(a.rate * 4294967296.0);
  const T factor = static_cast<T>(kept > 0 ? 1.0 / kept : 0.0);
  const double deviation = a.kind == NoiseKind::gaussian ? a.rate : __builtin_sqrt(a.rate / (kept > 0 ? kept : 1.0));
  for (std::ptrdiff_t i = a.row_begin; i < a.row_end; ++i) {
    for (std::ptrdiff_t column = a.panel_begin * width; column < smaller(a.x.cols, a.panel_end * width);) {
      const std::uint64_t group = static_cast<std::uint64_t>(column / kNoiseWidth);
      std::uint32_t words[kNoiseWidth];
      noise_words(a.stream, (static_cast<std::uint64_t>(a.first_row + i) * groups + group) * 8, words);
      const std::ptrdiff_t end =
          smaller(smaller(a.x.cols, a.panel_end * width), (column / kNoiseWidth + 1) * kNoiseWidth);
      double normal[kNoiseWidth];
      if (a.kind != NoiseKind::dropout) {
        for (std::ptrdiff_t k = 0; k < kNoiseWidth; ++k) normal[k] = (static_cast<double>(words[k]) + 0.5) * 0x1p-32;
        for (std::ptrdiff_t k = 0; k < kNoiseWidth; k += kLanes<double>)
          store(normal + k, normal_quantile(load(normal + k)));
      }
      for (; column < end; ++column) {
        const std::ptrdiff_t panel = column / width, j = column % width, k = column % kNoiseWidth;
        const T x = a.x.data[panel * a.x.panel_stride + i * a.x.row_stride + j];
        T& y = a.y.data[panel * a.y.panel_stride + i * a.y.row_stride + j];
        if (a.kind == NoiseKind::dropout)
          y = words[k] >= limit ? x * factor : T(0);
        else if (a.kind == NoiseKind::gaussian)
          y = a.backward ? x : x + static_cast<T>(normal[k] * deviation);
        else
          y = x * static_cast<T>(1.0 + normal[k] * deviation);
      }
    }
  }
}

}  // namespace lamina::LAMINA_ISA
