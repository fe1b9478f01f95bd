// Releases and acquires the GIL. A thread that still runs when the interpreter ends cannot acquire it: Python 3.11 to
// 3.13 end such a thread by pthread_exit, whose unwinding neither destructors nor the engine's frames survive. Here the
// thread sleeps forever instead, as in newer versions of Python; the process ends without it.
#pragma once

#include <pybind11/pybind11.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif
#include <chrono>
#include <thread>
#include <utility>

namespace lamina::bindings {

[[noreturn]] inline void stop_for_good() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// Calls body(), which may end the thread by pthread_exit. The forced unwinding passes no object, so the handler's
// reference is bound to nothing; this is intended, although the undefined-behaviour sanitizer reports it.
template <class Body>
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((no_sanitize_undefined))
#endif
decltype(auto) unless_python_ends(Body&& body) {
#ifdef __GLIBCXX__
  try {
    return std::forward<Body>(body)();
  } catch (abi::__forced_unwind&) {
    stop_for_good();
  }
#else
  return std::forward<Body>(body)();
#endif
}

// Calls a user function. Python references that C++ holds must not be released during the unwinding.
template <class... Arguments>
pybind11::object call(const pybind11::handle& function, Arguments&&... arguments) {
  const pybind11::tuple packed = pybind11::make_tuple(std::forward<Arguments>(arguments)...);
  PyObject* found = unless_python_ends([&] { return PyObject_CallObject(function.ptr(), packed.ptr()); });
  if (found == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::object>(found);
}

// Whether the calling thread has the GIL. PyGILState_Check() says yes to everybody once there was a subinterpreter.
inline bool has_gil() {
#if PY_VERSION_HEX >= 0x030D0000
  PyThreadState* state = PyThreadState_GetUnchecked();
#else
  PyThreadState* state = _PyThreadState_UncheckedGet();
#endif
  return state != nullptr && state == PyGILState_GetThisThreadState();
}

class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    unless_python_ends([this] { PyEval_RestoreThread(state_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

// Acquires the GIL on a thread that may or may not have it.
class WithGil {
 public:
  WithGil() : state_(unless_python_ends([] { return PyGILState_Ensure(); })) {}
  ~WithGil() { PyGILState_Release(state_); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
};

}  // namespace lamina::bindings
