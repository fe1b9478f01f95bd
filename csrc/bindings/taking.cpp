// What holds a lock during a with statement. Every step takes several, so this is written for Python's own interface:
// an object of pybind11 takes 0.9 µs more.
#include <pybind11/pybind11.h>

#include <utility>

#include "bindings/register.hpp"

namespace py = pybind11;

namespace lamina::bindings {
namespace {

struct Taking {
  PyObject_HEAD PyObject* lock;  // with acquire and release
  PyObject* refusal;             // a message, if it must not wait
  bool entered;
};

PyObject *acquire_name, *release_name;

Taking* as_taking(PyObject* self) { return reinterpret_cast<Taking*>(self); }

// Between the lock's acquire and the note of it no Python code runs.
PyObject* begin_block(PyObject* self, PyObject*) {
  PyObject* stack[] = {as_taking(self)->lock, Py_False};
  const std::size_t arguments = as_taking(self)->refusal == nullptr ? 1 : 2;
  PyObject* acquired = PyObject_VectorcallMethod(acquire_name, stack, arguments, nullptr);
  if (acquired == nullptr) return nullptr;
  Py_DECREF(acquired);
  if (acquired != Py_True) {
    PyErr_SetObject(PyExc_RuntimeError, as_taking(self)->refusal);
    return nullptr;
  }
  as_taking(self)->entered = true;
  Py_RETURN_NONE;
}

PyObject* end_block(PyObject* self, PyObject* const*, Py_ssize_t) {
  if (!std::exchange(as_taking(self)->entered, false)) Py_RETURN_NONE;
  PyObject* stack[] = {as_taking(self)->lock};
  return PyObject_VectorcallMethod(release_name, stack, 1, nullptr);
}

// Releases the lock if the block has never begun (see Managed in interrupts.cpp).
void deallocate(PyObject* self) {
  if (as_taking(self)->entered) {
    const py::error_scope scope;
    PyObject* done = end_block(self, nullptr, 0);
    if (done == nullptr) PyErr_WriteUnraisable(as_taking(self)->lock);
    Py_XDECREF(done);
  }
  Py_XDECREF(as_taking(self)->lock);
  Py_XDECREF(as_taking(self)->refusal);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef taking_methods[] = {
    {"__enter__", begin_block, METH_NOARGS, nullptr},
    {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(end_block)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot taking_slots[] = {
    {Py_tp_methods, taking_methods}, {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)}, {0, nullptr}};
PyType_Spec taking_spec = {"lamina._core.Taking", sizeof(Taking), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                           taking_slots};

PyTypeObject* taking_type = nullptr;

PyObject* taking(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count < 1 || count > 2) {
    PyErr_SetString(PyExc_TypeError, "taking: must be called with a lock, or a lock and a refusal.");
    return nullptr;
  }
  PyObject* made = taking_type->tp_alloc(taking_type, 0);
  if (made == nullptr) return nullptr;
  Py_INCREF(arguments[0]);
  as_taking(made)->lock = arguments[0];
  if (count == 2) {
    Py_INCREF(arguments[1]);
    as_taking(made)->refusal = arguments[1];
  }
  return made;
}

PyMethodDef taking_functions[] = {
    {"taking", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(taking)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void register_taking(py::module_& module) {
  acquire_name = PyUnicode_InternFromString("acquire");
  release_name = PyUnicode_InternFromString("release");
  taking_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&taking_spec));
  if (acquire_name == nullptr || release_name == nullptr || taking_type == nullptr ||
      PyModule_AddFunctions(module.ptr(), taking_functions) != 0)
    throw py::error_already_set();
  module.attr("Taking") = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(taking_type));
}

}  // namespace lamina::bindings
