#include "engine/gradients.hpp"

#include <algorithm>

namespace lamina::engine {
namespace {

template <class T>
using Add = void (*)(const T*, T*, std::ptrdiff_t);

// Adds the sums of a batch's segments as a binary tree, in memory for one block.
template <class T>
class SegmentSums {
 public:
  static constexpr std::ptrdiff_t kSize = kPanelWidth<T> * kPanelWidth<T>;

  // Calls evaluate(begin, end, out) for every segment of the rows; the result is their sum.
  template <class Evaluate>
  const T* sum(std::ptrdiff_t rows, std::ptrdiff_t size, Add<T> add, Evaluate&& evaluate) {
    const std::ptrdiff_t segments = gradient_segments(rows);
    int depth = 0;
    for (std::ptrdiff_t s = 0; s < segments; ++s) {
      evaluate(gradient_segment_begin(rows, s, segments), gradient_segment_begin(rows, s + 1, segments),
               levels_[depth++]);
      for (std::ptrdiff_t left = s; left & 1; left >>= 1, --depth) add(levels_[depth - 1], levels_[depth - 2], size);
    }
    for (; depth > 1; --depth) add(levels_[depth - 1], levels_[depth - 2], size);
    return levels_[0];
  }

 private:
  alignas(128) T levels_[32][kSize];
};

template <class T>
void step(const OptimizerKernel<T>& optimizer, const LayerUpdate<T>& layer, int tensor, const T* gradient,
          std::ptrdiff_t begin, std::ptrdiff_t count) {
  OptimizerStep<T> update{
      layer.parameters->data() + begin, gradient, {}, count, layer.rules[static_cast<std::size_t>(tensor)].scalars};
  for (std::size_t i = 0; i < layer.slots.size(); ++i)
    update.slot[i] = layer.slots[i] == nullptr ? nullptr : layer.slots[i]->data() + begin;
  optimizer.update(update);
}

}  // namespace

template <class T>
void update_range(const OptimizerKernel<T>& optimizer, const LayerUpdate<T>& layer, const T* gradients,
                  std::ptrdiff_t begin, std::ptrdiff_t end) {
  const auto part = [&](int tensor, std::ptrdiff_t first, std::ptrdiff_t last) {
    const std::ptrdiff_t from = std::max(begin, first), to = std::min(end, last);
    if (from < to && layer.rules[static_cast<std::size_t>(tensor)].trained)
      step(optimizer, layer, tensor, gradients + from, from, to - from);
  };
  const Layout& layout = layer.parameters->layout();
  if (!layout.dense) {
    std::ptrdiff_t first = 0;
    for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
      const std::ptrdiff_t size = layout.tensors[i].rows * layout.tensors[i].cols;
      part(static_cast<int>(i), first, first + size);
      first += size;
    }
    return;
  }
  const std::ptrdiff_t stride = layer.parameters->panel_stride();
  for (std::ptrdiff_t panel = begin / stride; panel * stride < end; ++panel) {
    const std::ptrdiff_t bias = (panel + 1) * stride - kPanelWidth<T>;
    part(0, panel * stride, bias);
    if (layout.has_bias()) part(1, bias, bias + kPanelWidth<T>);
  }
}

template <class T>
void GradientSink<T>::take(int tensor, const T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count) const {
  if (stored_ == nullptr)
    step(*optimizer_, layer_, tensor, gradient, begin, count);
  else if (add_)
    kernels_.add(gradient, stored_ + begin, count);
  else
    std::copy(gradient, gradient + count, stored_ + begin);
}

template <class T>
void GradientSink<T>::dense_kernel(Panels<const T> x, Panels<const T> dz, std::ptrdiff_t x_panel, Range panels) const {
  if (!trained(0)) return;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  Parameters<T>& parameters = *layer_.parameters;
  const std::ptrdiff_t stride = parameters.panel_stride();
  PanelGradient<T> product{
      x, dz, {}, 0, x.rows, x_panel, x_panel + 1, panels.begin, panels.end, 0, 0, GradientEnd::store, T(0)};
  const bool single = gradient_segments(x.rows) == 1;
  if (single && (stored_ != nullptr || plain_)) {
    product.dw = {stored_ == nullptr ? parameters.data() : stored_, x.cols, dz.cols, stride, width};
    product.end = stored_ == nullptr ? GradientEnd::add_scaled : (add_ ? GradientEnd::add : GradientEnd::store);
    product.factor = stored_ == nullptr ? layer_.rules[0].scalars[0] : T(0);
    kernels_.panel_gradient(product);
    return;
  }
  SegmentSums<T> sums;
  const std::ptrdiff_t count = std::min(width, x.cols - x_panel * width) * width;
  product.dw_x_panel = x_panel;
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    product.panel_begin = product.dw_panel = panel;
    product.panel_end = panel + 1;
    const T* gradient = sums.sum(x.rows, count, kernels_.add, [&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
      if (dz.cols - panel * width < width) std::fill(out, out + count, T(0));  // the padding's gradient
      product.dw = {out, width, width, 0, width};
      product.row_begin = begin;
      product.row_end = end;
      kernels_.panel_gradient(product);
    });
    take(0, gradient, panel * stride + x_panel * width * width, count);
  }
}

template <class T>
void GradientSink<T>::dense_bias(Panels<const T> dz, Range panels) const {
  if (!layer_.parameters->layout().has_bias() || !trained(1)) return;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  SegmentSums<T> sums;
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::ptrdiff_t cols = std::min(width, dz.cols - panel * width);
    const T* gradient = sums.sum(dz.rows, width, kernels_.add, [&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
      kernels_.panel_column_sums(dz, begin, end, panel, out);
      std::fill(out + cols, out + width, T(0));
    });
    take(1, gradient, (panel + 1) * layer_.parameters->panel_stride() - width, width);
  }
}

template <class T>
void GradientSink<T>::whole(const T* gradients) const {
  const std::ptrdiff_t size = layer_.parameters->size();
  if (stored_ == nullptr)
    update_range(*optimizer_, layer_, gradients, 0, size);
  else if (add_)
    kernels_.add(gradients, stored_, size);
  else
    std::copy(gradients, gradients + size, stored_);
}

template void update_range(const OptimizerKernel<float>&, const LayerUpdate<float>&, const float*, std::ptrdiff_t,
                           std::ptrdiff_t);
template void update_range(const OptimizerKernel<double>&, const LayerUpdate<double>&, const double*, std::ptrdiff_t,
                           std::ptrdiff_t);
template class GradientSink<float>;
template class GradientSink<double>;

}  // namespace lamina::engine
