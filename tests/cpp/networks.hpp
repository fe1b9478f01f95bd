// A small network with its data, for the programs that check the engine.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/dispatch.hpp"
#include "engine/layers/dense.hpp"
#include "engine/training.hpp"

namespace lamina::testing {

// A fixed sequence of numbers in [-1, 1).
template <class T>
std::vector<T> numbers(std::ptrdiff_t count, unsigned seed) {
  std::vector<T> values(static_cast<std::size_t>(count));
  unsigned state = seed;
  for (T& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<T>(static_cast<double>(state >> 8) / 8388608.0 - 1.0);
  }
  return values;
}

inline int activation_of(const std::string& name) {
  for (int i = 0; i < kernels().activation_count; ++i)
    if (name == kernels().f32.activations[i].info.name) return i;
  return -1;
}

// A network of three layers: tanh, sigmoid, linear, mean squared error, Adam.
struct Sizes {
  std::ptrdiff_t of[4];
};

template <class T>
struct SmallNetwork {
  Sizes sizes;
  std::ptrdiff_t row_count;
  std::vector<std::shared_ptr<engine::Parameters<T>>> parameters;
  std::shared_ptr<engine::Network<T>> network;
  std::unique_ptr<engine::Trainer<T>> trainer;
  std::vector<T> x, y;
  std::vector<std::int64_t> order;

  explicit SmallNetwork(const Sizes& of, std::ptrdiff_t count = 700)
      : sizes(of), row_count(count), x(numbers<T>(count * of.of[0], 7)), y(numbers<T>(count * of.of[3], 8)) {
    using namespace engine;
    const Kernels<T>& k = kernels_of<T>(kernels());
    const char* activations[] = {"tanh", "sigmoid", "linear"};
    std::vector<std::unique_ptr<Layer<T>>> layers;
    UpdateSpec<T> optimizer;
    optimizer.optimizer = 1;
    optimizer.clip = Clip::global_norm;
    optimizer.limit = 0.5;
    optimizer.accumulate = 2;
    optimizer.settings = {{0.9, 0.999, 1e-7, 0, 0, 0, 0, 0}};
    for (int l = 0; l < 3; ++l) {
      const std::ptrdiff_t in = sizes.of[l], out = sizes.of[l + 1];
      const Layout layout{true, {{in, out}, {1, out}}};
      parameters.push_back(std::make_shared<Parameters<T>>(layout));
      std::vector<T> w = numbers<T>(in * out, 20u + static_cast<unsigned>(l));
      for (T& value : w) value *= T(0.3);
      parameters.back()->write(0, w.data());
      layers.push_back(std::make_unique<Dense<T>>(parameters.back(), activation_of(activations[l]), 0.0, k));
      const auto state = [&] { return std::make_shared<Parameters<T>>(layout); };
      const Constraint most{ConstraintKind::column_norms, {0, 2, 1}};
      optimizer.layers.push_back(
          {{state(), state(), nullptr}, state(), nullptr, {{0, 0.001, 0.002, true, most}, {0, 0, 0, false, {}}}});
    }
    network = std::make_shared<Network<T>>(k, sizes.of[0], 1, std::move(layers), std::vector<bool>(3, true));
    HeadSpec<T> head{.loss = 0, .parameters = {}, .divisor = Divisor::rows};
    trainer = std::make_unique<Trainer<T>>(network, head, std::vector<bool>{false}, std::move(optimizer));
    for (std::ptrdiff_t i = 0; i < count; ++i) order.push_back((i * 37) % count);
  }

  Rows rows(const T* data, std::ptrdiff_t cols) const {
    return {.base = data,
            .rows = row_count,
            .cols = cols,
            .row_bytes = cols * static_cast<std::ptrdiff_t>(sizeof(T)),
            .type = kNumberType<T>};
  }
  engine::TrainingData<T> data() const { return data(x.data(), y.data(), order.data()); }
  // The same for copies of the data elsewhere.
  engine::TrainingData<T> data(const T* inputs, const T* targets, const std::int64_t* numbered) const {
    return {{engine::InputKind::dense, rows(inputs, sizes.of[0])},
            {{rows(targets, sizes.of[3]), false}},
            nullptr,
            numbered};
  }
  double epoch(std::ptrdiff_t batch) { return epoch(data(), batch); }
  double epoch(const engine::TrainingData<T>& given, std::ptrdiff_t batch) {
    engine::Totals totals{{0.0}, {0.0}};
    trainer->train(given, {0, row_count, batch}, {0.01}, 0, 0, totals, nullptr);
    return totals.sum[0] / totals.count[0];
  }
  double loss() {
    engine::Totals totals{{0.0}, {0.0}};
    trainer->test(data(), {0, row_count, row_count}, totals, nullptr);
    return totals.sum[0] / totals.count[0];
  }
  std::vector<T> weights() const {
    std::vector<T> all;
    for (const auto& block : parameters) all.insert(all.end(), block->data(), block->data() + block->size());
    return all;
  }
};

}  // namespace lamina::testing
