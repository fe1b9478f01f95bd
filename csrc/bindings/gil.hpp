// The GIL, given back and taken. A thread that still runs when the interpreter ends does not get it any more:
// Python 3.11 to 3.13 end such a thread by pthread_exit, whose unwinding neither destructors nor the engine's frames
// survive. It is stopped for good instead, as newer versions of Python do themselves; the process ends without it.
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

// Calls what may end the thread. The unwinding hands over no object, so the handler's reference is bound to nothing:
// that is how it is meant, whatever the sanitizer of undefined behaviour says.
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

// Calls a function of the user's. What C++ holds of Python's must not be let go of in the unwinding.
template <class... Arguments>
pybind11::object call(const pybind11::handle& function, Arguments&&... arguments) {
  const pybind11::tuple packed = pybind11::make_tuple(std::forward<Arguments>(arguments)...);
  PyObject* found = unless_python_ends([&] { return PyObject_CallObject(function.ptr(), packed.ptr()); });
  if (found == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::object>(found);
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

// From a thread that may have it or not.
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
