"""Kernels refuse what they would have to convert, by name, and allocate nothing where outputs are given."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from lamina import _core, kernels


def arrays(dtype="float32", n=4, inputs=5, out=6):
    return {
        "x": np.ones((n, inputs), dtype),
        "w": np.ones((inputs, out), dtype),
        "b": np.ones(out, dtype),
        "out": np.empty((n, out), dtype),
        "pre": np.empty((n, out), dtype),
    }


def strided(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def unaligned(array):
    raw = bytearray(array.nbytes + 1)
    view = np.frombuffer(raw, array.dtype, offset=1, count=array.size).reshape(array.shape)
    assert not view.flags.aligned
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("name", ["x", "w", "b", "out", "pre"])
def test_dense_forward_refuses_what_it_would_convert(name):
    good = arrays()
    kernels.dense_forward(**good)
    array = good[name]
    for wrong, error, message in (
        (array.astype("float16"), TypeError, "must be float32 or float64; got float16"),
        (array.astype("int32"), TypeError, "must be float32 or float64; got int32"),
        (array.astype("complex64"), TypeError, "must be float32 or float64; got complex64"),
        (array.astype(">f4"), TypeError, "must be float32 or float64; got >f4"),
        (array.astype(object), TypeError, "must be float32 or float64; got object"),
        (array.tolist(), TypeError, "must be a numpy.ndarray; got list"),
        (strided(array), ValueError, "must be C-contiguous"),
        (unaligned(array), ValueError, "must be aligned"),
    ):
        with pytest.raises(error, match=rf"dense_forward: {name} {message}"):
            kernels.dense_forward(**(good | {name: wrong}))
    if array.ndim == 2:
        with pytest.raises(ValueError, match=rf"dense_forward: {name} must be C-contiguous"):
            kernels.dense_forward(**(good | {name: np.asfortranarray(array)}))


@pytest.mark.parametrize("name", ["x", "w", "b", "out", "pre"])
def test_dense_forward_refuses_a_second_dtype(name):
    good = arrays()
    with pytest.raises(TypeError, match="must be float(32|64) like the other arrays"):
        kernels.dense_forward(**(good | {name: good[name].astype("float64")}))


@pytest.mark.parametrize("name", ["out", "pre"])
def test_outputs_must_be_writeable(name):
    good = arrays()
    with pytest.raises(ValueError, match=f"{name} must be writeable"):
        kernels.dense_forward(**(good | {name: read_only(good[name])}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": np.ones(5, "f")}, r"x must have shape \(n, in\); got \(5,\). A single row is x\[numpy.newaxis\]"),
        ({"x": np.ones((4, 7), "f")}, r"w must have shape \(in, out\) with in = 7 as x has; got \(5, 6\)"),
        ({"w": np.ones((5, 6, 1), "f")}, r"w must have shape \(in, out\); got \(5, 6, 1\)"),
        ({"b": np.ones((1, 6), "f")}, r"b must have shape \(out,\) = \(6,\); got \(1, 6\)"),
        ({"b": np.ones(5, "f")}, r"b must have shape \(out,\) = \(6,\); got \(5,\)"),
        ({"out": np.ones((6, 4), "f")}, r"out must have shape \(n, out\) = \(4, 6\); got \(6, 4\)"),
        ({"pre": np.ones((4, 5), "f")}, r"pre must have shape \(n, out\) = \(4, 6\); got \(4, 5\)"),
        ({"activation": "rleu"}, "activation must be one of 'linear', 'relu'.*; got 'rleu'"),
    ],
)
def test_dense_forward_refuses_wrong_shapes_and_names(wrong, message):
    with pytest.raises(ValueError, match=message):
        kernels.dense_forward(**(arrays() | wrong))


def test_dense_backward_refuses():
    x, w, dy = np.ones((4, 5), "f"), np.ones((5, 6), "f"), np.ones((4, 6), "f")
    with pytest.raises(ValueError, match=r"dy must have shape \(n, out\) = \(4, 6\); got \(4, 5\)"):
        kernels.dense_backward(x, w, x)
    with pytest.raises(ValueError, match="y must be given for activation 'relu', .*from its output"):
        kernels.dense_backward(x, w, dy, activation="relu")
    with pytest.raises(ValueError, match="pre must be given for activation 'gelu', .*from its input"):
        kernels.dense_backward(x, w, dy, y=dy.copy(), activation="gelu")
    with pytest.raises(ValueError, match="dx must be None where need_dx is False"):
        kernels.dense_backward(x, w, dy, dx=x.copy(), need_dx=False)
    with pytest.raises(ValueError, match="dw must not share memory with w"):
        kernels.dense_backward(x, w, dy, dw=w)
    with pytest.raises(ValueError, match="dx must not share memory with x"):
        kernels.dense_backward(x, w, dy, dx=x)


def test_overlaps_are_refused_and_write_nothing():
    store = np.arange(100, dtype="f")
    kept = store.copy()
    x, out = store[:20].reshape(4, 5), store[10:34].reshape(4, 6)
    with pytest.raises(ValueError, match="out must not share memory with x"):
        kernels.dense_forward(x, np.ones((5, 6), "f"), out=out)
    with pytest.raises(ValueError, match="out must not share memory with pre"):
        kernels.dense_forward(np.ones((4, 5), "f"), np.ones((5, 6), "f"), out=out, pre=out)
    with pytest.raises(ValueError, match="out must not share memory with x"):
        kernels.activation_forward("relu", store[:50], out=store[1:51])
    with pytest.raises(ValueError, match="grad must not share memory with param"):
        kernels.sgd_update(store[:50], store[49:99], learning_rate=0.1)
    with pytest.raises(ValueError, match="velocity must not share memory with"):
        kernels.sgd_update(store[:50], store[50:], store[:50], learning_rate=0.1, momentum=0.5)
    with pytest.raises(ValueError, match="loss must not share memory with logits"):
        kernels.softmax_cross_entropy(store[:20].reshape(4, 5), np.zeros(4, int), loss=store[:4])
    np.testing.assert_array_equal(store, kept)


def test_losses_refuse():
    z = np.ones((4, 3), "f")
    with pytest.raises(ValueError, match=r"logits must have shape \(n, c\); got \(3,\)"):
        kernels.softmax_cross_entropy(z[0], np.array([1]))
    with pytest.raises(ValueError, match=r"logits must have at least one column; got \(4, 0\)"):
        kernels.softmax_cross_entropy(np.ones((4, 0), "f"), np.zeros(4, int))
    with pytest.raises(ValueError, match=r"labels must have shape \(n,\) = \(4,\); got \(3,\)"):
        kernels.softmax_cross_entropy(z, np.zeros(3, int))
    with pytest.raises(TypeError, match="labels must be integers"):
        kernels.softmax_cross_entropy(z, np.zeros(4, "f"))
    with pytest.raises(TypeError, match="labels must be integers"):
        kernels.softmax_cross_entropy(z, np.zeros(4, ">i4"))
    with pytest.raises(ValueError, match="labels must be C-contiguous"):
        kernels.softmax_cross_entropy(z, np.zeros(8, int)[::2])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(n,\) = \(4,\); got \(4, 1\)"):
        kernels.mse(z, z, sample_weight=np.ones((4, 1), "f"))
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\]; got 1.5"):
        kernels.softmax_cross_entropy(z, z, label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"y_true must have shape \(n, c\) = \(4, 3\); got \(4,\)"):
        kernels.mse(z, np.ones(4, "f"))


def test_masked_arrays_are_refused():
    good = arrays()
    with pytest.raises(TypeError, match="x must be a plain numpy.ndarray; got a masked one"):
        kernels.dense_forward(**(good | {"x": np.ma.masked_invalid(good["x"])}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kernels.activation_forward(3, x), "name must be a str; got int"),
        (lambda x: kernels.activation_forward("elu", x, alpha="a"), "alpha must be a real number; got str"),
        (lambda x: kernels.activation_forward("elu", x, alpha=1j), "alpha must be a real number; got complex"),
        (lambda x: kernels.dense_forward(x, x, activation=None), "activation must be a str; got NoneType"),
        (lambda x: kernels.dense_backward(x, x, x, need_dx="no"), "need_dx must be True or False; got str"),
        (lambda x: kernels.softmax_cross_entropy(x, x, label_smoothing="x"), "label_smoothing must be a number"),
        (lambda x: kernels.mse(x, x, need_grad=None), "need_grad must be True or False; got NoneType"),
        (lambda x: kernels.sgd_update(x, x.copy(), learning_rate="x"), "learning_rate must be a real number; got str"),
        (
            lambda x: kernels.sgd_update(x, x.copy(), learning_rate=True),
            "learning_rate must be a real number; got bool",
        ),
        (lambda x: kernels.sgd_update(x, x.copy(), learning_rate=1, nesterov="no"), "nesterov must be True or False"),
    ],
)
def test_scalars_are_refused_in_words(call, message):
    with pytest.raises(TypeError, match=message):
        call(np.ones((3, 3)))


def test_hyperparameters_must_be_finite_in_the_dtype():
    with pytest.raises(ValueError, match="learning_rate must be finite"):
        kernels.sgd_update(np.ones(3, "f"), np.ones(3, "f"), learning_rate=1e300)
    kernels.sgd_update(np.ones(3), np.ones(3), learning_rate=1e300)
    with pytest.raises(ValueError, match="alpha must be finite"):
        kernels.activation_forward("leaky_relu", np.ones(3, "f"), alpha=1e300)


def test_no_columns_is_no_work():
    x = np.ones((2**40, 0), "f")
    assert kernels.dense_forward(x, np.ones((0, 0), "f"), activation="softmax").shape == (2**40, 0)


def test_outputs_are_the_arrays_given():
    good = arrays()
    address = good["out"].ctypes.data
    y = kernels.dense_forward(**good)
    assert y is good["out"]
    assert y.ctypes.data == address


def test_read_only_and_memory_mapped_inputs_are_read_where_they_are(tmp_path):
    good = arrays()
    np.save(tmp_path / "x.npy", good["x"])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = kernels.dense_forward(good["x"], good["w"])
    np.testing.assert_array_equal(kernels.dense_forward(mapped, read_only(good["w"])), expected)


def test_calls_with_outputs_allocate_nothing():
    n, inputs, out = 200, 300, 100
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(s).astype("f") for s in ((n, inputs), (inputs, out), (n, out)))
    b, y, dx, dw, db = np.ones(out, "f"), np.empty_like(dy), np.empty_like(x), np.empty_like(w), np.empty(out, "f")
    labels, loss, velocity = np.zeros(n, int), np.empty(n, "f"), np.zeros_like(w)

    def step():
        kernels.dense_forward(x, w, b, "tanh", out=y)
        kernels.softmax_cross_entropy(y, labels, loss=loss, grad=dy)
        kernels.dense_backward(x, w, dy, y=y, activation="tanh", dx=dx, dw=dw, db=db)
        kernels.sgd_update(w, dw, velocity, learning_rate=0.01, momentum=0.9)
        kernels.softmax(y, out=y)

    step()
    scratch = _core.scratch_bytes()
    tracemalloc.start()  # NumPy reports its array memory to it
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(20):
            step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < min(y.nbytes, loss.nbytes + 8000)
    assert _core.scratch_bytes() == scratch
