#include "engine/outer_products.hpp"

#include <algorithm>

#include "engine/normal_equations.hpp"

namespace lamina::engine {
template <class T>
bool has_outer_products(const Network<T>& network, const Update<T>& update) {
  if (gives_entries(network.input())) return false;
  for (std::ptrdiff_t l = 0; l < network.depth(); ++l)
    if (update.layer(l).trained() && !update.layer(l).parameters->layout().dense) return false;
  return true;
}

template <class T, class U>
void add_outer_products(const Network<T>& network, const Update<T>& update, const Tape<T>& tape, std::ptrdiff_t row,
                        std::ptrdiff_t rows, std::vector<U>& lines, U* to) {
  for (std::ptrdiff_t l = network.first_trained(); l < network.depth(); ++l) {
    const LayerUpdate<T>& layer = update.layer(l);
    if (!layer.trained()) continue;
    const Panels<T>&x = tape[l].value, &dz = tape[l + 1].gradient;
    lines.resize(std::max(lines.size(), static_cast<std::size_t>(x.cols + dz.cols)));
    U *input = lines.data(), *output = input + x.cols;
    const std::ptrdiff_t count = x.rows / rows;
    for (std::ptrdiff_t line = row * count; line < (row + 1) * count; ++line) {
      read_line(dz, line, output);
      if (layer.rules[0].trained) {
        read_line(x, line, input);
        add_outer_product(input, x.cols, output, dz.cols, to + layer.rules[0].place);
      }
      constexpr U one = 1;
      if (layer.rules.size() > 1 && layer.rules[1].trained)
        add_outer_product(&one, 1, output, dz.cols, to + layer.rules[1].place);
    }
  }
}

#define LAMINA_INSTANTIATE(T, U)                                                                        \
  template void add_outer_products(const Network<T>&, const Update<T>&, const Tape<T>&, std::ptrdiff_t, \
                                   std::ptrdiff_t, std::vector<U>&, U*)
LAMINA_INSTANTIATE(float, float);
LAMINA_INSTANTIATE(float, double);
LAMINA_INSTANTIATE(double, double);
#undef LAMINA_INSTANTIATE
template bool has_outer_products(const Network<float>&, const Update<float>&);
template bool has_outer_products(const Network<double>&, const Update<double>&);

}  // namespace lamina::engine
