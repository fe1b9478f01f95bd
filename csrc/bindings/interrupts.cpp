#include <pybind11/pybind11.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/register.hpp"

namespace py = pybind11;

namespace lamina::bindings {
namespace {

// Python runs signal handlers between two bytecode instructions, and their exceptions are raised there. Operations that
// must not be left half done are therefore written in C++, which has no such instructions. From Python 3.14 on a
// handler may also run, and raise, between the return of __enter__ and the block, and __exit__ is not called then. But
// nothing refers to the context manager any more, so its destructor ends what __enter__ began: each with statement
// needs a new one.
template <class Block>
class Managed : public Block {
 public:
  using Block::Block;
  Managed(const Managed&) = delete;
  Managed& operator=(const Managed&) = delete;
  ~Managed() {
    try {
      exit();
    } catch (py::error_already_set& error) {
      if (error.matches(PyExc_KeyboardInterrupt))
        PyErr_SetInterrupt();  // Ctrl-C is raised again, where it can be
      else
        error.discard_as_unraisable("the end of a with statement that did not begin");
    }
  }
  void enter() {
    Block::enter();
    entered_ = true;
  }
  void exit() {
    if (std::exchange(entered_, false)) Block::exit();
  }

 private:
  bool entered_ = false;
};

// Sets the handler of SIGINT, and tries again if another handler raises meanwhile; returns the first exception raised.
std::exception_ptr set_interrupt_handler(const py::object& handler) {
  constexpr int kTries = 100;  // so many failures in a row have another cause
  const py::module_ signals = py::module_::import("_signal");
  std::exception_ptr raised;
  for (int i = 0; i < kTries; ++i) {
    try {
      signals.attr("signal")(signals.attr("SIGINT"), handler);
      return raised;
    } catch (...) {
      if (raised == nullptr) raised = std::current_exception();
    }
  }
  std::rethrow_exception(raised);
}

// The handler of SIGINT while Ctrl-C is deferred. Other code may save it and install it again after the deferral has
// ended: it then calls the previous handler.
struct InterruptNote {
  py::object previous, pending = py::none();
  bool waits = false;

  py::object call(const py::object& number, const py::object& frame) {
    if (!waits) return previous(number, frame);
    pending = py::make_tuple(number, frame);
    return py::none();
  }
};

// A context manager for the main thread, which defers Ctrl-C to the end of the block.
class InterruptsLater {
 public:
  explicit InterruptsLater(py::object previous) {
    while (py::isinstance<InterruptNote>(previous)) {  // one installed after its deferral
      const auto& note = previous.cast<const InterruptNote&>();
      if (note.waits) break;
      previous = py::object(note.previous);
    }
    note_ = py::cast(std::make_shared<InterruptNote>());
    note_.cast<InterruptNote&>().previous = std::move(previous);
  }

  void enter() {
    const py::module_ signals = py::module_::import("_signal");
    signals.attr("signal")(signals.attr("SIGINT"), note_);  // if another handler raises, note_ is not set yet
    note().waits = true;
    active().push_back(this);
  }

  void exit() {
    active().pop_back();
    note().waits = false;
    const py::object previous = note().previous;
    const std::exception_ptr raised = set_interrupt_handler(previous);
    deliver(previous);
    if (raised != nullptr) std::rethrow_exception(raised);
  }

  // lift() lets Ctrl-C interrupt at once, for user code that may wait; lower() defers it again.
  static void lift() {
    if (active().empty()) return;
    const py::object previous = active().front()->note().previous;
    for (InterruptsLater* later : active()) later->deliver(previous);
    const std::exception_ptr raised = set_interrupt_handler(previous);
    if (raised == nullptr) return;
    lower();
    std::rethrow_exception(raised);
  }
  static void lower() {
    if (active().empty()) return;
    const std::exception_ptr raised = set_interrupt_handler(active().back()->note_);
    if (raised != nullptr) std::rethrow_exception(raised);
  }

 private:
  static std::vector<InterruptsLater*>& active() {
    static std::vector<InterruptsLater*> all;  // of the main thread, outermost first
    return all;
  }
  void deliver(const py::object& handler) {
    if (note().pending.is_none()) return;
    const py::object pending = std::exchange(note().pending, py::none());
    handler(*pending);
  }

  InterruptNote& note() const { return note_.cast<InterruptNote&>(); }

  py::object note_;
};

struct InterruptsNow {
  static void enter() { InterruptsLater::lift(); }
  static void exit() { InterruptsLater::lower(); }
};

template <class Block>
py::class_<Managed<Block>> manager(py::module_& module, const char* name) {
  using Manager = Managed<Block>;
  return py::class_<Manager>(module, name)
      .def("__enter__", [](Manager& self) { self.enter(); })
      .def("__exit__", [](Manager& self, const py::args&) { self.exit(); });
}

bool is_free(const py::object& lock) {
  if (!lock.attr("acquire")(false).cast<bool>()) return false;
  lock.attr("release")();
  return true;
}

}  // namespace

void register_interrupts(py::module_& module) {
  py::class_<InterruptNote, std::shared_ptr<InterruptNote>>(module, "InterruptNote")
      .def("__call__", &InterruptNote::call, py::arg("number"), py::arg("frame"));
  manager<InterruptsLater>(module, "InterruptsLater").def(py::init<py::object>(), py::arg("previous"));
  manager<InterruptsNow>(module, "InterruptsNow").def(py::init<>());
  module.def("is_free", is_free, py::arg("lock"));
}

}  // namespace lamina::bindings
