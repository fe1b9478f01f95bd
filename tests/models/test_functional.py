from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from helpers import CLASSES

import lamina
from lamina import activations, backend, layers, ops
from lamina.layers.symbols import KerasTensor
from lamina.models import Functional, clone_model, load_model, model_from_json

X = np.random.default_rng(0).standard_normal((6, 4)).astype("f")


def chain(name=None, hidden="hidden"):
    inputs = lamina.Input((4,), name="start")
    x = layers.Dense(5, "relu", name=hidden)(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    return lamina.Model(inputs, layers.Dense(2, name="end")(x), name=name)


def test_an_input_is_a_symbolic_tensor():
    inputs = lamina.Input((4,), name="start", dtype="int32")
    assert (inputs.shape, inputs.dtype, inputs.ndim, inputs.rank, inputs.name) == ((None, 4), "int32", 2, 2, "start")
    assert repr(inputs) == "<KerasTensor shape=(None, 4), dtype=int32, sparse=False, ragged=False, name=start>"
    x = layers.Flatten()(layers.Embedding(9, 3)(inputs))
    assert (x.shape, x.dtype) == ((None, 12), "float32")
    assert isinstance(x, lamina.KerasTensor)


def test_a_chain_is_a_model_like_a_stack():
    lamina.utils.set_random_seed(3)
    model = chain("mine")
    lamina.utils.set_random_seed(3)
    stack = lamina.Sequential(
        [
            lamina.Input((4,)), layers.Dense(5, "relu"), layers.BatchNormalization(), layers.Dense(2),
        ],
        name="mine",
    )  # fmt: skip
    assert isinstance(model, lamina.Model)
    assert isinstance(stack, lamina.Model)
    assert type(model) is Functional
    assert [layer.name for layer in model.layers] == ["start", "hidden", "norm", "end"]
    assert (model.input_shape, model.output_shape, model.count_params()) == ((None, 4), (None, 2), 57)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 2))
    for one in (model, stack):
        one.set_weights(stack.get_weights())
        one.seed = 5
        one.compile("adam", "mse", metrics=["mae"])
    ours, theirs = (one.fit(x, y, epochs=3, verbose=0, validation_split=0.25).history for one in (model, stack))
    assert ours == theirs
    np.testing.assert_array_equal(model.predict(x), stack.predict(x))
    assert model.evaluate(x, y, verbose=0) == stack.evaluate(x, y, verbose=0)
    assert model.get_layer("hidden") is model.layers[1] is model.get_layer(index=1)
    assert not hasattr(model, "add")


def test_tensors_of_a_model_are_those_that_made_it():
    inputs = lamina.Input((4,))
    first = layers.Dense(3)
    x = first(inputs)
    outputs = layers.Dense(2)(x)
    for arguments in ((inputs, outputs), ([inputs], [outputs]), ({"a": inputs}, {"b": outputs})):
        model = lamina.Model(*arguments)
        assert model.input is inputs
        assert model.output is outputs
        assert model.inputs == [inputs]
        assert model.outputs == [outputs]
    assert first.input is inputs
    assert first.output is x
    assert model.layers[0].output is inputs
    assert lamina.Model(inputs=inputs, outputs=x).predict(X).shape == (6, 3)


