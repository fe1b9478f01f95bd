# lamina's functions for Cython; lamina.h documents them. Call lamina_import() once, where the module begins.
from libc.stdint cimport int64_t


cdef extern from "lamina.h" nogil:
    const int LAMINA_ABI
    enum:
        LAMINA_FLOAT
        LAMINA_DOUBLE
        LAMINA_INT64
        LAMINA_OK
        LAMINA_NO_MEMORY
        LAMINA_WRONG_TYPE
        LAMINA_WRONG_VALUE
        LAMINA_NOT_IMPORTED

    ctypedef struct lamina_network:
        int input_type
        int output_type
        ptrdiff_t inputs
        ptrdiff_t outputs

    int lamina_predict_float(const lamina_network *network, const float *x, ptrdiff_t rows, float *y)
    int lamina_predict_double(const lamina_network *network, const double *x, ptrdiff_t rows, double *y)
    int lamina_predict_indices(const lamina_network *network, const int64_t *x, ptrdiff_t rows, void *y)

    int lamina_activation(const char *name)
    int lamina_needs_pre(int activation)
    int lamina_dense_forward_float(
        const float *x, const float *w, const float *b, ptrdiff_t n, ptrdiff_t inputs, ptrdiff_t outputs,
        int activation, double alpha, float *pre, float *y)
    int lamina_dense_forward_double(
        const double *x, const double *w, const double *b, ptrdiff_t n, ptrdiff_t inputs, ptrdiff_t outputs,
        int activation, double alpha, double *pre, double *y)
    int lamina_dense_backward_float(
        const float *x, const float *w, const float *dy, const float *v, ptrdiff_t n, ptrdiff_t inputs,
        ptrdiff_t outputs, int activation, double alpha, float *dx, float *dw, float *db)
    int lamina_dense_backward_double(
        const double *x, const double *w, const double *dy, const double *v, ptrdiff_t n, ptrdiff_t inputs,
        ptrdiff_t outputs, int activation, double alpha, double *dx, double *dw, double *db)


cdef extern from "lamina.h":
    int lamina_import() except -1
    const lamina_network *lamina_network_of(object network) except NULL
