#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "bindings/arguments.hpp"
#include "bindings/register.hpp"
#include "core/caches.hpp"
#include "core/cpu.hpp"
#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "engine/machine.hpp"

// Called by threadpoolctl, which looks for these names in the loaded library.
extern "C" {
__attribute__((visibility("default"))) int lamina_get_num_threads() { return lamina::num_threads(); }
__attribute__((visibility("default"))) void lamina_set_num_threads(int threads) {
  if (threads >= 1) lamina::set_num_threads(threads);
}
}

namespace lamina::bindings {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

namespace {

// A context manager that sets the thread's default floating-point mode for its block.
struct DefaultMode {
  std::optional<DefaultFloatingPoint> mode;
};

}  // namespace

void register_runtime(py::module_& module) {
  py::class_<DefaultMode>(module, "DefaultMode")
      .def(py::init<>())
      .def("__enter__", [](DefaultMode& self) { self.mode.emplace(); })
      .def("__exit__", [](DefaultMode& self, const py::args&) { self.mode.reset(); });
  kernels();  // chooses the table now, so that a wrong LAMINA_ISA raises at import
  check_caches();
  initialize_threads();
  module.def("isa", [] { return std::string(kernels().isa); });
  module.def("available_isas", available_isas);
  module.def("select_isa", select_isa, py::arg("name"));
  module.def("vector_bytes", [] { return kernels().vector_bytes; });
  module.def("compiler", compiler);
  module.def("usable_cpus", usable_cpus);
  module.def("caches", [] {
    py::list levels;
    for (const Cache& cache : {caches().first, caches().second, caches().last})
      levels.append(py::make_tuple(cache.bytes, cache.cpus));
    return levels;
  });
  module.def("machine_times", [] {
    engine::Speeds speeds;
    engine::Meetings meetings;
    const bool team = num_threads() > 1;
    {
      const WithoutGil release;
      speeds = engine::speeds();
      if (team) meetings = engine::meetings();
    }
    py::dict found;
    found["multiply_adds"] = speeds.multiply_adds;
    found["near_bytes"] = speeds.near_bytes;
    found["far_bytes"] = speeds.far_bytes;
    found["memory_bytes"] = speeds.memory_bytes;
    if (team) {
      found["foreign_bytes"] = meetings.foreign_bytes;
      found["meeting"] = meetings.nanoseconds;
    }
    return found;
  });
  module.def("num_threads", num_threads);
  module.def("set_num_threads", set_num_threads, py::arg("threads"));
  module.def("available_threads", available_threads, py::arg("wanted"));
  module.def("adapt_to_machine", adapt_to_machine, py::arg("on"));
  module.def("scratch_bytes", scratch_bytes);
  module.def(
      "multiply_add_peak", [](std::int64_t iterations) { return kernels().multiply_add_peak(iterations); },
      py::arg("iterations"), py::call_guard<WithoutGil>());
}

}  // namespace lamina::bindings
