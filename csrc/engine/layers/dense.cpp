#include "engine/layers/dense.hpp"

#include <cstring>

#include "core/caches.hpp"
#include "core/workspace.hpp"

namespace lamina::engine {
namespace {

// From this many columns on, the gradient of a row-major output is kept in panels too: backward reads it panel by
// panel, many times.
constexpr std::ptrdiff_t kWideOutput = 4096;

// What the operands of backward may take of the second-level cache, and what the sums of dxᵀ may take.
std::ptrdiff_t operand_bytes() { return caches().second.share() * 5 / 8; }
std::ptrdiff_t sum_bytes() { return caches().second.share() * 3 / 16; }

// Panels computed before the activation is applied to them: their values are then still in a cache.
constexpr std::ptrdiff_t kPanelsTogether = 4;

// Transposed values of a layer that has more panels of inputs or outputs would leave the nearer caches.
constexpr std::ptrdiff_t kMostNarrowPanels = 8;

// Calls function(panel of the weights, columns [begin, end) of `values` that belong to it).
template <class T, class Function>
void for_each_panel(const Panels<T>& values, const Function& function) {
  constexpr std::ptrdiff_t width = kPanelWidth<std::remove_const_t<T>>;
  for (std::ptrdiff_t begin = 0; begin < values.rows; begin += width)
    function(begin / width, Panels<T>{values.data + begin * values.row_stride, std::min(width, values.rows - begin),
                                      values.cols, values.panel_stride, values.row_stride});
}

}  // namespace

template <class T>
Dense<T>::Dense(std::shared_ptr<Parameters<T>> parameters, int activation, double alpha, const Kernels<T>& kernels,
                InputKind input)
    : parameters_(std::move(parameters)),
      activation_{activation, static_cast<T>(alpha)},
      relu_(std::strcmp(kernels.activations[activation].info.name, "relu") == 0),
      from_input_(activation_.from_input(kernels)),
      rowwise_(activation_.kernel(kernels).info.rowwise),
      has_narrow_(kernels.narrow_product != nullptr),
      input_(input) {}

template <class T>
void Dense<T>::set_boundaries(BoundaryShape& input, BoundaryShape& output, bool trained_below) {
  output.width = parameters_->layout().out();
  output.factor = factor_ = input.factor;
  output.pre = from_input_;
  input.sparse = gives_entries(input_);
  entries_ = input.entries;
  this->need_dx = trained_below;
  output.transposed = trained_below;
  output.in_panels = output.width >= kWideOutput;
}

template <class T>
double Dense<T>::work() const {
  constexpr double kEntries = 64;  // entries in a sparse row; a guess, as the rows are not known yet
  const double in = static_cast<double>(parameters_->layout().in());
  const double terms = !gives_entries(input_)        ? in
                       : input_ == InputKind::sparse ? std::min(in, kEntries)
                                                     : static_cast<double>(entries_);
  return static_cast<double>(factor_) * (terms + 1) * static_cast<double>(parameters_->layout().out());
}

template <class T>
bool Dense<T>::forward_by_rows(std::ptrdiff_t rows, int threads) const {
  // The panels or groups of rows that the busiest member would get, and all of them. If both ways are equally balanced,
  // small weights are read by all members, rather than that the members wait for each other after the layer.
  constexpr std::ptrdiff_t grain = kPanelWidth<T> / 2;
  const std::ptrdiff_t panels = panel_count(parameters_->layout().out(), kPanelWidth<T>),
                       groups = panel_count(rows * factor_, grain);
  const std::ptrdiff_t by_panels = panel_count(panels, threads) * groups,
                       by_rows = panel_count(groups, threads) * panels;
  const bool small = parameters_->size() * static_cast<std::ptrdiff_t>(sizeof(T)) <= caches().first.share();
  return panels < 2 * threads && (small ? by_rows <= by_panels : by_rows < by_panels);
}

template <class T>
void Dense<T>::product(Pass<T>& pass, const Panels<T>& z, Range rows, Range panels) const {
  const Boundary<T>& input = pass.tape[this->at];
  const Panels<const T> w = parameters_->kernel();
  const T* bias = parameters_->layout().has_bias() ? parameters_->bias() : nullptr;
  const std::ptrdiff_t stride = parameters_->panel_stride();
  if (!gives_entries(input_))
    pass.kernels.panel_product({.a = input.value,
                                .b = w,
                                .c = z,
                                .bias = bias,
                                .bias_panel = stride,
                                .rows = rows,
                                .panels = panels,
                                .clamp = relu_});
  else
    pass.kernels.sparse_product({.x = input.entries,
                                 .w = w,
                                 .z = z,
                                 .bias = bias,
                                 .bias_panel = stride,
                                 .rows = rows,
                                 .panels = panels,
                                 .clamp = relu_});
}

template <class T>
void Dense<T>::forward(Pass<T>& pass, Range rows, Range panels) const {
  Boundary<T>& output = pass.tape[this->at + 1];
  const Panels<T>& z = pass.training && from_input_ ? output.pre : output.value;
  if (activation_.linear() || relu_) return product(pass, z, rows, panels);
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; panel += kPanelsTogether) {
    const Range group{panel, std::min(panels.end, panel + kPanelsTogether)};
    product(pass, z, rows, group);
    activation_.forward(pass.kernels, z, output.value, rows, group);
  }
}