def stacks():
    made = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    late = lamina.Sequential([layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    with pytest.raises(AttributeError, match="must be built"):
        late.input  # noqa: B018
    with pytest.raises(AttributeError, match="never called"):
        late.layers[0].output  # noqa: B018
    assert not hasattr(late.layers[0], "input")
    late(X)
    again = pickle.loads(pickle.dumps(made))
    return {"made": made, "late": late, "pickled": again, "copied": copy.deepcopy(late), "cloned": clone_model(made)}


@pytest.mark.parametrize("name", ["made", "late", "pickled", "copied", "cloned"])
def test_features_of_a_hidden_layer_of_a_stack(name):
    stack = stacks()[name]
    assert (stack.input.shape, stack.output.shape) == ((None, 4), (None, 2))
    for features in (
        lamina.Model(stack.input, stack.layers[0].output),
        lamina.Model(inputs=stack.inputs, outputs=stack.get_layer("a").output),
        lamina.Model(stack.layers[0].input, stack.layers[-2].output),
    ):
        np.testing.assert_array_equal(features.predict(X), stack.layers[0](X))
        assert features.layers[1] is stack.layers[0]  # shared
    rest = lamina.Model(stack.layers[0].output, stack.output)
    np.testing.assert_array_equal(rest.predict(features.predict(X)), stack.predict(X))
    stack.add(layers.Dense(1, name="c"))
    assert stack.output.shape == (None, 1)
    stack.pop()
    assert stack.output.shape == (None, 2)


def test_the_outputs_in_a_stack_come_before_those_of_later_calls():
    first = layers.Dense(4)
    stack = lamina.Sequential([lamina.Input((3,)), first, layers.Dense(2)])
    other = lamina.Input((3,))
    encoder = lamina.Model(other, first(other))
    features = lamina.Model(stack.inputs, first.output)
    x = np.ones((2, 3))
    np.testing.assert_array_equal(features.predict(x), encoder.predict(x))
    assert features.input is stack.input


def test_layers_of_several_models_are_trained_by_each():
    inputs, code = lamina.Input((4,)), lamina.Input((2,))
    encoded = layers.Dense(2, "tanh")(inputs)
    decoder_layer = layers.Dense(4)
    autoencoder = lamina.Model(inputs, decoder_layer(encoded))
    encoder, decoder = lamina.Model(inputs, encoded), lamina.Model(code, decoder_layer(code))
    before = encoder.predict(X)
    autoencoder.compile("sgd", "mse")
    autoencoder.fit(X, X, verbose=0)
    assert not np.array_equal(encoder.predict(X), before)
    np.testing.assert_allclose(decoder.predict(encoder.predict(X)), autoencoder.predict(X), rtol=1e-6)


def test_models_are_layers_of_models():
    noise, image = lamina.Input((3,)), lamina.Input((4,))
    generator = lamina.Model(noise, layers.Dense(4)(noise), name="generator")
    discriminator = lamina.Sequential([image, layers.Dense(1, "sigmoid")], name="discriminator")
    discriminator.compile("sgd", "binary_crossentropy")
    discriminator.trainable = False
    both = lamina.Model(noise, discriminator(generator(noise)))
    assert [layer.name for layer in both.layers[1:]] == ["generator", "discriminator"]
    both.compile("sgd", "binary_crossentropy")
    held, moved = discriminator.get_weights(), generator.get_weights()
    both.train_on_batch(X[:, :3], np.ones((6, 1)))
    np.testing.assert_array_equal(discriminator.get_weights()[0], held[0])
    assert not np.array_equal(generator.get_weights()[0], moved[0])
    unbuilt = lamina.Sequential([layers.Dense(2)])
    assert unbuilt(image).shape == (None, 2)
    assert unbuilt.input_shape == (None, 4)


@pytest.mark.parametrize("name", ["f.safetensors", "f.keras", "f.h5"])
def test_files_hold_chains(name, tmp_path):
    inner = lamina.Model(noise := lamina.Input((5,)), layers.Dense(5, name="inside")(noise), name="inner")
    inputs = lamina.Input((4,))
    model = lamina.Model(inputs, layers.Dense(2)(layers.Dropout(0.5)(inner(layers.Dense(5)(inputs)))))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, X[:, :2], verbose=0)
    model.save(tmp_path / name)
    again = load_model(tmp_path / name)
    assert type(again) is type(again.layers[2]) is Functional
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert (again.seed, again.layers[2].seed) == (model.seed, inner.seed)
    ours, theirs = (one.fit(X, X[:, :2], epochs=2, verbose=0).history for one in (model, again))
    assert ours == theirs
    model.save_weights(tmp_path / "w.weights.h5")
    again.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_copies_of_chains():
    model = chain()
    for again in (
        clone_model(model), model_from_json(model.to_json()), lamina.Model.from_config(model.get_config()),
        pickle.loads(pickle.dumps(model)), copy.deepcopy(model), Functional.from_config(model.get_config()),
        clone_model(model, clone_function=lambda layer: type(layer).from_config(layer.get_config())),
    ):  # fmt: skip
        assert type(again) is Functional
        assert again.get_config() == model.get_config()
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.layers[1] is not model.layers[1]
        assert again.layers[1].output.shape == (None, 5)


def test_a_summary_shows_the_input(capsys):
    outer = lamina.Model(inputs := lamina.Input((4,), name="outside"), chain("inner")(inputs))
    outer.summary(expand_nested=True)
    shown = capsys.readouterr().out
    for line in ("outside (InputLayer)", "inner (Functional)", "└ start (InputLayer)", "└ hidden (Dense)"):
        assert line in shown
    assert 'Model: "functional' in shown


def test_a_subclass_may_compose_itself():
    class Mine(lamina.Model):
        def __init__(self, units, **named):
            inputs = lamina.Input((4,))
            super().__init__(inputs, layers.Dense(units)(inputs), **named)

    model = Mine(3, name="own")
    assert (model.name, model.predict(X).shape) == ("own", (6, 3))
    model.compile("sgd", "mse")
    model.fit(X, X[:, :3], verbose=0)


def test_configurations_of_keras_2_are_read():
    config = {
        "name": "old",
        "layers": [
            {"class_name": "InputLayer", "name": "i", "config": {"batch_shape": [None, 4], "name": "i"},
             "inbound_nodes": []},
            {"class_name": "Dense", "name": "d", "config": {"units": 3, "name": "d"},
             "inbound_nodes": [[["i", 0, 0, {}]]]},
        ],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    }  # fmt: skip
    assert lamina.Model.from_config(config).output_shape == (None, 3)


def graph(**changes):
    return chain("g").get_config() | changes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "x"}, "config must hold"),
        (graph(output_layers=["nowhere", 0, 0]), "output_layers must follow from input_layers; 'nowhere' does not"),
        (graph(input_layers=["hidden", 0, 0]), "input_layers must name an InputLayer; 'hidden' is a Dense"),
        (graph(output_layers=[["end", 0, 0], ["norm", 0, 0]]), "output_layers must name one layer; got 2"),
        (graph(layers=chain("g").get_config()["layers"] * 2), "there are two layers 'start'"),
        (graph(layers=chain("g").get_config()["layers"][:1]), "'end' does not"),
        (graph(layers=3), "layers"),
        (graph(output_layers=3), "output_layers must name one layer"),
    ],
)
def test_configurations_that_are_no_chain_are_refused(config, message):
    with pytest.raises((TypeError, ValueError), match=message):
        lamina.Model.from_config(config)


