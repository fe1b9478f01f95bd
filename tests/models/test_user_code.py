"""What code of the user's is handed, and what it hands back: shapes, dtypes, ranks, and how often hooks are called."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers, losses, metrics, optimizers
from lamina.layers import Pass

RNG = np.random.default_rng(7)


def model_of(output, metric, loss="mse", inputs=4, **settings):
    model = lamina.Sequential([lamina.Input((*output[:-1], inputs)), layers.Dense(output[-1])])
    model.compile("sgd", loss, metrics=[metric], **settings)
    return model


class Spy(metrics.Metric):
    """Writes down what it is handed."""

    def __init__(self, name="spy"):
        super().__init__(name)
        self.seen = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen.append((y_true.copy(), y_pred.copy(), sample_weight))

    def result(self):
        return 0.0

    def reset_state(self):
        pass


SHAPES = [
    # output, targets of a row
    ((1,), ()), ((1,), (1,)), ((1,), (1, 1)), ((3,), (3,)), ((3,), (3, 1)),
    ((5, 1), (5,)), ((5, 1), (5, 1)), ((5, 2), (5, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("output", "target"), SHAPES)
@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "test_on_batch", "stream"])
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_handed_targets_of_the_predictions_rank(output, target, call, weighted):
    n = 5
    x, y = RNG.standard_normal((n, *output[:-1], 4)), RNG.standard_normal((n, *target))
    weight = np.arange(1.0, n + 1) if weighted else None
    spy = Spy()

    def function(y_true, y_pred):
        assert y_true.ndim == y_pred.ndim
        return np.abs(y_true - y_pred)

    model = lamina.Sequential([lamina.Input((*output[:-1], 4)), layers.Dense(output[-1])])
    model.compile(optimizers.SGD(0.0), "mse", metrics=[spy, function, "mae"], weighted_metrics=[Spy("weighted")])
    found = {
        "fit": lambda: {
            k: v[0] for k, v in model.fit(x, y, sample_weight=weight, batch_size=2, verbose=0).history.items()
        },
        "evaluate": lambda: model.evaluate(x, y, sample_weight=weight, batch_size=2, return_dict=True, verbose=0),
        "train_on_batch": lambda: model.train_on_batch(x, y, weight, return_dict=True),
        "test_on_batch": lambda: model.test_on_batch(x, y, weight, return_dict=True),
        "stream": lambda: model.evaluate([(x, y, weight)].__iter__(), return_dict=True, verbose=0),
    }[call]()
    assert found["function"] == pytest.approx(found["mae"], rel=1e-6)
    assert sum(len(p) for _, p, _ in spy.seen) == n
    for y_true, y_pred, own_weight in spy.seen:
        assert y_true.shape == y_pred.shape
        assert y_pred.shape[1:] == output
        assert own_weight is None
    for _, y_pred, own_weight in model.metrics[-1].seen:
        assert (own_weight is None) == (weight is None)
        if own_weight is not None:
            assert own_weight.shape == y_pred.shape[:-1]
    together = np.concatenate([y_true for y_true, _, _ in spy.seen]).reshape(n, -1)
    order = np.argsort(together[:, 0])
    np.testing.assert_array_equal(together[order], y.reshape(n, -1)[np.argsort(y.reshape(n, -1)[:, 0])])


@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "f4", "f8", ">i4", ">f8", "?"])
def test_metrics_are_handed_targets_of_the_dtype_given(dtype):
    y = np.array([0, 1, 1, 0, 1]).astype(dtype)
    if dtype in ("i8", "f8", "i4"):
        y[2] = 16777217  # no float32
    spy = Spy()
    model_of((1,), spy).evaluate(np.zeros((5, 4)), y, verbose=0)
    (seen,) = spy.seen
    assert seen[0].dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(seen[0][:, 0], y)


def test_class_numbers_and_converted_targets_come_as_they_were_given():
    labels = np.array([0, 2, 1, 2])
    spy = Spy()
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[spy])
    model.evaluate(np.zeros((4, 4)), labels, verbose=0)
    np.testing.assert_array_equal(spy.seen[0][0], labels)
    flags = np.array([0.0, 1.0, 1.0, 0.0])
    spy = Spy()
    model_of((1,), spy, loss="hinge").evaluate(np.zeros((4, 4)), flags, verbose=0)  # which makes -1 of 0
    np.testing.assert_array_equal(spy.seen[0][0], flags[:, np.newaxis])


def test_the_row_by_row_trap():
    y, p = np.array([1.0, 2, 3]), np.array([[1.0], [2], [3]])
    assert metrics.MeanMetricWrapper(lambda a, b: np.abs(a - b))(y, p) == 0

    class Plain(losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred).mean(axis=-1)

    assert Plain()(y, p) == 0


def test_results_by_name_go_to_the_logs():
    class Two(Spy):
        def result(self):
            return {"least": 1.0, "most": np.array(3.0)}

    model = model_of((1,), Two())
    history = model.fit(np.zeros((4, 4)), np.zeros(4), verbose=0, validation_split=0.5).history
    assert list(history) == ["least", "loss", "most", "val_least", "val_loss", "val_most"]
    assert history["most"] == [3.0]
    assert model.metrics_names == ["loss", "least", "most"]


def test_sample_weights_are_passed_by_name():
    class Swapped(metrics.Metric):
        def __init__(self):
            super().__init__("swapped")
            self.got = None

        def update_state(self, y_true, y_pred, mask=None, *, sample_weight=None):
            assert mask is None
            self.got = sample_weight

        def result(self):
            return 0.0

    metric = Swapped()
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", weighted_metrics=[metric])
    model.evaluate(np.zeros((3, 4)), np.zeros(3), sample_weight=np.ones(3), verbose=0)
    np.testing.assert_array_equal(metric.got, 1)


# What comes back.


class Scaled(layers.Layer):
    """Multiplies by a kernel; `change` spoils what it returns."""

    def __init__(self, change=None, **arguments):
        super().__init__(**arguments)
        self.change = change

    def build(self, input_shape):
        self.mark_built(input_shape)
        self.kernel = self.add_weight((input_shape[-1], 4), "ones", name="kernel")

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 4)

    def forward(self, x, *, training):
        y = x @ self.kernel.value
        spoiled = {
            "transposed": y.T, "flat": y.ravel(), "complex": y + 0j, "none": None, "text": "y",
            "longer": np.vstack([y, y]),
        }  # fmt: skip
        return Pass(spoiled.get(self.change, y), x) if self.change != "bare" else y

    def backward(self, dy, forward_pass, *, need_dx):
        dx, dw = dy @ self.kernel.value.T, forward_pass.saved.T @ dy
        spoiled = {
            "dx": (dx.T, [dw]),
            "dw": (dx, [dw.T]),
            "no dw": (dx, [None]),
            "not two": dx,
            "too many": (dx, [dw, dw]),
        }
        return spoiled.get(self.change, (dx, [dw]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("transposed", r"what forward returns must have shape \(5, 4\); got \(4, 5\)"),
        ("flat", r"what forward returns must have shape \(5, 4\); got \(20,\)"),
        ("longer", r"what forward returns must have shape \(5, 4\); got \(10, 4\)"),
        ("complex", "what forward returns must be real numbers; got complex"),
        ("none", "what forward returns must be an array; got None"),
        ("text", "what forward returns must be real numbers; got strings"),
        ("bare", "forward must return a Pass; got ndarray"),
        ("dx", r"backward's dx must have shape \(5, 6\); got \(6, 5\)"),
        ("dw", r"backward's gradient of 'kernel' must have shape \(6, 4\); got \(4, 6\)"),
        ("no dw", "backward's gradient of 'kernel' must be an array; got None"),
        ("not two", "backward must return dx and a list of gradients"),
        ("too many", "backward must return 1 gradients"),
    ],
)
def test_what_a_layer_returns_is_looked_at_before_weights_move(change, message):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(6), Scaled(change, name="own"), layers.Dense(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=f"Scaled 'own': {message}"):
        model.fit(RNG.standard_normal((5, 3)), RNG.standard_normal((5, 2)), verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda d: (d.mean(1), d.T), r"the gradient must have shape \(5, 2\); got \(2, 5\)"),
        (lambda d: (d.mean(), d), r"the values must have shape \(5,\); got \(\)"),
        (lambda d: (d.mean(1, keepdims=True), d), r"the values must have shape \(5,\); got \(5, 1\)"),
        (lambda d: (d.mean(1), d[0]), r"the gradient must have shape \(5, 2\); got \(2,\)"),
        (lambda d: (d.mean(1) + 0j, d), "the values must be real numbers; got complex"),
        (lambda d: d, "must return two arrays"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_a_loss_returns_is_looked_at(found, message, weighted):
    class Own(losses.Loss):
        def value_and_gradient(self, y_true, y_pred):
            return found(y_pred - y_true)

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    model.compile("sgd", Own())
    with pytest.raises((ValueError, TypeError), match=f"Own: value_and_gradient.*{message}"):
        model.fit(np.ones((5, 3)), np.ones((5, 2)), sample_weight=np.ones(5) if weighted else None, verbose=0)


def test_what_a_metric_returns_is_looked_at():
    class Own(metrics.Metric):
        def row_values(self, y_true, y_pred):
            return np.zeros((len(y_pred), 1))

    with pytest.raises(ValueError, match=r"Own 'own': what row_values returns must have shape \(4,\); got \(4, 1\)"):
        model_of((2,), Own("own")).evaluate(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    for value, message in ((None, "must be an array; got None"), (1j, "must be real numbers")):
        with pytest.raises(TypeError, match=message):
            model_of((2,), lambda a, b, value=value: value).evaluate(np.ones((4, 4)), np.ones((4, 2)), verbose=0)


# Data.


MISSING = {
    "Int64": lambda pd: pd.array([1, 0, pd.NA, 1], dtype="Int64"),
    "Float64": lambda pd: pd.array([1.0, 0.0, pd.NA, 1.0], dtype="Float64"),
    "boolean": lambda pd: pd.array([True, False, pd.NA, True], dtype="boolean"),
    "series": lambda pd: pd.Series([1, 0, None, 1], dtype="Int64"),
    "frame": lambda pd: pd.DataFrame({"a": pd.array([1, 0, pd.NA, 1], dtype="Int64")}),
    "objects": lambda pd: pd.Series([1, 0, None, 1], dtype=object),
    "nan among objects": lambda pd: pd.Series([1, 0, np.nan, 1], dtype=object),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", "hinge"])
def test_a_missing_value_is_refused(kind, loss):
    pd = pytest.importorskip("pandas")
    y = MISSING[kind](pd)
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", loss)
    before = model.get_weights()
    x = np.ones((4, 2))
    with pytest.raises((ValueError, TypeError), match=r"y must have no missing values; one is at \(2|array that holds"):
        model.fit(x, y, verbose=0)
    with pytest.raises((ValueError, TypeError), match="sample_weight must have no missing values|array that holds"):
        model.fit(x, np.ones(4), sample_weight=y, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    whole = pd.array([1, 0, 1, 1], dtype="Int64")
    model.fit(x, whole, sample_weight=pd.Series([1.0, 2.0, 1.0, 0.0]), verbose=0)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy", "binary_focal_crossentropy"])
def test_nan_is_no_probability(loss):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(2, "softmax")])
    model.compile("sgd", loss)
    y = np.array([[1.0, 0.0], [np.nan, 0.0]])
    with pytest.raises(ValueError, match="y must be (probabilities|finite)"):
        model.fit(np.ones((2, 2)), y, verbose=0)


@pytest.mark.parametrize("weight", [[1.0, np.nan], [1.0, np.inf], [1.0, 1e300]])
def test_weights_must_be_finite(weight):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="sample_weight must be finite in float32; row 1 is not"):
        model.fit(np.ones((2, 2)), np.ones((2, 2)), sample_weight=np.array(weight), verbose=0)


def test_masks_inside_containers_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones((2, 2))
    for wrong in (
        [masked, masked],
        (masked, [1.0, 2.0]),
        [[1.0, np.ma.masked], [1.0, 2.0]],
        np.ma.array(x, mask=x > 5),
    ):
        for call in (
            lambda wrong=wrong: model.fit(wrong, x, verbose=0), lambda wrong=wrong: model.fit(x, wrong, verbose=0),
            lambda wrong=wrong: model.predict(wrong), lambda wrong=wrong: model.layers[0].kernel.assign(wrong),
            lambda wrong=wrong: model.set_weights([wrong, np.zeros(2)]),
            lambda wrong=wrong: losses.mean_squared_error(wrong, x),
        ):  # fmt: skip
            with pytest.raises(TypeError, match="must be a plain array; got a masked one"):
                call()


def test_class_weights_name_classes():
    pd = pytest.importorskip("pandas")
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.ones((4, 2)), np.array([0, 1, 0, 1])
    model.fit(x, y, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, verbose=0)  # 2 is a class, though no row has it
    model.fit(x, y, class_weight=pd.Series([1.0, 2.0, 3.0]), verbose=0)
    for wrong in ({3: 1.0}, {-1: 1.0}, {0: 1.0, 2**40: 2.0}):
        with pytest.raises(ValueError, match=r"class_weight must name classes, in \[0, 3\)"):
            model.fit(x, y, class_weight=wrong, verbose=0)
    for wrong in (np.ones(3), "even", 3):
        with pytest.raises(TypeError, match="class_weight must be a dict or 'balanced'"):
            model.fit(x, y, class_weight=wrong, verbose=0)
    with pytest.raises(ValueError, match="'balanced' needs all rows"):
        model.fit(iter([(x, y)]), class_weight="balanced", verbose=0)


def test_arrays_in_other_clothes_are_no_streams():
    class Interface:
        def __init__(self, array):
            self.__array_interface__ = array.__array_interface__
            self.keep = array

        def __len__(self):
            return len(self.keep)

        def __getitem__(self, index):
            return self.keep[index]

    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(2)])
    x = np.ones((3, 2))
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(Interface(x)), expected)
    np.testing.assert_array_equal(model.predict(memoryview(x)), expected)

    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise ValueError("out of order")

    with pytest.raises(TypeError, match="x must be an array; Broken is none: out of order"):
        model.predict(Broken())


# Sequences of batches.


class Batches(lamina.utils.PyDataset):
    def __init__(self, count=4, length=None):
        super().__init__()
        self.count, self.length, self.calls = count, length, []

    def __len__(self):
        return self.count

    @property
    def num_batches(self):
        return self.count if self.length is None else self.length

    def __getitem__(self, index):
        self.calls.append(index)
        return np.full((2, 3), float(index)), np.zeros((2, 1))

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


def plain_model():
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_sequences_of_batches_are_shuffled_and_told_of_epochs():
    data = Batches()
    plain_model().fit(data, epochs=3, verbose=0)
    passes = [list(group) for told, group in itertools.groupby(data.calls, lambda c: isinstance(c, str)) if not told]
    assert [sorted(one) for one in passes] == [[0, 1, 2, 3]] * 3
    assert len({tuple(one) for one in passes}) > 1
    assert data.calls.count("begin") == data.calls.count("end") == 3
    again = Batches()
    plain_model().fit(again, epochs=3, verbose=0)
    assert again.calls == data.calls
    straight = Batches()
    plain_model().fit(straight, epochs=1, shuffle=False, verbose=0)
    assert straight.calls == ["begin", 0, 1, 2, 3, "end"]


def test_the_number_of_batches_is_the_datasets_word():
    data = Batches(count=4, length=2)
    plain_model().fit(data, verbose=0, shuffle=False)
    assert data.calls == ["begin", 0, 1, "end"]


@pytest.mark.parametrize("call", ["evaluate", "predict", "fit"])
def test_batches_that_run_out_are_not_begun_again_in_silence(call):
    data, model = Batches(count=4), plain_model()
    steps = {"steps_per_epoch": 6, "shuffle": False} if call == "fit" else {"steps": 6}
    with pytest.warns(UserWarning, match="ran out after 4 of 6"):
        found = getattr(model, call)(data, verbose=0, **steps)
    if call == "predict":
        assert len(found) == 8
    assert [c for c in data.calls if not isinstance(c, str)] == [0, 1, 2, 3]


def test_a_generator_too_short_for_all_epochs_ends_training_with_a_warning():
    batches = ((np.ones((2, 3)), np.ones((2, 1))) for _ in range(5))
    with pytest.warns(UserWarning, match="ran out"):
        history = plain_model().fit(batches, epochs=4, steps_per_epoch=2, verbose=0)
    assert len(history.epoch) == 3


def test_normalization_adapts_to_a_dataset():
    layer = layers.Normalization()
    layer.adapt(Batches(count=3))
    np.testing.assert_allclose(layer.mean, [[1.0, 1.0, 1.0]])


# Callbacks.


class Values(callbacks.Callback):
    """Puts values into the logs."""

    def __init__(self, values, name="value"):
        super().__init__()
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


NAN = float("nan")


def run(values, *listeners, **settings):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
    model.compile(optimizers.SGD(0.5), "mse")
    history = model.fit(
        np.ones((4, 2)), np.ones(4), epochs=len(values), verbose=0, callbacks=[Values(values), *listeners], **settings
    )
    return model, history


def test_nan_is_never_the_best(tmp_path):
    values = [NAN, 5.0, NAN, 4.0, 3.0]
    stopping = callbacks.EarlyStopping("value", patience=3, mode="min", restore_best_weights=True)
    saved = callbacks.ModelCheckpoint(tmp_path / "{epoch}.safetensors", "value", mode="min", save_best_only=True)
    plateau = callbacks.ReduceLROnPlateau("value", patience=3, mode="min", min_delta=0)
    _, history = run(values, stopping, saved, plateau)
    assert len(history.epoch) == 5
    assert (stopping.best, stopping.best_epoch) == (3.0, 4)
    assert sorted(p.stem for p in tmp_path.iterdir()) == ["2", "4", "5"]
    assert history.history["learning_rate"] == [0.5] * 5
    stopping = callbacks.EarlyStopping("value", patience=2, mode="max", restore_best_weights=True)
    _, history = run([NAN] * 6, stopping)
    assert len(history.epoch) < 6
    assert stopping.best is None


def test_arrays_are_not_watched():
    with pytest.warns(UserWarning, match="'value' must be one number to be watched"):
        run([np.ones(2)] * 2, callbacks.EarlyStopping("value", mode="min"))
    _, history = run([np.array([1.0]), np.array([2.0])], callbacks.EarlyStopping("value", mode="min"))
    assert len(history.epoch) == 2


@pytest.mark.parametrize("verbose", [1, 2])
def test_metrics_that_are_arrays_are_shown_by_their_mean(verbose, capsys):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[metrics.F1Score()])
    y = np.eye(3)
    history = model.fit(np.ones((3, 2)), y, verbose=verbose).history
    assert f"f1_score: {np.mean(history['f1_score'][0]):.4f}" in capsys.readouterr().out
    model.evaluate(np.ones((3, 2)), y, verbose=2)


def test_tables_take_what_they_can_hold(tmp_path):
    path = tmp_path / "t.csv"
    run([1.0], callbacks.CSVLogger(path))
    with pytest.raises(ValueError, match=r"must have a column for each value; it has none for \['more'\]"):
        run([1.0], Values([2.0], "more"), callbacks.CSVLogger(path, append=True))
    with pytest.raises(ValueError, match="must begin with a column 'epoch', separated by ';'"):
        run([1.0], callbacks.CSVLogger(path, separator=";", append=True))
    path.write_text(path.read_text().rstrip("\n"))
    run([3.0], callbacks.CSVLogger(path, append=True))
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert lines[2].endswith(",3.0")
    run([np.arange(1000.0)], callbacks.CSVLogger(tmp_path / "a.csv"))
    assert "997.0, 998.0, 999.0" in (tmp_path / "a.csv").read_text()
    for separator in ("ab", "", "\n", '"'):
        with pytest.raises(ValueError, match="separator must be one character"):
            callbacks.CSVLogger(path, separator)


def test_hooks_that_are_assigned_while_training_are_called():
    seen = []

    class Later(callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.on_epoch_end = lambda epoch, logs=None: seen.append(epoch)
            self.on_batch_end = lambda batch, logs=None: seen.append("batch")

    run([1.0, 2.0], Later())
    assert seen == ["batch", 0, "batch", 1]


def test_an_error_inside_a_schedule_is_its_own():
    def schedule(epoch, rate):
        raise TypeError("broken inside")

    with pytest.raises(TypeError, match="broken inside"):
        run([1.0], callbacks.LearningRateScheduler(schedule))
    _, history = run([1.0, 1.0], callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)))
    assert history.history["learning_rate"] == [0.1, 0.05]


class Own(metrics.Metric):
    def row_values(self, y_true, y_pred):
        return np.zeros(len(y_pred))


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        (lambda t: callbacks.ModelCheckpoint(t / "m.safetensors"), "a file holds no code"),
        (
            lambda t: callbacks.ModelCheckpoint(t / "{epoch:zz}.safetensors", save_weights_only=True),
            "must be a pattern",
        ),
        (lambda t: callbacks.ModelCheckpoint(t / "{.safetensors", save_weights_only=True), "must be a pattern"),
        (lambda t: callbacks.ReduceLROnPlateau("loss"), "must be a number; it follows a schedule"),
        (lambda t: callbacks.LearningRateScheduler(lambda e: 1.0), "must be a number; it follows a schedule"),
        (lambda t: callbacks.EarlyStopping("own"), "not known whether more or less of 'own' is better"),
    ],
)
def test_callbacks_are_checked_before_the_first_step(listener, message, tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
    model.compile(
        optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)), "mse",
        metrics=[lambda y, p: np.abs(y - p), Own("own")],
    )  # fmt: skip
    before, shuffles = model.get_weights(), model.executor.shuffles
    with pytest.raises((ValueError, TypeError, UserWarning), match=message):
        model.fit(np.ones((4, 2)), np.ones(4), epochs=3, verbose=0, callbacks=[listener(tmp_path)])
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (model.optimizer.iterations, model.executor.shuffles) == (0, shuffles)


class _Counted(layers.Layer):
    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, x, *, training):
        self.sizes.append(len(x))
        return Pass(2 * x, None)

    def backward(self, dy, forward_pass, *, need_dx):
        return 2 * dy, []


@pytest.mark.parametrize(("batch_size", "most"), [(None, 32), (7, 7), (1000, 100)])
def test_predict_hands_rows_by_the_batch(batch_size, most):
    counted = _Counted()
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(4), counted, layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(100, 3)).astype("f")
    found = model.predict(x, batch_size=batch_size)
    assert max(counted.sizes) == most
    assert sum(counted.sizes) == 100
    np.testing.assert_array_equal(found, model.predict(x, batch_size=100))


class Penalty(lamina.regularizers.Regularizer):
    def __init__(self, found):
        self.found = found

    def value_and_gradient(self, w):
        return self.found


class Result(lamina.metrics.Metric):
    def __init__(self, found):
        super().__init__("own")
        self.found = found

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return self.found


WRONG = [
    ({"kernel_regularizer": Penalty(None)}, "must return the penalty and its gradient"),
    ({"kernel_regularizer": Penalty((np.ones((3, 1)), np.ones((3, 1))))}, "must return one number"),
    ({"kernel_regularizer": Penalty((1.0, np.ones(2)))}, "an array of shape"),
    ({"kernel_constraint": lambda w: w.ravel()}, "constraint of '.*kernel': what it returns must have shape"),
    ({"kernel_constraint": lambda w: "a"}, "constraint of '.*kernel': what it returns must be real numbers"),
]


@pytest.mark.parametrize(("rule", "words"), WRONG)
def test_what_rules_return_is_looked_at_before_the_first_step(rule, words):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(3), layers.Dense(1, **rule)])
    model.compile(lamina.optimizers.SGD(0.1, momentum=0.9), "mse")
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(np.ones((4, 3), "f"), np.ones((4, 1), "f"), verbose=0)
    assert all(map(np.array_equal, model.get_weights(), before))
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize("found", [None, "a", 1j, {"a": None}], ids=str)
def test_what_a_metric_returns_is_refused_in_words(found):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Result(found)])
    with pytest.raises(TypeError, match="metric 'own': its result must be"):
        model.evaluate(np.ones((4, 3), "f"), np.ones((4, 1), "f"), verbose=0)


@pytest.mark.parametrize("found", [None, "a", np.array([0.1])], ids=str)
def test_what_a_schedule_returns_is_refused_in_words(found):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile(lamina.optimizers.SGD(lambda: found), "mse")
    with pytest.raises(TypeError, match="SGD: learning_rate must be a number"):
        model.fit(np.ones((4, 3), "f"), np.ones((4, 1), "f"), verbose=0)


def test_an_error_while_metrics_begin_anew_leaves_the_model_usable():
    class Once(lamina.metrics.Metric):
        failed = False

        def update_state(self, y_true, y_pred, sample_weight=None):
            pass

        def result(self):
            return 0.0

        def reset_state(self):
            if not Once.failed:
                Once.failed = True
                raise RuntimeError("once")

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Once()])
    x, y = np.ones((4, 3), "f"), np.ones((4, 1), "f")
    with pytest.raises(RuntimeError, match="once"):
        model.fit(x, y, verbose=0)
    other = threading.Thread(target=model.evaluate, args=(x, y), kwargs={"verbose": 0}, daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
    model.compile("sgd", "mse")
