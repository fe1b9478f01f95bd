// Derivatives by the parameters of dense layers, row by row: outer products of a layer's inputs and of the gradient of
// its outputs, which backward() has left on the tape.
#pragma once

#include <vector>

#include "engine/network.hpp"
#include "engine/update.hpp"

namespace lamina::engine {

// Whether the derivatives by all trained parameters are such products: their layers are dense, and so is the input.
template <class T>
bool has_outer_products(const Network<T>& network, const Update<T>& update);

// Adds the derivatives for one of the tape's `rows` rows to a vector of Update::vector_size() numbers; `lines` is
// scratch memory.
template <class T, class U>
void add_outer_products(const Network<T>& network, const Update<T>& update, const Tape<T>& tape, std::ptrdiff_t row,
                        std::ptrdiff_t rows, std::vector<U>& lines, U* to);

// Copies line i of a boundary.
template <class T, class U>
void read_line(const Panels<T>& from, std::ptrdiff_t i, U* to) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t first = 0; first < from.cols; first += width) {
    const T* line = from.data + first / width * from.panel_stride + i * from.row_stride;
    const std::ptrdiff_t count = std::min(width, from.cols - first);
    for (std::ptrdiff_t j = 0; j < count; ++j) to[first + j] = static_cast<U>(line[j]);
  }
}

}  // namespace lamina::engine
