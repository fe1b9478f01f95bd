"""Metrics with a state of their own, beside the built-in ones."""

import keras
import numpy as np
from programs.data import table

x, y = table()


class TruePositives(keras.metrics.Metric):
    def __init__(self, name="hits", **kwargs):
        super().__init__(name=name, **kwargs)
        self.hits = self.add_weight(name="hits", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        found = np.logical_and(np.asarray(y_true) == 1, np.asarray(y_pred) > 0.5)
        self.hits.assign(self.hits + float(found.sum()))

    def result(self):
        return self.hits

    def reset_state(self):
        self.hits.assign(0.0)


metric = TruePositives()
metric.update_state(np.array([1, 1, 0]), np.array([0.9, 0.2, 0.8]))
metric.update_state(np.array([1, 0]), np.array([0.7, 0.1]))
first = float(metric.result())
metric.reset_state()
precision = keras.metrics.Precision()
precision.update_state([0, 1, 1, 1], [1, 0, 1, 1])
mean = keras.metrics.Mean()
for value in (1.0, 2.0, 6.0):
    mean.update_state(value)
auc = keras.metrics.AUC(num_thresholds=50)
auc.update_state(y, 1 / (1 + np.exp(-x[:, :3].sum(axis=1))))
results = {
    "first": first,
    "reset": float(metric.result()),
    "precision": float(precision.result()),
    "mean": mean.result().numpy() if hasattr(mean.result(), "numpy") else float(mean.result()),
    "auc": float(auc.result()),
}
