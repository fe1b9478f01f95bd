// Makes the engine's layers from the ops of lamina._engine.ops, which are read by attribute.
#pragma once

#include <memory>

#include "bindings/engine.hpp"
#include "engine/input.hpp"
#include "engine/layer.hpp"

namespace lamina::bindings {

// `input`: the kind of the network's input; `first`: whether this is its first layer.
template <class T>
std::unique_ptr<engine::Layer<T>> make_layer(const py::handle& op, engine::InputKind input, bool first);

}  // namespace lamina::bindings
