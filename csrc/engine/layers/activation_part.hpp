// An activation of the kernel table, applied to some rows and panels of a boundary.
#pragma once

#include <algorithm>
#include <limits>

#include "core/kernel_table.hpp"
#include "engine/tape.hpp"

namespace lamina::engine {

template <class T>
Matrix<T> block_of(const Panels<T>& m, Range rows, std::ptrdiff_t panel) {
  const std::ptrdiff_t width = kPanelWidth<T>;
  return {m.data + panel * m.panel_stride + rows.begin * m.row_stride, rows.size(),
          std::min(width, m.cols - panel * width), m.row_stride};
}
template <class T>
Matrix<const T> constant_block_of(const Panels<T>& m, Range rows, std::ptrdiff_t panel) {
  const Matrix<T> block = block_of(m, rows, panel);
  return {block.data, block.rows, block.cols, block.stride};
}

// `index`: in the kernel table; 0 is the identity. A dense layer applies relu within its product.
template <class T>
struct ActivationPart {
  int index = 0;
  T alpha = T(0);

  bool linear() const { return index == 0; }
  const ActivationKernel<T>& kernel(const Kernels<T>& kernels) const { return kernels.activations[index]; }
  bool from_input(const Kernels<T>& kernels) const { return kernel(kernels).info.derivative_of == DerivativeOf::input; }

  void forward(const Kernels<T>& kernels, const Panels<T>& from, const Panels<T>& to, Range rows, Range panels) const {
    for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel)
      kernel(kernels).forward(constant_block_of(from, rows, panel), block_of(to, rows, panel), alpha);
  }

  // The same for transposed values (engine/narrow.hpp), with all that lies in their panels. backward_narrow() replaces
  // the gradient of the output by the gradient of the input.
  void forward_narrow(const Kernels<T>& kernels, const Panels<T>& from, const Panels<T>& to) const {
    if (linear()) return;
    const Matrix<T> x = narrow_panels(from);
    kernel(kernels).forward({x.data, x.rows, x.cols, x.stride}, narrow_panels(to), alpha);
  }
  void backward_narrow(const Kernels<T>& kernels, const Panels<T>& v, const Panels<T>& gradient) const {
    if (linear()) return;
    const Matrix<T> value = narrow_panels(v), dy = narrow_panels(gradient);
    kernel(kernels).backward({value.data, value.rows, value.cols, value.stride}, {dy.data, dy.rows, dy.cols, dy.stride},
                             dy, alpha);
  }

  // to = output.gradient f'(v), where v is the activation's input or output (see from_input).
  void backward(const Kernels<T>& kernels, const Boundary<T>& output, const Panels<T>& v, const Panels<T>& to,
                Range rows, Range panels) const {
    for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel)
      kernel(kernels).backward(constant_block_of(v, rows, panel), constant_block_of(output.gradient, rows, panel),
                               block_of(to, rows, panel), alpha);
  }

 private:
  // A row for each panel.
  static Matrix<T> narrow_panels(const Panels<T>& m) {
    return {m.data, panel_count(m.cols, kPanelWidth<T>), m.rows * kPanelWidth<T>, m.panel_stride};
  }
};

}  // namespace lamina::engine
