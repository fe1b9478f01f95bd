"""What the core refuses when ops and updates are described wrongly: by exceptions that name what is wrong."""

from __future__ import annotations

from types import SimpleNamespace as Op

import numpy as np
import pytest

from lamina import _core
from lamina._engine.ops import LINEAR, Kernel
from lamina._engine.specs import LayerUpdateSpec, TensorUpdateSpec, UpdateSpec

SGD = {"momentum": 0.0, "nesterov": 0.0, "weight_decay": 0.0}


def network(op, width=3, factor=1, reads="dense"):
    return _core.Network("float32", width, factor, [op], reads)


def dense(block, activation=LINEAR, **others):
    return Op(kind="dense", parameters=block, activation=activation, trains=True, **others)


def kernel_block():
    return _core.Parameters("float32", True, [(3, 2), (1, 2)])


WRONG_OPS = {
    "unknown kind": (Op(kind="deep", parameters=None, trains=False), ValueError, "there is no kind of op 'deep'"),
    "dense without parameters": (dense(None), ValueError, "needs the parameters of a dense layer"),
    "dense with other parameters": (
        dense(_core.Parameters("float32", False, [(3, 2)])), ValueError, "needs the parameters of a dense layer",
    ),
    "dense with softmax": (dense(kernel_block(), Kernel("softmax")), ValueError, "activation of each element"),
    "dense of another dtype": (
        dense(_core.Parameters("float64", True, [(3, 2)])), TypeError, "must all have one dtype",
    ),
    "unknown activation": (dense(kernel_block(), Kernel("steep")), ValueError, "there is no activation 'steep'"),
    "rows without columns": (Op(kind="reshape", width=0, trains=False), ValueError, "must have a column"),
    "scale of different lengths": (
        Op(kind="scale", center=[0.0] * 3, scale=[1.0], shift=[0.0] * 3, trains=False), ValueError, "for each column",
    ),
    "unknown noise": (
        Op(kind="noise", noise="loud", rate=0.1, key=1, always=False, lines_alike=False, trains=False),
        ValueError,
        "there is no noise 'loud'",
    ),
    "unknown pooling": (
        Op(kind="pool", pooling="sum", masked=False, trains=False), ValueError, "there is no pooling 'sum'",
    ),
    "mask without indices": (
        Op(kind="pool", pooling="mean", masked=True, trains=False), ValueError, "that of an embedding's indices",
    ),
    "wrong type": (Op(kind="reshape", width="wide", trains=False), TypeError, r"SimpleNamespace\.width is of a wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_OPS)
def test_ops_that_are_described_wrongly_raise(name):
    op, error, message = WRONG_OPS[name]
    with pytest.raises(error, match=message):
        network(op)


@pytest.mark.parametrize("x", [None, 3, [[1.0, 2.0, 3.0]], "x"], ids=repr)
def test_input_that_is_no_array_raises(x):
    with pytest.raises(TypeError, match="x must be an array"):
        network(dense(kernel_block())).predict(x, None)


def test_indices_that_are_no_integers_raise():
    net = network(dense(kernel_block()), width=3, reads="indices")
    with pytest.raises(TypeError, match="x must hold integers"):
        net.predict(np.zeros((2, 1), np.float16), None)


def spec(settings, tensors=(0, 0), optimizer="sgd", slots=(None,)):
    layer = LayerUpdateSpec(slots=slots, tensors=[TensorUpdateSpec(t) for t in tensors])
    return UpdateSpec(optimizer, [settings], layers=[layer])


def test_a_negative_iteration_raises():
    nadam = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0}
    update = _core.Update([kernel_block()], spec(nadam, optimizer="nadam", slots=(kernel_block(), kernel_block())))
    for wrong in (-1, -(10**12)):
        with pytest.raises(ValueError, match="iteration must be >= 0"):
            update.accumulate(wrong, 0.1)
    assert update.accumulate(0, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 0.0, "nesterov": 0.0}, "'weight_decay' must be given"),
        (SGD | {"beta": 1.0}, "there are other parameters than 'momentum nesterov weight_decay'"),
    ],
)
def test_settings_are_read_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        _core.Update([kernel_block()], spec(settings))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (spec(SGD, optimizer="fast"), "there is no optimizer 'fast'"),
        (spec(SGD, tensors=(0,)), "state or tensors do not fit"),
        (spec(SGD, slots=()), r"sgd has 1 arrays of state for a layer .*; got 0\."),
        (spec(SGD, slots=(None, None)), r"sgd has 1 arrays of state for a layer .*; got 2\."),
        (spec(SGD, slots=(None,) * 9), r"sgd has 1 arrays of state for a layer .*; got 9\."),
        (spec(SGD, tensors=(0, 1)), "there is no such group"),
    ],
)
def test_updates_that_are_described_wrongly_raise(given, message):
    with pytest.raises(ValueError, match=message):
        _core.Update([kernel_block()], given)


def test_an_update_of_nothing_raises():
    with pytest.raises(TypeError, match="must not be None"):
        _core.Update([None], spec(SGD))
    with pytest.raises(ValueError, match="there must be a block"):
        _core.Update([], spec(SGD))


@pytest.mark.parametrize(("block", "tensor"), [(0, 1), (0, 2), (0, -1), (1, 0)])
def test_gradients_of_tensors_that_are_not_trained_raise(block, tensor):
    update = _core.Update([kernel_block()], spec(SGD, tensors=(0, -1)))
    update.write_gradient(0, 0, np.ones((3, 2), np.float32))
    with pytest.raises((ValueError, TypeError), match="no such tensor that is trained|incompatible"):
        update.write_gradient(block, tensor, np.ones((1, 2), np.float32))


def test_an_update_without_trained_tensors_takes_no_gradient():
    update = _core.Update([kernel_block()], spec(SGD, tensors=(-1, -1)))
    with pytest.raises(ValueError, match="no such tensor that is trained"):
        update.write_gradient(0, 0, np.ones((3, 2), np.float32))


@pytest.mark.parametrize("parameters", [{}, {"k": 1.0, "l": 2.0}, {"l": 2.0}])
def test_parameters_of_metrics_are_read_by_name(parameters):
    y = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="parameter"):
        _core.metric_values("categorical_top_matches", y, y, parameters, None)


def test_parameters_of_losses_are_read_by_name():
    y = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="there are other parameters than 'delta'"):
        _core.evaluate_loss("huber", y, y, None, {"sigma": 1.0}, None, None, False)
    half, one = (_core.evaluate_loss("huber", y, 0 * y, None, p, None, None, False)[0] for p in ({"delta": 0.5}, {}))
    np.testing.assert_allclose(half, 0.375)
    np.testing.assert_allclose(one, 0.5)
