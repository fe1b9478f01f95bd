/* lamina's functions for C, C++ and Cython: predictions of a model, and the dense layer, without Python.

   Compile with the include folder that Python's lamina.get_include() returns; nothing is linked. Call lamina_import()
   once in each file that includes this, where the module begins (others return LAMINA_NOT_IMPORTED); everything but
   that and lamina_network_of() can be called without the GIL, and from several threads at once. Functions that compute
   return 0, or a LAMINA_ code. */
#ifndef LAMINA_H
#define LAMINA_H

#include <Python.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever anything below does. */
#define LAMINA_ABI 1

enum { LAMINA_FLOAT = 0, LAMINA_DOUBLE = 1, LAMINA_INT64 = 2 };
enum {
  LAMINA_OK = 0,
  LAMINA_NO_MEMORY = -1,
  LAMINA_WRONG_TYPE = -2,
  LAMINA_WRONG_VALUE = -3,
  LAMINA_NOT_IMPORTED = -4
};

/* What a model computes. It follows the training of the model: predictions are by its weights of the moment. */
typedef struct lamina_network {
  int input_type;            /* of rows of input: LAMINA_FLOAT, LAMINA_DOUBLE, or LAMINA_INT64 for indices */
  int output_type;           /* LAMINA_FLOAT or LAMINA_DOUBLE */
  ptrdiff_t inputs, outputs; /* numbers in a row */
} lamina_network;

/* The table of functions, in a capsule of the extension module. */
typedef struct lamina_functions {
  int abi;
  int (*predict)(const lamina_network* network, const void* x, ptrdiff_t rows, void* y);
  int (*activation)(const char* name);
  int (*needs_pre)(int activation);
  int (*dense_forward_float)(const float* x, const float* w, const float* b, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                             int activation, double alpha, float* pre, float* y);
  int (*dense_forward_double)(const double* x, const double* w, const double* b, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, int activation, double alpha, double* pre, double* y);
  int (*dense_backward_float)(const float* x, const float* w, const float* dy, const float* v, ptrdiff_t n,
                              ptrdiff_t in, ptrdiff_t out, int activation, double alpha, float* dx, float* dw,
                              float* db);
  int (*dense_backward_double)(const double* x, const double* w, const double* dy, const double* v, ptrdiff_t n,
                               ptrdiff_t in, ptrdiff_t out, int activation, double alpha, double* dx, double* dw,
                               double* db);
} lamina_functions;

#define LAMINA_FUNCTIONS_CAPSULE "lamina._core.functions"
#define LAMINA_NETWORK_CAPSULE "lamina.network"

#ifndef LAMINA_TABLE_ONLY

static const lamina_functions* lamina_table = NULL;

/* Find the functions. Returns 0, or -1 with an ImportError: lamina is not installed, or has another ABI. */
static inline int lamina_import(void) {
  const lamina_functions* found;
  PyObject* package = PyImport_ImportModule("lamina");
  if (package == NULL) return -1;
  Py_DECREF(package);
  found = (const lamina_functions*)PyCapsule_Import(LAMINA_FUNCTIONS_CAPSULE, 0);
  if (found == NULL) return -1;
  if (found->abi != LAMINA_ABI) {
    PyErr_Format(PyExc_ImportError,
                 "this module was compiled for ABI %d of lamina, and the lamina that is installed has ABI %d: compile "
                 "the module again",
                 LAMINA_ABI, found->abi);
    return -1;
  }
  lamina_table = found;
  return 0;
}

/* The network in the object that lamina.capi.network(model) returns; it is there as long as that object is. Returns
   NULL with a Python exception for other objects. */
static inline const lamina_network* lamina_network_of(PyObject* object) {
  return (const lamina_network*)PyCapsule_GetPointer(object, LAMINA_NETWORK_CAPSULE);
}

/* Predict rows, which lie one after the other: x holds rows * inputs numbers, y gets rows * outputs. */
static inline int lamina_predict_float(const lamina_network* network, const float* x, ptrdiff_t rows, float* y) {
  if (network->input_type != LAMINA_FLOAT || network->output_type != LAMINA_FLOAT) return LAMINA_WRONG_TYPE;
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->predict(network, x, rows, y);
}
static inline int lamina_predict_double(const lamina_network* network, const double* x, ptrdiff_t rows, double* y) {
  if (network->input_type != LAMINA_DOUBLE || network->output_type != LAMINA_DOUBLE) return LAMINA_WRONG_TYPE;
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->predict(network, x, rows, y);
}
/* The same for models that read indices; y is of the output type. */
static inline int lamina_predict_indices(const lamina_network* network, const int64_t* x, ptrdiff_t rows, void* y) {
  if (network->input_type != LAMINA_INT64) return LAMINA_WRONG_TYPE;
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->predict(network, x, rows, y);
}

/* The number of an activation of lamina.activations, -1 for other names; whether its derivative is computed from its
   input. */
static inline int lamina_activation(const char* name) {
  return lamina_table == NULL ? -1 : lamina_table->activation(name);
}
static inline int lamina_needs_pre(int activation) {
  return lamina_table != NULL && lamina_table->needs_pre(activation);
}

/* y = f(x w + b): x (n, in), w (in, out), b (out) or NULL, y (n, out), all row-major. pre (n, out), or NULL, gets
   x w + b. alpha is the activation's parameter; NaN stands for the usual one. */
static inline int lamina_dense_forward_float(const float* x, const float* w, const float* b, ptrdiff_t n, ptrdiff_t in,
                                             ptrdiff_t out, int activation, double alpha, float* pre, float* y) {
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->dense_forward_float(x, w, b, n, in, out, activation, alpha, pre, y);
}
static inline int lamina_dense_forward_double(const double* x, const double* w, const double* b, ptrdiff_t n,
                                              ptrdiff_t in, ptrdiff_t out, int activation, double alpha, double* pre,
                                              double* y) {
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->dense_forward_double(x, w, b, n, in, out, activation, alpha, pre, y);
}

/* The gradients dx (n, in), dw (in, out) and db (out) of a loss, given dy, that by y; each of them may be NULL. v is y,
   or pre where lamina_needs_pre() says so; NULL will do without an activation. */
static inline int lamina_dense_backward_float(const float* x, const float* w, const float* dy, const float* v,
                                              ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int activation, double alpha,
                                              float* dx, float* dw, float* db) {
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->dense_backward_float(x, w, dy, v, n, in, out, activation, alpha, dx, dw, db);
}
static inline int lamina_dense_backward_double(const double* x, const double* w, const double* dy, const double* v,
                                               ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, int activation, double alpha,
                                               double* dx, double* dw, double* db) {
  if (lamina_table == NULL) return LAMINA_NOT_IMPORTED;
  return lamina_table->dense_backward_double(x, w, dy, v, n, in, out, activation, alpha, dx, dw, db);
}

#endif /* LAMINA_TABLE_ONLY */

#ifdef __cplusplus
}
#endif

#endif
