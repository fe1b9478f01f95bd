// Runs a small piece of work TIMES times on one thread, for counting instructions: lamina_workloads CASE TIMES. Without
// arguments it prints the names of the cases.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/dispatch.hpp"
#include "core/threads.hpp"
#include "engine/layers/dense.hpp"
#include "engine/training.hpp"

namespace {

using namespace lamina;
using namespace lamina::engine;

std::vector<float> numbers(std::ptrdiff_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  unsigned state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int>(state >> 8) % 1000 - 500) / 1000;
  }
  return values;
}

int find(int count, const std::function<const char*(int)>& name_of, const char* name) {
  for (int i = 0; i < count; ++i)
    if (std::strcmp(name_of(i), name) == 0) return i;
  std::abort();
}

int activation(const char* name) {
  return find(kernels().activation_count, [](int i) { return kernels().f32.activations[i].info.name; }, name);
}
int loss(const char* name) {
  return find(kernels().loss_count, [](int i) { return kernels().f32.losses[i].info.name; }, name);
}
int optimizer(const char* name) {
  return find(kernels().optimizer_count, [](int i) { return kernels().f32.optimizers[i].info.name; }, name);
}

// What a network is trained with, and on.
struct Kind {
  const char *optimizer, *activation = "relu";
  bool bytes = false;  // rows of bytes, else of floats
  bool labels = true;  // softmax cross-entropy of labels, else mean squared error of numbers
};

class Training {
 public:
  Training(const std::vector<std::ptrdiff_t>& sizes, std::ptrdiff_t batch, Kind kind)
      : sizes_(sizes), batch_(batch), kind_(kind) {
    const Kernels<float>& k = kernels().f32;
    std::vector<std::unique_ptr<Layer<float>>> layers;
    UpdateSpec<float> update;
    update.optimizer = optimizer(kind.optimizer);
    update.settings = {std::strcmp(kind.optimizer, "adam") == 0 ? std::vector<double>{0.9, 0.999, 1e-7, 0, 0, 0, 0, 0}
                                                                : std::vector<double>(8)};
    for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
      const Layout layout{true, {{sizes[l], sizes[l + 1]}, {1, sizes[l + 1]}}};
      const auto block = [&] { return std::make_shared<Parameters<float>>(layout); };
      const auto parameters = block();
      parameters->write(0, numbers(sizes[l] * sizes[l + 1]).data());
      const bool last = l + 2 == sizes.size();
      layers.push_back(std::make_unique<Dense<float>>(parameters, last ? 0 : activation(kind.activation), 0.0, k));
      held_.push_back(parameters);
      update.layers.push_back({{block(), block(), nullptr}, nullptr, nullptr, {{0, 0, 0, {}}, {0, 0, 0, {}}}});
    }
    network_ =
        std::make_shared<Network<float>>(k, sizes[0], 1, std::move(layers), std::vector<bool>(sizes.size() - 1, true));
    trainer_ = std::make_unique<Trainer<float>>(
        network_,
        HeadSpec<float>{
            .loss = loss(kind.labels ? "softmax_cross_entropy" : "mse"), .parameters = {}, .divisor = Divisor::rows},
        std::vector<bool>{kind.labels}, std::move(update));
    const std::ptrdiff_t rows = 4 * batch;
    floats_ = numbers(rows * sizes[0]);
    small_.assign(static_cast<std::size_t>(rows * sizes[0]), 7);
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      labels_.push_back(static_cast<std::int64_t>(i % sizes.back()));
      order_.push_back((i * 37) % rows);
    }
    out_.resize(static_cast<std::size_t>(rows * sizes.back()));
  }

  void step() {
    const std::ptrdiff_t rows = 4 * batch_, cols = sizes_[0];
    const Rows x =
        kind_.bytes
            ? Rows{.base = small_.data(), .rows = rows, .cols = cols, .row_bytes = cols, .type = NumberType::uint8}
            : Rows{.base = floats_.data(),
                   .rows = rows,
                   .cols = cols,
                   .row_bytes = 4 * cols,
                   .type = NumberType::float32};
    const std::ptrdiff_t outputs = sizes_.back();
    const Rows y =
        kind_.labels ? Rows{.base = labels_.data(), .rows = rows, .cols = 1, .row_bytes = 8, .type = NumberType::int64}
                     : Rows{.base = out_.data(),
                            .rows = rows,
                            .cols = outputs,
                            .row_bytes = 4 * outputs,
                            .type = NumberType::float32};
    Totals totals{{0.0}, {0.0}};
    trainer_->train({{InputKind::dense, x}, {{y, kind_.labels}}, nullptr, order_.data()}, {0, rows, batch_}, {1e-4}, 0,
                    0, totals, nullptr);
  }

  void predict(std::ptrdiff_t rows) {
    const Rows x{.base = floats_.data(),
                 .rows = rows,
                 .cols = sizes_[0],
                 .row_bytes = 4 * sizes_[0],
                 .type = NumberType::float32};
    network_->try_predict({InputKind::dense, x}, out_.data());
  }

 private:
  std::vector<std::ptrdiff_t> sizes_;
  std::ptrdiff_t batch_;
  Kind kind_;
  std::vector<std::shared_ptr<Parameters<float>>> held_;
  std::shared_ptr<Network<float>> network_;
  std::unique_ptr<Trainer<float>> trainer_;
  std::vector<float> floats_, out_;
  std::vector<std::uint8_t> small_;
  std::vector<std::int64_t> labels_, order_;
};