template <class T>
void Dense<T>::finish_gradient(Pass<T>& pass, Range rows, Range panels) const {
  const Boundary<T>& output = pass.tape[this->at + 1];
  if (!activation_.linear())
    activation_.backward(pass.kernels, output, from_input_ ? output.pre : output.value, output.gradient, rows, panels);
  if (output.in_panels.data != nullptr && rows.begin < rows.end) {
    const Panels<T>& dz = output.gradient;
    constexpr std::ptrdiff_t size = sizeof(T);
    const Rows from{.base = dz.data + rows.begin * dz.row_stride,
                    .rows = rows.size(),
                    .cols = dz.cols,
                    .row_bytes = dz.row_stride * size,
                    .type = kNumberType<T>};
    pass.kernels.gather({.source = from, .count = rows.size(), .to = output.in_panels, .to_begin = rows.begin});
  }
  if (!this->need_dx || has_transposed(pass)) return;
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  pass.kernels.panel_transpose({.from = output.gradient,
                                .to = output.transposed,
                                .rows = rows,
                                .columns = {panels.begin * width, std::min(panels.end * width, output.gradient.cols)}});
}

template <class T>
std::ptrdiff_t Dense<T>::backward_units(const Tape<T>&) const {
  const Layout& layout = parameters_->layout();
  return panel_count(this->need_dx ? layout.in() : layout.out(), kPanelWidth<T>);
}

// The number of segments of outputs whose weights (of one panel of inputs) and `lines` rows of dz and dzᵀ fit together
// in a second-level cache.
template <class T>
std::ptrdiff_t Dense<T>::segments_together(std::ptrdiff_t lines) const {
  const std::ptrdiff_t column = kPanelBytes + 2 * lines * static_cast<std::ptrdiff_t>(sizeof(T));
  return std::max<std::ptrdiff_t>(1, operand_bytes() / column / kSegment);
}

// The number of panels of inputs that are processed with some segments of outputs before the next segments follow: a
// wide dz is then read once for all of these panels.
template <class T>
std::ptrdiff_t Dense<T>::group_size(std::ptrdiff_t lines) const {
  if (segment_count(parameters_->layout().out()) <= segments_together(lines)) return 1;
  return std::max<std::ptrdiff_t>(1, sum_bytes() / (panel_count(lines, kPanelWidth<T>) * kPanelWidth<T> * kPanelBytes));
}

// Does not decrease with the number of rows: memory reserved for a full batch suffices for a smaller last one.
template <class T>
std::size_t Dense<T>::scratch_bytes(std::ptrdiff_t rows) const {
  const std::ptrdiff_t lines = rows * factor_;
  if (!this->need_dx) return 0;
  const std::ptrdiff_t one = panel_count(lines, kPanelWidth<T>) * kPanelWidth<T> * kPanelBytes;
  const bool grouped = segment_count(parameters_->layout().out()) > segments_together(lines);
  return static_cast<std::size_t>(grouped ? std::max(sum_bytes(), one) : one);
}

template <class T>
std::ptrdiff_t Dense<T>::units_together(const Tape<T>& tape) const {
  return this->need_dx ? group_size(tape[this->at].value.rows) : 1;
}

// dxᵀ = w dzᵀ, or its sums over some segments of outputs, added to those of the segments before.
template <class T>
void Dense<T>::sum_up(Pass<T>& pass, const Panels<T>& dx, std::ptrdiff_t panel, std::ptrdiff_t row,
                      Range segments) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  Panels<T> w = parameters_->kernel(), dz = pass.tape[this->at + 1].transposed;
  w.data += panel * width * width;
  w.rows = dx.rows;
  dz.data += row / width * dz.panel_stride + row % width;
  dz.cols = dx.cols;
  pass.kernels.panel_product({.a = w,
                              .b = dz,
                              .c = dx,
                              .rows = {0, dx.rows},
                              .panels = {0, panel_count(dx.cols, width)},
                              .segments = segments});
}

