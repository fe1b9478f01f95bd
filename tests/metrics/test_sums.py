"""What a metric has summed up, as a value."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import metrics
from lamina.metrics.sums import check_sums, sums_of, take_sums


class Worst(metrics.Metric):
    """Keeps its state in attributes of its own, one of which is named like one of the base class."""

    def __init__(self, name="worst"):
        super().__init__(name)
        self._total, self.seen, self.any_seen = 0.0, None, False

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._total = max(self._total, float(np.abs(y_true - y_pred).max()))
        self.seen = np.arange(len(y_true)) if self.seen is None else np.append(self.seen, 1)
        self.any_seen = True

    def result(self):
        return self._total

    def reset_state(self):
        self._total, self.seen, self.any_seen = 0.0, None, False


def test_the_state_of_a_custom_metric_comes_back():
    metric = Worst()
    metric.update_state(np.zeros((3, 1)), np.array([[1.0], [5.0], [2.0]]))
    state = sums_of(metric)
    take_sums(metric, state)
    assert (metric.result(), metric.any_seen, len(metric.seen)) == (5.0, True, 3)
    metric.update_state(np.zeros((1, 1)), np.array([[9.0]]))
    take_sums(metric, state)
    assert (metric.result(), metric.any_seen, len(metric.seen)) == (5.0, True, 3)
    metric.reset_state()
    take_sums(metric, state)
    assert (metric.result(), metric.any_seen, len(metric.seen)) == (5.0, True, 3)
    state["seen"][:] = -1  # copies, both ways
    assert metric.seen.tolist() == [0, 1, 2]


def test_the_librarys_arguments_are_no_sums():
    class Own(metrics.AUC):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(y_true, y_pred, sample_weight)

    plain, own = metrics.AUC(from_logits=True), Own(from_logits=True)
    for metric in (plain, own):
        metric.update_state([0, 1, 1], [-0.5, 2.0, -1.0])
    assert not {"from_logits", "multi_label", "ascending"} & {*sums_of(plain), *sums_of(own)}
    other = Own()
    take_sums(other, sums_of(own))
    assert not other.from_logits


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (
            metrics.MeanSquaredError,
            {"more": 1.0},
            r"must be \['count', 'total'\]; got \['count', 'more', 'total'\]",
        ),
        (metrics.MeanSquaredError, {"total": np.zeros(2)}, r"total must have shape \(\); got \(2,\)"),
        (metrics.AUC, {"_counts": np.zeros(3)}, r"_counts must have shape"),
    ],
)
def test_sums_of_another_metric_are_refused(make, change, message):
    metric = make()
    metric.update_state([[0.0], [1.0]], [[0.25], [0.5]])
    before = metric.result()
    with pytest.raises(ValueError, match=message):
        check_sums(metric, sums_of(metric) | change)
    assert metric.result() == before