// The cases: a name, and a function that does the work once.
std::map<std::string, std::function<void()>> cases() {
  const Kernels<float>& k = kernels().f32;
  std::map<std::string, std::function<void()>> found;
  const auto training = [&](const std::string& name, const std::vector<std::ptrdiff_t>& sizes, std::ptrdiff_t batch,
                            Kind kind) {
    const auto made = std::make_shared<std::unique_ptr<Training>>();
    const auto once = [=]() -> Training& {
      if (*made == nullptr) *made = std::make_unique<Training>(sizes, batch, kind);
      return **made;
    };
    found["four steps " + name + " " + kind.optimizer] = [=] { once().step(); };
    if (std::strcmp(kind.optimizer, "sgd") == 0 && !kind.bytes) {
      found["predict a row " + name] = [=] { once().predict(1); };
      found["predict a batch " + name] = [=] { once().predict(batch); };
    }
  };
  training("64-32-10, 32", {64, 32, 10}, 32, {"sgd"});
  training("64-32-10, 32", {64, 32, 10}, 32, {"adam"});
  training("784-128-10, 32", {784, 128, 10}, 32, {"sgd"});
  training("784-128-10, 32 of bytes", {784, 128, 10}, 32, {.optimizer = "sgd", .bytes = true});
  training("20-64-64-2, 256", {20, 64, 64, 2}, 256, {"sgd"});
  training("20-64-64-2, 32", {20, 64, 64, 2}, 32, {"sgd"});
  training("20-64-64-2, 32", {20, 64, 64, 2}, 32, {"adam"});
  training("4-32-16-4, 1280", {4, 32, 16, 4}, 1280, {.optimizer = "adam", .activation = "tanh", .labels = false});
  training("4-8-3, 32", {4, 8, 3}, 32, {"sgd"});

  const auto x = std::make_shared<std::vector<float>>(numbers(256 * 256));
  const auto w = std::make_shared<std::vector<float>>(numbers(256 * 256));
  const auto y = std::make_shared<std::vector<float>>(numbers(256 * 256));
  const auto labels = std::make_shared<std::vector<std::int64_t>>(256, 3);
  const auto matrix = [](const std::shared_ptr<std::vector<float>>& m, std::ptrdiff_t rows, std::ptrdiff_t cols) {
    return Matrix<float>{m->data(), rows, cols, cols};
  };
  const auto constant = [](const Matrix<float>& m) { return Matrix<const float>{m.data, m.rows, m.cols, m.stride}; };
  found["dense_forward (64, 256, 100)"] = [=, &k] {
    k.dense_forward(
        {constant(matrix(x, 64, 256)), constant(matrix(w, 256, 100)), nullptr, matrix(y, 64, 100), {}, nullptr, 0.0f});
  };
  found["dense_backward (64, 256, 100)"] = [=, &k] {
    const auto dx = std::make_shared<std::vector<float>>(64 * 256),
               dw = std::make_shared<std::vector<float>>(256 * 100);
    k.dense_backward({constant(matrix(x, 64, 256)),
                      constant(matrix(w, 256, 100)),
                      constant(matrix(y, 64, 100)),
                      {},
                      matrix(dx, 64, 256),
                      matrix(dw, 256, 100),
                      nullptr,
                      nullptr,
                      0.0f});
  };
  for (const char* name : {"tanh", "gelu", "sigmoid"})
    found[std::string(name) + " (1000)"] = [=, &k] {
      k.activations[activation(name)].forward(constant(matrix(x, 1, 1000)), matrix(y, 1, 1000), 0.0f);
    };
  for (const std::ptrdiff_t classes : {10, 200})
    found["softmax_cross_entropy (32, " + std::to_string(classes) + ")"] = [=, &k] {
      std::vector<float> losses(32);
      k.losses[loss("softmax_cross_entropy")].evaluate({.predictions = constant(matrix(x, 32, classes)),
                                                        .labels = {labels->data(), 32, NumberType::int64},
                                                        .loss = losses.data(),
                                                        .gradient = matrix(y, 32, classes)});
    };
  return found;
}

}  // namespace

int main(int count, char** arguments) {
  set_num_threads(1);
  const auto known = cases();
  if (count != 3) {
    for (const auto& [name, work] : known) std::printf("%s\n", name.c_str());
    return 0;
  }
  const auto& work = known.at(arguments[1]);
  for (long times = std::atol(arguments[2]); times > 0; --times) work();
  return 0;
}