template <class T>
void Dense<T>::transpose_back(Pass<T>& pass, const Panels<T>& dx, std::ptrdiff_t panel, std::ptrdiff_t row) const {
  Panels<T> target = pass.tape[this->at].gradient;
  target.data += panel * target.panel_stride + row * target.row_stride;
  pass.kernels.panel_transpose({.from = dx, .to = target, .rows = {0, dx.rows}, .columns = {0, dx.cols}});
}

// Computes the panels of the bias's gradient in the same proportion as the units.
template <class T>
void Dense<T>::bias_gradient(const Panels<T>& dz, Range units, std::ptrdiff_t all, const GradientSink<T>& sink) const {
  const std::ptrdiff_t panels = panel_count(dz.cols, kPanelWidth<T>);
  sink.dense_bias(dz, {panels * units.begin / all, panels * units.end / all});
}

template <class T>
void Dense<T>::propagate(Pass<T>& pass, Range rows, const Layer<T>* below) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  if (!this->need_dx) return;
  const Panels<T>& x = pass.tape[this->at].value;
  const std::ptrdiff_t segments = segment_count(parameters_->layout().out());
  T* memory = static_cast<T*>(scratch(Scratch::gradient, scratch_bytes(pass.tape.rows())));
  for (std::ptrdiff_t row = rows.begin; row < rows.end;) {
    // Rows that begin in the middle of a panel end with that panel.
    const std::ptrdiff_t end = row % width == 0 ? rows.end : std::min(rows.end, (row / width + 1) * width);
    for (std::ptrdiff_t panel = 0; panel * width < x.cols; ++panel) {
      const Panels<T> dx{memory, std::min(width, x.cols - panel * width), end - row, width * width, width};
      sum_up(pass, dx, panel, row, {0, segments});
      transpose_back(pass, dx, panel, row);
    }
    row = end;
  }
  if (below != nullptr) below->finish_gradient(pass, rows, {0, panel_count(x.cols, width)});
}

template <class T>
double Dense<T>::gradient_work() const {
  return static_cast<double>(kPanelWidth<T> * parameters_->layout().out());
}

template <class T>
void Dense<T>::gradient(Pass<T>& pass, Range units, const GradientSink<T>& sink) const {
  const Panels<T>& x = pass.tape[this->at].value;
  const Boundary<T>& output = pass.tape[this->at + 1];
  const Panels<T>& dz = output.in_panels.data == nullptr ? output.gradient : output.in_panels;
  for (std::ptrdiff_t panel = units.begin; panel < units.end; ++panel) {
    sink.dense_kernel(x, dz, panel, {0, panel_count(dz.cols, kPanelWidth<T>)});
    pass.ahead.some();
  }
  bias_gradient(dz, units, gradient_units(), sink);
}

