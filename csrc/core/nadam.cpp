#include "core/nadam.hpp"

#include <algorithm>
#include <array>

namespace lamina {
namespace {

using Products = std::array<double, 1024>;

Products make_products() {
  Products products{};
  double product = 1, decay = 1;
  for (double& value : products) {
    value = product;
    decay *= 0.96;
    product *= 1 - 0.5 * decay;
  }
  return products;
}

}  // namespace

double nadam_product(std::int64_t t) {
  static const Products products = make_products();
  return products[static_cast<std::size_t>(std::min<std::int64_t>(t, static_cast<std::int64_t>(products.size()) - 1))];
}

}  // namespace lamina
