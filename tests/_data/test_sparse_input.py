"""First layers that read sparse rows: the same numbers as with dense input."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from helpers import OPTIMIZERS, forced_model, language_model

import lamina
from lamina import layers, optimizers
from lamina._data.sparse import SparseRows

scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input is SciPy's")


def bag_of_words(rng, n=150, width=300, dtype="float32"):
    """Rows with 0 to 30 numbers that are not zero."""
    dense = np.zeros((n, width), dtype)
    for row in dense[1:]:
        places = rng.choice(width, rng.integers(0, 30), replace=False)
        row[places] = rng.integers(1, 5, len(places))
    return dense


def classifier(units, optimizer="sgd", dtype="float32", width=300, penalty=None):
    lamina.utils.set_random_seed(2)
    model = lamina.Sequential(
        [
            lamina.Input((width,), dtype=dtype),
            layers.Dense(units, "tanh", dtype=dtype, kernel_regularizer=penalty),
            layers.Dense(3, "softmax", dtype=dtype),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("units", [1, 20, 70, 300])
def test_sparse_rows_train_as_dense_ones(optimizer, units, dtype, isa, rng):
    x, y = bag_of_words(rng, dtype=dtype), rng.integers(0, 3, 150)
    dense, sparse = classifier(units, optimizer, dtype), classifier(units, optimizer, dtype)
    compressed = scipy_sparse.csr_array(x)
    wanted = dense.fit(x, y, batch_size=40, epochs=3, verbose=0, validation_split=0.2).history
    found = sparse.fit(compressed, y, batch_size=40, epochs=3, verbose=0, validation_split=0.2).history
    # Sums run in another order; three epochs amplify that.
    tolerance = 2e-4 if dtype == "float32" else 1e-11
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=tolerance)
    for a, b in zip(sparse.get_weights(), dense.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(sparse.predict(compressed), sparse.predict(x), rtol=tolerance, atol=tolerance)
    assert sparse.evaluate(compressed, y, verbose=0)[0] == pytest.approx(sparse.evaluate(x, y, verbose=0)[0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["sparse", "embedding"])
def test_bits_do_not_depend_on_threads(optimizer, kind, rng):
    y = rng.integers(0, 3, 150)
    x = scipy_sparse.csr_array(bag_of_words(rng)) if kind == "sparse" else rng.integers(0, 50, (150, 6))
    found = {}
    for threads in (1, 2, 3, 8):
        for as_long in (False, True):
            model = classifier(100, optimizer) if kind == "sparse" else language_model(optimizer)
            forced_model(model, "chunked", threads, as_long)
            history = model.fit(x, y, batch_size=64, epochs=2, verbose=0).history["loss"]
            weights = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
            found[threads, as_long] = weights, tuple(history)
    assert len(set(found.values())) == 1, found


def test_a_row_has_the_same_bits_in_any_batch(rng):
    x = scipy_sparse.csr_array(bag_of_words(rng))
    model = classifier(100)
    whole = model.predict(x)
    for first, end in ((0, 1), (3, 50), (149, 150), (5, 5)):
        np.testing.assert_array_equal(model.predict(x[first:end]), whole[first:end])


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("values", ["bool", "uint8", "int64", "float16", "float32", "float64"])
def test_all_types_are_read(index, values, rng):
    x = bag_of_words(rng)
    x = (x > 0) if values == "bool" else x
    matrix = scipy_sparse.csr_array(x.astype(values)) if values != "float16" else scipy_sparse.csr_array(x)
    if values == "float16":
        matrix.data = matrix.data.astype(np.float16)
    matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    model = classifier(40)
    np.testing.assert_allclose(model.predict(matrix), model.predict(x.astype("f")), rtol=1e-5)


def test_other_sparse_forms_and_duplicates_are_read(rng):
    x = bag_of_words(rng, n=20)
    model = classifier(40)
    wanted = model.predict(x)
    for form in ("csc_array", "coo_matrix", "lil_matrix", "csr_matrix"):
        np.testing.assert_allclose(model.predict(getattr(scipy_sparse, form)(x)), wanted, rtol=1e-5)
    twice = scipy_sparse.csr_array(([1.0, 2.0], [7, 7], [0, 2]), shape=(1, 300))
    once = scipy_sparse.csr_array(([3.0], [7], [0, 1]), shape=(1, 300))
    np.testing.assert_allclose(model.predict(twice), model.predict(once), rtol=1e-6)


def test_entries_are_not_copied(rng):
    x = scipy_sparse.csr_array(bag_of_words(rng))
    from lamina._data.rows import input_rows

    rows = input_rows("test", x, (300,))
    assert isinstance(rows, SparseRows)
    assert np.shares_memory(rows.arrays[1], x.indices)
    assert np.shares_memory(rows.arrays[2], x.data)
    part = rows[10:40]
    assert np.shares_memory(part.arrays[2], x.data)
    picked = rows[np.array([5, 5, 0, 149])]
    again = scipy_sparse.csr_array((picked.arrays[2], picked.arrays[1], picked.arrays[0]), shape=picked.shape)
    np.testing.assert_array_equal(again.toarray(), x.toarray()[[5, 5, 0, 149]])


def test_broken_sparse_matrices_raise(rng):
    model = classifier(5)
    good = scipy_sparse.csr_array(bag_of_words(rng, n=4))
    for change in ("indices", "indptr"):
        bad = good.copy()
        array = getattr(bad, change)
        array[2] = 10_000
        with pytest.raises(ValueError, match="out of bounds|indptr|index"):
            model.predict(bad)
    with pytest.raises(ValueError, match=r"shape \(n, 300\)"):
        model.predict(good[:, :299])
    with pytest.raises(TypeError, match="complex"):
        model.predict(good.astype(np.complex64))
    flat = lamina.Sequential([lamina.Input((300,)), layers.Activation("tanh"), layers.Dense(2)])
    with pytest.raises(TypeError, match="sparse.*toarray"):
        flat.predict(good)


def test_an_optimizer_in_python_takes_sparse_rows(rng):
    class Plain(optimizers.Optimizer):
        def update(self, variable, gradient):
            variable.assign(variable.value - np.float32(self.learning_rate) * gradient)

    x, y = scipy_sparse.csr_array(bag_of_words(rng)), rng.integers(0, 3, 150)
    ours, own = classifier(30), classifier(30)
    own.compile(Plain(0.3), "sparse_categorical_crossentropy")
    ours.fit(x, y, epochs=2, verbose=0)
    own.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(ours.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_columns_of_sparse_rows_that_change_after_the_check_raise(rng):
    x, y = scipy_sparse.csr_array(bag_of_words(rng)), rng.integers(0, 3, 150)

    class Spoil(lamina.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                x.indices[:] = 10**6

    with pytest.raises(ValueError, match="must stay as it is while it is read"):
        classifier(20).fit(x, y, epochs=2, verbose=0, callbacks=[Spoil()])


def test_one_long_row_does_not_make_all_rows_long(rng):
    dense = np.zeros((4000, 3000), "f")
    dense[:, 5] = 1
    dense[17] = 1
    x, y = scipy_sparse.csr_array(dense), rng.integers(0, 3, 4000)
    model = classifier(8, width=3000)
    before = lamina._core.engine_bytes()
    model.fit(x, y, batch_size=4000, verbose=0)
    assert lamina._core.engine_bytes() - before < 20e6