template <class T>
void Dense<T>::backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>* sink) const {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  const Panels<T>& x = pass.tape[this->at].value;
  const Boundary<T>& output = pass.tape[this->at + 1];
  const Panels<T>& dz = output.in_panels.data == nullptr ? output.gradient : output.in_panels;
  const Range in_panels{0, panel_count(x.cols, width)}, out_panels{0, panel_count(dz.cols, width)};
  if (!this->need_dx) {
    if (sink == nullptr) return;
    if (gives_entries(input_)) sink->sparse_kernel(pass.tape[this->at].entries, dz, units);
    for (std::ptrdiff_t panel = units.begin; !gives_entries(input_) && panel < units.end; ++panel) {
      for (std::ptrdiff_t above = 0; above < in_panels.end; ++above) {
        sink->dense_kernel(x, dz, above, {panel, panel + 1});
        pass.ahead.some();
      }
    }
    sink->dense_bias(dz, units);
    return;
  }
  if (has_transposed(pass)) {
    pass.kernels.panel_product({.a = output.gradient,
                                .b = pass.transposed[this->at],
                                .c = pass.tape[this->at].gradient,
                                .rows = {0, x.rows},
                                .panels = units});
    if (below != nullptr) below->finish_gradient(pass, {0, x.rows}, units);
    for (std::ptrdiff_t panel = units.begin; sink != nullptr && panel < units.end; ++panel)
      sink->dense_kernel(x, dz, panel, out_panels);
    if (sink != nullptr) bias_gradient(dz, units, in_panels.end, *sink);
    return;
  }
  // For each panel dx comes before dw: it brings the weights that the sink updates into a cache.
  const std::ptrdiff_t segments = segment_count(dz.cols), together = segments_together(x.rows), lines = x.rows;
  const std::ptrdiff_t group = group_size(lines), sums_size = panel_count(lines, width) * width * width;
  T* memory = static_cast<T*>(scratch(Scratch::gradient, scratch_bytes(pass.tape.rows())));
  for (std::ptrdiff_t begin = units.begin; begin < units.end; begin += group) {
    const std::ptrdiff_t end = std::min(units.end, begin + group);
    for (std::ptrdiff_t first = 0; first < segments; first += together) {
      const std::ptrdiff_t last = std::min(segments, first + together);
      const Range above{first * (kSegment / width), last == segments ? out_panels.end : last * (kSegment / width)};
      if (first > 0 && pass.interrupt != nullptr && pass.interrupt->stop()) return;
      for (std::ptrdiff_t panel = begin; panel < end; ++panel) {
        const std::ptrdiff_t rows = std::min(width, x.cols - panel * width);
        const Panels<T> dx{memory + (panel - begin) * sums_size, rows, lines, width * width, width};
        sum_up(pass, dx, panel, 0, {first, last});
        if (last == segments) {
          transpose_back(pass, dx, panel, 0);
          if (below != nullptr) below->finish_gradient(pass, {0, lines}, {panel, panel + 1});
        }
        if (sink != nullptr) sink->dense_kernel(x, dz, panel, above);
      }
    }
  }
  if (sink != nullptr) bias_gradient(dz, units, in_panels.end, *sink);
}

// Products of several panels of outputs are computed one after the other; dx, which is a sum over all of them, is not.
template <class T>
bool Dense<T>::narrow(bool training) const {
  const Layout& layout = parameters_->layout();
  const std::ptrdiff_t most = kMostNarrowPanels * kPanelWidth<T>;
  return has_narrow_ && !gives_entries(input_) && factor_ == 1 && layout.in() <= most && layout.out() <= most &&
         (!this->need_dx || layout.out() <= kPanelWidth<T>) && !(training && rowwise_);
}

template <class T>
void Dense<T>::forward_narrow(const NarrowPass<T>& pass) const {
  const NarrowBoundary<T>& output = pass.tape[this->at + 1];
  const Panels<T>& z = pass.training && from_input_ ? output.pre : output.value;
  for_each_panel(z, [&](std::ptrdiff_t panel, const Panels<T>& part) {
    pass.kernels.narrow_product({.w = parameters_->data() + panel * parameters_->panel_stride(),
                                 .transposed = true,
                                 .x = pass.tape[this->at].with_ones(),
                                 .z = part,
                                 .clamp = relu_});
  });
  if (!relu_ && !rowwise_) activation_.forward_narrow(pass.kernels, z, output.value);
}

template <class T>
void Dense<T>::finish_narrow_output(const Kernels<T>& kernels, const Panels<T>& output) const {
  if (rowwise_) activation_.forward(kernels, output, output, {0, output.rows}, {0, 1});
}

template <class T>
void Dense<T>::finish_narrow_gradient(const NarrowPass<T>& pass) const {
  const NarrowBoundary<T>& output = pass.tape[this->at + 1];
  activation_.backward_narrow(pass.kernels, from_input_ ? output.pre : output.value, output.gradient);
}

template <class T>
void Dense<T>::backward_narrow(const NarrowPass<T>& pass, const Layer<T>* below, T* sums, bool add) const {
  const NarrowBoundary<T>& input = pass.tape[this->at];
  const Panels<T>& dz = pass.tape[this->at + 1].gradient;
  if (sums != nullptr) {
    const Panels<T> x = parameters_->layout().has_bias() ? input.with_ones() : input.value;
    const std::ptrdiff_t stride = parameters_->panel_stride();
    for_each_panel(dz, [&](std::ptrdiff_t panel, const Panels<T>& part) {
      const Panels<T> dw{sums + panel * stride, x.rows, part.rows, stride, kPanelWidth<T>};
      pass.kernels.narrow_gradient({.x = x, .dz = part, .dw = dw, .add = add});
    });
  }
  if (!this->need_dx) return;
  pass.kernels.narrow_product({.w = parameters_->data(), .transposed = false, .x = dz, .z = input.gradient});
  if (below != nullptr) below->finish_narrow_gradient(pass);
}

template class Dense<float>;
template class Dense<double>;

}  // namespace lamina::engine
