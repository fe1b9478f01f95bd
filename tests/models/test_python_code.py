"""What the engine cannot train alone is named."""

import re

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.models.jobs import NeedsPythonError
from lamina.models.prepared import prepare
from lamina.models.python_code import has_host_rules


class Decay(lamina.optimizers.Optimizer):
    def update(self, variable, gradient):
        variable.assign(variable.value - 0.1 * gradient)


class Penalty(lamina.regularizers.Regularizer):
    def __call__(self, x):
        return lamina.ops.sum(lamina.ops.square(x))

    def get_config(self):
        return {}


class Limit(lamina.constraints.Constraint):
    def __call__(self, w):
        return lamina.ops.clip(w, -1, 1)

    def get_config(self):
        return {}


class _Distance(lamina.metrics.Metric):
    def row_values(self, y_true, y_pred):
        return np.abs(y_pred - y_true).reshape(len(y_pred), -1).max(axis=1)


class _Patient(lamina.callbacks.EarlyStopping):
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)


class _Results(lamina.Sequential):
    def get_metrics_result(self):
        return super().get_metrics_result()


def _difference(t, p):
    return lamina.ops.mean(p - t, axis=-1)


def _built(kind=lamina.Sequential, middle=(), optimizer="sgd", loss="mse", metrics=(), **dense):
    model = kind([lamina.Input((4,)), *middle, layers.Dense(1, name="last", **dense)])
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def _hooked():
    model = _built()
    model.executor.on_gradient(lambda op, gradient: None)
    return model


# How to make a model, and what is said of it.
_CASES = {
    "layer": (lambda: _built(middle=[layers.Lambda(lambda z: z)]), "the layer 'lambda' is computed in Python"),
    "loss": (lambda: _built(loss=_difference), "the loss '_difference' is computed in Python"),
    "metric": (lambda: _built(metrics=[_Distance("far")]), "the metric 'far' is computed in Python"),
    "batches": (lambda: _built(metrics=["AUC"]), "the metric 'AUC' is computed in Python, from whole batches"),
    "optimizer": (lambda: _built(optimizer=Decay(0.1)), "the optimizer 'decay' is computed in Python"),
    "regularizer": (lambda: _built(kernel_regularizer=Penalty()), "the Penalty of 'last/kernel' is computed in Python"),
    "constraint": (lambda: _built(bias_constraint=Limit()), "the Limit of 'last/bias' is computed in Python"),
    "hook": (_hooked, "a function receives the gradients of every step"),
}


@pytest.mark.parametrize("case", _CASES)
def test_what_takes_part_in_the_steps_is_named(case):
    make, words = _CASES[case]
    x = np.ones((8, 4), "float32")
    model = make()
    with pytest.raises(NeedsPythonError, match=re.escape(f"models[1]: {words}: only fit can train that.")):
        lamina.fit_many([_built(), model], x, x[:, :1], verbose=0)
    assert has_host_rules(model.trainable_weights) == (case in ("regularizer", "constraint"))
    model.fit(x, x[:, :1], verbose=0)


def test_what_comes_between_epochs_is_named():
    x = np.ones((8, 4), "float32")
    for model, stop, words in (
        (_built(_Results), None, "get_metrics_result is computed in Python"),
        (_built(), _Patient("loss"), "callbacks are called in Python while the epochs run"),
    ):
        with pytest.raises(NeedsPythonError, match=re.escape(f"models[0]: {words}: only fit can train that.")):
            lamina.fit_many([model], x, x[:, :1], early_stopping=stop, verbose=0)


def test_nothing_is_named_where_the_engine_trains_alone():
    x = np.ones((8, 4), "float32")
    model = _built(metrics=["mae"], kernel_regularizer="l2", kernel_constraint="non_neg")
    assert not has_host_rules(model.trainable_weights)
    lamina.fit_many([model], x, x[:, :1], verbose=0)
    prepared = prepare("test", model.stack, model.executor.require_compiled("fit"), x, x[:, :1], None)
    assert model.executor.python_in_steps(prepared) == ""
