#include "bindings/register.hpp"

// Arguments are documented in python/lamina/kernels, where users see them.
PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  using namespace lamina::bindings;
  module.doc() = "Compiled core of lamina. Use lamina.kernels instead.";
  module.attr("__version__") = LAMINA_VERSION;
  register_activations(module);
  register_dense(module);
  register_functions(module);
  register_interrupts(module);
  register_losses(module);
  register_metrics(module);
  register_network(module);
  register_optimizers(module);
  register_parameters(module);
  register_random(module);
  register_runtime(module);
  register_taking(module);
  register_trainer(module);
  register_epochs(module);
  register_updates(module);
  register_derivatives(module);
}