def test_a_circle_is_refused():
    config = graph()
    config["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "norm"
    with pytest.raises(ValueError, match="output_layers must follow from input_layers"):
        lamina.Model.from_config(config)


INPUTS = lamina.Input((4,))
HIDDEN = layers.Dense(3, name="refused")(INPUTS)
ONE_CALLED_TWICE = layers.Dense(4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lamina.Model(), "inputs and outputs must be given"),
        (lambda: lamina.Model(input=INPUTS, output=HIDDEN), "unknown argument 'input'. Keras calls it 'inputs' now"),
        (lambda: lamina.Model(INPUTS), "inputs and outputs must be given"),
        (lambda: lamina.Model(INPUTS, INPUTS), "they are the same tensor"),
        (lambda: lamina.Model(X, HIDDEN), "inputs must be a symbolic tensor"),
        (
            lambda: lamina.Model(INPUTS, [HIDDEN, HIDDEN]),
            "outputs must be one symbolic tensor; got 2. Models are chains",
        ),
        (lambda: lamina.Model([INPUTS, lamina.Input((2,))], HIDDEN), "inputs must be one symbolic tensor; got 2"),
        (lambda: lamina.Model(lamina.Input((4,)), HIDDEN), "outputs must follow from inputs"),
        (lambda: lamina.Model(HIDDEN, INPUTS), "outputs must follow from inputs"),
        (lambda: lamina.Model(INPUTS, KerasTensor((None, 4))), "outputs must follow from inputs"),
        (lambda: lamina.Model(INPUTS, ONE_CALLED_TWICE(ONE_CALLED_TWICE(INPUTS))), "must be called once between"),
        (lambda: lamina.Model(INPUTS, layers.Dense(2, name="refused")(HIDDEN)), "there is a layer 'refused' already"),
        (lambda: lamina.Model(INPUTS, HIDDEN, trainable=3), "trainable must be"),
        (lambda: layers.Dense(2)([HIDDEN, INPUTS]), "a call must have one input; got 2"),
        (lambda: layers.BatchNormalization()(HIDDEN, training=True), "training must be None"),
        (lambda: chain()(INPUTS, training=True), "training must be None"),
        (lambda: chain()(HIDDEN), "for which it was built|was built for rows"),
        (lambda: ONE_CALLED_TWICE(HIDDEN), "must take rows of shape"),
        (lambda: lamina.Sequential([HIDDEN]), "must be that of an Input; .* is the output of a layer"),
        (lambda: lamina.Sequential([layers.Dense(2), INPUTS]), "an Input must come first"),
        (lambda: HIDDEN + HIDDEN * 2, "add: there must be one symbolic tensor; got 2"),
        (lambda: HIDDEN @ INPUTS, "matmul: there must be one symbolic tensor; got 2"),
        (lambda: ops.concatenate([HIDDEN, HIDDEN * 2]), "concatenate: there must be one symbolic tensor; got 2"),
        (lambda: ops.where(HIDDEN * 2, HIDDEN, 0), "where: there must be one symbolic tensor; got 2"),
        (lambda: ops.mean(HIDDEN), "must return a row for each row"),
        (lambda: ops.mean(HIDDEN, axis=1), "with at least one axis"),
        (lambda: HIDDEN[:, 0], "with at least one axis"),
        (lambda: ops.sum(lamina.Input((2,)), axis=0), "must return a row for each row"),
        (lambda: ops.split(lamina.Input((4,)), 2, axis=1), "must return one array; it returned 2"),
        (lambda: ops.moments(HIDDEN, 1), "must return one array"),
        (lambda: HIDDEN[0], "must return a row for each row"),
        (lambda: HIDDEN + "text", "ufunc"),
        (lambda: np.asarray(HIDDEN), "NumPy needs values"),
        (lambda: bool(HIDDEN), "a condition needs values"),
        (lambda: list(HIDDEN), "a loop over it needs values"),
        (lambda: HIDDEN.numpy(), "needs values"),
        (lambda: HIDDEN > 0, "a comparison needs values"),
        (lambda: KerasTensor("x"), "must be a tuple"),
        (lambda: KerasTensor((None, 3), ragged=True), "ragged"),
    ],
)
def test_what_is_no_chain_is_refused_by_a_sentence(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_symbolic_tensors_do_not_keep_layers_alive_for_ever():
    layer = layers.Dense(2)
    layer(lamina.Input((4,)))
    with pytest.raises(AttributeError, match="never called"):  # nobody holds what it returned
        layer.output  # noqa: B018


def test_training_goes_on_with_class_numbers():
    x, y = CLASSES
    inputs = lamina.Input((8,))
    model = lamina.Model(inputs, layers.Dense(3, "softmax")(inputs))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


OF_ONE = {
    "division": (lambda t: t / 4, "Rescaling"),
    "difference": (lambda t: 1 - t, "Rescaling"),
    "number less": (lambda t: t - 0.5, "Rescaling"),
    "product": (lambda t: 3 * t, "Rescaling"),
    "sum": (lambda t: t + 1, "Rescaling"),
    "quotient": (lambda t: 2 / t, "Lambda"),
    "by zero": (lambda t: t / 0.0, "Lambda"),
    "vector": (lambda t: t * np.arange(5, dtype="f"), "Lambda"),
    "rest": (lambda t: t % 2, "Lambda"),
    "power": (lambda t: t**2, "Lambda"),
    "negative": (lambda t: -t, "Lambda"),
    "magnitude": (lambda t: abs(t), "Lambda"),
    "columns": (lambda t: t[:, 1:4], "Lambda"),
    "matrix": (lambda t: t @ np.ones((5, 2), "f"), "Lambda"),
    "activation": (activations.tanh, "Activation"),
    "op that is an activation": (ops.relu, "Activation"),
    "op": (lambda t: ops.clip(t, -0.3, 0.4), "Lambda"),
    "named": (lambda t: ops.softmax(x=t, axis=-1), "Activation"),
    "row": (lambda t: ops.sum(t, axis=1, keepdims=True), "Lambda"),
    "backend": (backend.square, "Lambda"),
}


@pytest.mark.parametrize("name", OF_ONE)
def test_functions_of_a_symbolic_tensor_are_layers(name, rng):
    function, kind = OF_ONE[name]
    x, y = rng.standard_normal((30, 5)).astype("f"), rng.standard_normal((30, 2))
    inputs = lamina.Input((5,))
    output = function(inputs)
    assert isinstance(output, KerasTensor)
    features = lamina.Model(inputs, output)
    assert type(features.operations[-1]).__name__ == kind
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(features.predict(x), function(x), rtol=1e-6, atol=1e-7)
    if name == "by zero":
        return
    again = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(again.predict(x), features.predict(x))
    hidden = function(layers.Dense(5, "tanh", kernel_initializer="glorot_normal", bias_initializer="ones")(inputs))
    model = lamina.Model(inputs, layers.Dense(2)(hidden))
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    assert np.isfinite(model.predict(x)).all()
    if kind != "Lambda":
        assert lamina.utils.check_gradients(model, x, y) < 1e-5


def test_functions_in_the_call_of_a_model(rng):
    class Net(lamina.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = layers.Dense(8), layers.Dense(1)

        def call(self, x):
            x = activations.relu(self.one(x / 10))
            return ops.sigmoid(self.two(x))

    model = Net()
    model.compile("adam", "binary_crossentropy")
    x = rng.standard_normal((20, 3))
    model.fit(x, (x[:, 0] > 0).astype(int), verbose=0)
    expected = 1 / (1 + np.exp(-np.asarray(model.two(activations.relu(model.one(x / 10))))))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5)


def test_functions_that_read_no_values_of_a_symbolic_tensor():
    inputs = lamina.Input((6,))
    assert ops.shape(inputs) == (None, 6)
    assert ops.ndim(inputs) == 2
    assert ops.is_tensor(inputs)


def base_with_moments():
    base = lamina.Sequential([
        lamina.Input((4,)), layers.Dense(6, name="first"), layers.BatchNormalization(momentum=0.5), layers.ReLU(),
        layers.Dropout(0.5, seed=1),
    ])  # fmt: skip
    base.layers[1].set_weights([np.full(6, value, "f") for value in (2, 0.5, 0.1, 2)])
    return base


@pytest.mark.parametrize("suffix", [None, ".safetensors", ".keras", "clone"])
def test_a_base_that_is_called_as_in_predictions_stays_so_when_it_trains_again(suffix, tmp_path, rng):
    x, y = rng.standard_normal((32, 4)), rng.standard_normal((32, 1))
    base = base_with_moments()
    base.trainable = False
    inputs = lamina.Input((4,))
    model = lamina.Model(inputs, layers.Dense(1)(base(inputs, training=False)))
    model.compile(lamina.optimizers.SGD(0.01), "mse")
    model.fit(x, y, verbose=0)
    base.trainable = True
    model.compile(lamina.optimizers.SGD(0.01), "mse")
    if suffix == "clone":
        other = lamina.models.clone_model(model)
        other.set_weights(model.get_weights())
        model = other
    elif suffix is not None:
        pytest.importorskip("h5py")
        model.save(tmp_path / f"m{suffix}")
        model = lamina.models.load_model(tmp_path / f"m{suffix}")
    assert lamina.utils.check_gradients(model, x, y) < 1e-5
    before = dict(zip([v.path for v in model.weights], model.get_weights(), strict=True))
    loss = model.train_on_batch(x, y)
    assert loss == pytest.approx(((model_before(before, x) - y) ** 2).mean(), rel=1e-5)  # neither noise nor moments
    moved = {path for path, value in before.items() if not np.array_equal(value, weight(model, path))}
    assert moved == {path for path in before if "moving" not in path}


def weight(model, path):
    return next(v for v in model.weights if v.path == path).numpy()


def model_before(weights, x):
    kernel, bias, gamma, beta, mean, variance, last, shift = weights.values()
    hidden = np.maximum((x @ kernel + bias - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)
    return hidden @ last + shift


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_a_written_layer_stays_as_it_was_called(rng):
    x = rng.standard_normal((6, 4)).astype("f")

    class Doubles(layers.Layer):
        def call(self, inputs, training=False):
            return 2 * inputs if training else inputs

    inputs = lamina.Input((4,))
    for training, factor in ((True, 2), (False, 1), (None, 1)):
        model = lamina.Model(inputs, Doubles()(inputs, training=training))
        model.compile("sgd", "mse")
        np.testing.assert_array_equal(model.predict(x, verbose=0), factor * x)
        trained = 2 if training is None else factor
        assert model.train_on_batch(x, 0 * x) == pytest.approx(((trained * x) ** 2).mean(), rel=1e-5)


def test_a_call_that_takes_a_mask_is_refused_where_there_is_one():
    class MaskedMean(layers.Layer):
        def call(self, x, mask=None):
            return ops.mean(x, axis=1)

    for zero in (False, True):
        parts = [lamina.Input((4,)), layers.Embedding(9, 2, mask_zero=zero), layers.Dropout(0.1), MaskedMean()]
        if zero:
            with pytest.raises(
                ValueError, match="mask_zero of the Embedding must be False, or 'masked_mean.*' take no"
            ):
                lamina.Sequential(parts)
        else:
            assert lamina.Sequential(parts).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda t: activations.leaky_relu(t, negative_slope=0.1), "LeakyReLU"),
        (lambda t: activations.elu(t, 0.5), "ELU"),
        (lambda t: activations.relu(t, max_value=6.0), "ReLU"), (lambda t: activations.softmax(t, axis=-1), "Softmax"),
        (lambda t: activations.gelu(t, approximate=True), "Lambda"),
    ],
)  # fmt: skip
def test_activations_with_arguments_become_layers(function, kind):
    x = np.linspace(-3, 9, 12, dtype="f").reshape(3, 4)
    inputs = lamina.Input((4,))
    model = lamina.Model(inputs, function(inputs))
    assert type(model.operations[-1]).__name__ == kind
    np.testing.assert_allclose(model.predict(x, verbose=0), function(x), rtol=1e-6)
