# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The NumPy baseline again with typed memoryviews: what plain loops give when a C compiler sees them."""

from libc.math cimport exp, expf, log, tanhf


def dense_forward(const float[:, ::1] x, const float[:, ::1] w, const float[::1] b, float[:, ::1] y):
    cdef Py_ssize_t n = x.shape[0], inputs = x.shape[1], out = w.shape[1], i, j, k
    cdef float left
    for i in range(n):
        for j in range(out):
            y[i, j] = b[j]
        for k in range(inputs):
            left = x[i, k]
            for j in range(out):
                y[i, j] += left * w[k, j]


def dense_backward(const float[:, ::1] x, const float[:, ::1] w, const float[:, ::1] dz,
                   float[:, ::1] dx, float[:, ::1] dw, float[::1] db, bint need_dx=True):
    cdef Py_ssize_t n = x.shape[0], inputs = x.shape[1], out = w.shape[1], i, j, k
    cdef float left, total
    dw[:, :] = 0
    db[:] = 0
    for i in range(n):
        for j in range(out):
            db[j] += dz[i, j]
        for k in range(inputs):
            left = x[i, k]
            for j in range(out):
                dw[k, j] += left * dz[i, j]
            if need_dx:
                total = 0
                for j in range(out):
                    total += dz[i, j] * w[k, j]
                dx[i, k] = total


def relu(float[:, ::1] x):
    cdef Py_ssize_t i, j
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = x[i, j] if x[i, j] > 0 else 0


def relu_backward(const float[:, ::1] y, float[:, ::1] dy):
    cdef Py_ssize_t i, j
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            dy[i, j] = dy[i, j] if y[i, j] > 0 else 0


def element(str name, const float[::1] x, float[::1] y):
    cdef Py_ssize_t i
    if name == "relu":
        for i in range(x.shape[0]):
            y[i] = x[i] if x[i] > 0 else 0
    elif name == "exponential":
        for i in range(x.shape[0]):
            y[i] = expf(x[i])
    elif name == "tanh":
        for i in range(x.shape[0]):
            y[i] = tanhf(x[i])
    elif name == "sigmoid":
        for i in range(x.shape[0]):
            y[i] = 1 / (1 + expf(-x[i]))


def softmax_cross_entropy(const float[:, ::1] z, const long[::1] labels, float[::1] loss, float[:, ::1] dz, float scale):
    cdef Py_ssize_t i, j, c = z.shape[1]
    cdef float top, total
    for i in range(z.shape[0]):
        top = z[i, 0]
        for j in range(1, c):
            top = z[i, j] if z[i, j] > top else top
        total = 0
        for j in range(c):
            dz[i, j] = expf(z[i, j] - top)
            total += dz[i, j]
        loss[i] = log(total) + top - z[i, labels[i]]
        for j in range(c):
            dz[i, j] *= scale / total
        dz[i, labels[i]] -= scale


def sgd(float[::1] theta, const float[::1] g, float rate):
    cdef Py_ssize_t i
    for i in range(theta.shape[0]):
        theta[i] -= rate * g[i]
