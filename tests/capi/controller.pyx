# cython: language_level=3, boundscheck=False, wraparound=False
"""What C code does with a model, for test_capi.py."""
from cython.parallel cimport prange
from libc.stdint cimport int64_t

from lamina.capi cimport (
    LAMINA_OK, lamina_activation, lamina_dense_backward_double, lamina_dense_backward_float,
    lamina_dense_forward_double, lamina_dense_forward_float, lamina_import, lamina_needs_pre, lamina_network_of,
    lamina_network, lamina_predict_double, lamina_predict_float, lamina_predict_indices)

lamina_import()

ctypedef fused number:
    float
    double


cdef int predict(const lamina_network *network, const number *x, ptrdiff_t rows, number *y) noexcept nogil:
    if number is float:
        return lamina_predict_float(network, x, rows, y)
    else:
        return lamina_predict_double(network, x, rows, y)


def predict_rows(network, number[:, ::1] x, number[:, ::1] y, ptrdiff_t rows):
    """Predict so many rows in one call."""
    cdef const lamina_network *found = lamina_network_of(network)
    cdef int status
    with nogil:
        status = predict(found, &x[0, 0], rows, &y[0, 0])
    return status


def predict_with_gil(network, number[:, ::1] x, number[:, ::1] y):
    """Predict all rows in one call, without giving up the GIL."""
    return predict(lamina_network_of(network), &x[0, 0], x.shape[0], &y[0, 0])


def predict_each(network, number[:, ::1] x, number[:, ::1] y, int threads):
    """Predict rows one by one, on several threads."""
    cdef const lamina_network *found = lamina_network_of(network)
    cdef ptrdiff_t i
    cdef int wrong = 0
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        wrong += predict(found, &x[i, 0], 1, &y[i, 0]) != LAMINA_OK
    return wrong


def predict_indices(network, int64_t[:, ::1] x, float[:, ::1] y):
    """Predict rows of indices."""
    return lamina_predict_indices(lamina_network_of(network), &x[0, 0], x.shape[0], &y[0, 0])


def about(network):
    """Return the types and sizes of a network."""
    cdef const lamina_network *found = lamina_network_of(network)
    return found.input_type, found.output_type, found.inputs, found.outputs


def control(network, number[::1] state, ptrdiff_t steps):
    """Let a network move its own input for many steps; a loop without Python."""
    cdef const lamina_network *found = lamina_network_of(network)
    cdef number moves[64]
    cdef ptrdiff_t i
    cdef Py_ssize_t j
    cdef int status = 0
    with nogil:
        for i in range(steps):
            status |= predict(found, &state[0], 1, moves)
            for j in range(state.shape[0]):
                state[j] += <number>0.01 * moves[j]
    return status


def dense(number[:, ::1] x, number[:, ::1] w, number[::1] b, number[:, ::1] dy, bytes activation, double alpha,
          number[:, ::1] pre, number[:, ::1] y, number[:, ::1] dx, number[:, ::1] dw, number[::1] db):
    """Run a dense layer forward and backward."""
    cdef ptrdiff_t n = x.shape[0], inputs = x.shape[1], outputs = w.shape[1]
    cdef int kind = lamina_activation(activation), status
    cdef const number *v = &pre[0, 0] if lamina_needs_pre(kind) else &y[0, 0]
    if number is float:
        with nogil:
            status = lamina_dense_forward_float(
                &x[0, 0], &w[0, 0], &b[0], n, inputs, outputs, kind, alpha, &pre[0, 0], &y[0, 0])
            status |= lamina_dense_backward_float(
                &x[0, 0], &w[0, 0], &dy[0, 0], v, n, inputs, outputs, kind, alpha, &dx[0, 0], &dw[0, 0], &db[0])
    else:
        with nogil:
            status = lamina_dense_forward_double(
                &x[0, 0], &w[0, 0], &b[0], n, inputs, outputs, kind, alpha, &pre[0, 0], &y[0, 0])
            status |= lamina_dense_backward_double(
                &x[0, 0], &w[0, 0], &dy[0, 0], v, n, inputs, outputs, kind, alpha, &dx[0, 0], &dw[0, 0], &db[0])
    return status
