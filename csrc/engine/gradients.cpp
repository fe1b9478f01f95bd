#include "engine/gradients.hpp"

#include <algorithm>

namespace lamina::engine {
// Prefetches the parameters and optimizer slots that the step will read, while the gradient is computed.
template <class T>
void GradientSink<T>::announce(std::ptrdiff_t begin, std::ptrdiff_t count) const {
  if (stored_ != nullptr || vector_ != nullptr) return;
  constexpr std::ptrdiff_t line = 64 / static_cast<std::ptrdiff_t>(sizeof(T));
  const auto fetch = [&](const T* data) {
    for (std::ptrdiff_t i = 0; i < count; i += line) __builtin_prefetch(data + begin + i, 1, 2);
  };
  fetch(layer_.parameters->data());
  for (const auto& slot : layer_.beside.slots)
    if (slot != nullptr) fetch(slot->data());
}

template <class T>
void GradientSink<T>::take(int tensor, T* gradient, std::ptrdiff_t begin, std::ptrdiff_t count) const {
  if (stored_ != nullptr) {
    if (add_)
      kernels_.add(gradient, stored_ + begin, count);
    else
      std::copy(gradient, gradient + count, stored_ + begin);
  } else if (vector_ != nullptr) {
    update_.write(layer_, tensor, gradient, begin, count, vector_);
  } else {
    update_.step(layer_, tensor, gradient, begin, count);
  }
}

template <class T>
void GradientSink<T>::dense_kernel(Panels<const T> x, Panels<const T> dz, std::ptrdiff_t x_panel, Range panels) const {
  if (!trained(0)) return;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  Parameters<T>& parameters = *layer_.parameters;
  const std::ptrdiff_t stride = parameters.panel_stride();
  PanelGradient<T> product{
      .x = x, .dz = dz, .dw = {}, .rows = {0, x.rows}, .x_panels = {x_panel, x_panel + 1}, .panels = panels};
  const bool single = GradientRows{rows_, x.rows}.is_one_chain();
  if (single && vector_ != nullptr && !rule(0).penalized()) {
    product.dw = {vector_ + rule(0).place, x.cols, dz.cols, width, dz.cols};
    kernels_.panel_gradient(product);
    return;
  }
  if (single && vector_ == nullptr && (stored_ != nullptr || update_.plain())) {
    product.dw = {stored_ == nullptr ? parameters.data() : stored_, x.cols, dz.cols, stride, width};
    product.end = stored_ == nullptr ? GradientEnd::add_scaled : (add_ ? GradientEnd::add : GradientEnd::store);
    product.factor = stored_ == nullptr ? layer_.rules[0].scalars[0] : T(0);
    kernels_.panel_gradient(product);
    return;
  }
  const std::ptrdiff_t count = std::min(width, x.cols - x_panel * width) * width;
  product.dw_x_panel = x_panel;
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    product.panels.begin = product.dw_panel = panel;
    product.panels.end = panel + 1;
    announce(panel * stride + x_panel * width * width, count);
    BlockSums<T> sums({rows_, x.rows}, count, kernels_.add);
    T* gradient = sums.sum([&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
      if (dz.cols - panel * width < width) std::fill(out, out + count, T(0));  // the padding's gradient
      product.dw = {out, width, width, 0, width};
      product.rows.begin = begin;
      product.rows.end = end;
      kernels_.panel_gradient(product);
    });
    take(0, gradient, panel * stride + x_panel * width * width, count);
  }
}

template <class T>
void GradientSink<T>::sparse_kernel(const SparseBatch<T>& x, Panels<const T> dz, Range panels) const {
  if (!trained(0)) return;
  const Panels<T> w = layer_.parameters->kernel();
  T* memory = stored_ == nullptr ? zeros_ : stored_;
  const Panels<T> gradient{memory, w.rows, w.cols, w.panel_stride, w.row_stride};
  const std::ptrdiff_t size = w.rows * w.row_stride;
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    T* begin = memory + panel * w.panel_stride;
    if (stored_ != nullptr) std::fill(begin, begin + size, T(0));
    kernels_.sparse_gradient(x, dz, gradient, {panel, panel + 1});
    if (stored_ != nullptr) continue;
    if (vector_ == nullptr && update_.plain()) {
      kernels_.sparse_step(x, gradient, w, layer_.rules[0].scalars[0], {panel, panel + 1});
    } else {
      take(0, begin, panel * w.panel_stride, size);
      std::fill(begin, begin + size, T(0));
    }
  }
}

template <class T>
void GradientSink<T>::dense_bias(Panels<const T> dz, Range panels) const {
  if (!layer_.parameters->layout().has_bias() || !trained(1)) return;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::ptrdiff_t cols = std::min(width, dz.cols - panel * width);
    BlockSums<T> sums({rows_, dz.rows}, width, kernels_.add);
    T* gradient = sums.sum([&](std::ptrdiff_t begin, std::ptrdiff_t end, T* out) {
      kernels_.panel_column_sums(dz, {begin, end}, panel, out);
      std::fill(out + cols, out + width, T(0));
    });
    take(1, gradient, (panel + 1) * layer_.parameters->panel_stride() - width, width);
  }
}

template <class T>
void GradientSink<T>::column_sums(int tensor, std::ptrdiff_t panel, std::ptrdiff_t cols, T* sums) const {
  if (!trained(tensor)) return;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const std::ptrdiff_t offset = layer_.parameters->tensor(tensor).data - layer_.parameters->data();
  take(tensor, sums, offset + panel * width, std::min(width, cols - panel * width));
}

template <class T>
void GradientSink<T>::whole(T* gradients) const {
  const Parameters<T>& parameters = *layer_.parameters;
  for_each_part(parameters, 0, parameters.size(), [&](int tensor, std::ptrdiff_t begin, std::ptrdiff_t count) {
    if (trained(tensor)) take(tensor, gradients + begin, begin, count);
  });
}

template class GradientSink<float>;
template class GradientSink<double>;

}  // namespace lamina::engine
