"""What several test modules need."""

from __future__ import annotations

import os

import pytest

import lamina
from lamina import layers
from lamina.models.prepared import prepare

not_sanitized = pytest.mark.skipif(
    os.environ.get("LAMINA_SANITIZED") == "1", reason="a sanitizer takes 20 TB of address space, and more time"
)


def forced_model(model, schedule, threads, as_long=False):
    """Fit with a schedule of the tester's choice."""
    executor = model.executor
    trainer_of = executor.trainer

    def choose(prepared):
        trainer = trainer_of(prepared)
        trainer.force_schedule(schedule, threads, as_long)
        return trainer

    executor.trainer = choose
    return model


def prepared_for(model, x, y, sample_weight=None):
    """Return the data of a step, the model built and ready for them."""
    prepared = prepare("fit", model.stack, model.executor.require_compiled("fit"), x, y, sample_weight)
    model.executor.commit(prepared, model.build)
    return prepared


def small_model(units=1, activation=None, inputs=3, **compiled):
    """Compile a network of two layers, with weights that are always the same."""
    lamina.utils.set_random_seed(0)
    model = lamina.Sequential([lamina.Input((inputs,)), layers.Dense(4, "tanh"), layers.Dense(units, activation)])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | compiled))
    return model
