"""What callbacks share: hooks, the value that they watch, how the logs are shown."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import Fixed, model_and_data

import lamina
from lamina import callbacks, layers


def test_auto_knows_what_is_better(rng):
    model, x, y = model_and_data(rng)
    for monitor, mode in (("loss", False), ("mae", False), ("R2Score", True), ("val_R2Score", True)):
        stop = callbacks.EarlyStopping(monitor)
        model.fit(x, y, verbose=0, validation_split=0.2, callbacks=[stop])
        assert (stop.monitor_op is np.greater) is mode
    with pytest.raises(ValueError, match="not known whether more or less"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[Fixed(odd=[1, 2]), callbacks.EarlyStopping("odd")])
    with pytest.warns(UserWarning, match="there is no 'val_loss' to watch"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.EarlyStopping()])


def test_what_is_no_number_in_the_logs_is_shown_and_not_watched(capsys):
    class Says(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["phase"] = "warm"

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = callbacks.EarlyStopping("phase", mode="min", patience=0)
    with pytest.warns(UserWarning, match="'phase' must be one number to be watched; it is 'warm'"):
        model.fit(np.ones((4, 3)), np.ones(4), epochs=2, verbose=2, callbacks=[Says(), stop])
    assert capsys.readouterr().out.count("phase: warm") == 2
