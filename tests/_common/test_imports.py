"""Imports of names and modules that Keras has, or had, as people write them."""

import importlib.util
import pickle
import sys

import numpy as np
import pytest

import lamina


def run(line):
    names = {}
    exec(line, names)
    return names


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("from lamina.utils.np_utils import to_categorical as found", "lamina.utils.to_categorical"),
        ("from lamina.utils import np_utils; found = np_utils.to_categorical", "lamina.utils.to_categorical"),
        ("import lamina.utils.np_utils; found = lamina.utils.np_utils.to_categorical", "lamina.utils.to_categorical"),
        ("from lamina.layers.core import Dense as found", "lamina.layers.Dense"),
        ("from lamina.layers.core import *; found = Dense", "lamina.layers.Dense"),
        ("from lamina.layers.normalization import BatchNormalization as found", "lamina.layers.BatchNormalization"),
        ("from lamina.layers.advanced_activations import LeakyReLU as found", "lamina.layers.LeakyReLU"),
        ("from lamina.layers.noise import GaussianNoise as found", "lamina.layers.GaussianNoise"),
        ("from lamina.layers.embeddings import Embedding as found", "lamina.layers.Embedding"),
        ("from lamina.engine.topology import Layer as found", "lamina.layers.Layer"),
        ("from lamina.engine.training import Sequential as found", "lamina.models.Sequential"),
        ("from lamina.optimizers.legacy import Adam as found", "lamina.optimizers.Adam"),
        ("from lamina.optimizers import legacy; found = legacy.SGD", "lamina.optimizers.SGD"),
        ("from lamina.optimizers.schedules import ExponentialDecay as found",
         "lamina.optimizers.schedules.ExponentialDecay"),
        ("from lamina.initializers.initializers_v2 import GlorotUniform as found", "lamina.initializers.GlorotUniform"),
        ("from lamina.preprocessing.sequence import pad_sequences as found", "lamina.utils.pad_sequences"),
    ],
)  # fmt: skip
def test_older_modules_are_further_names(line, same):
    assert run(line)["found"] is eval(same)


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("from lamina.layers import LSTM", ImportError, "lamina.layers has no 'LSTM': lamina has dense layers"),
        ("from lamina.layers import Dense, Conv2D", ImportError, "'Conv2D'.*Flatten"),
        ("from lamina.layers.core import Permute", ImportError, "'Permute'"),
        ("from lamina.utils import img_to_array", ImportError, "img_to_array"),
        ("from lamina.callbacks import RemoteMonitor", ImportError, "'RemoteMonitor'"),
        ("import lamina.applications", ModuleNotFoundError, "'applications'.*pretrained"),
        ("from lamina.applications.vgg16 import VGG16", ModuleNotFoundError, "'applications'.*pretrained"),
        ("from lamina.initializers import Foo", ImportError, "cannot import name 'Foo'"),
        ("import lamina.nothing", ModuleNotFoundError, "No module named 'lamina.nothing'"),
    ],
)
def test_absent_names_say_what_there_is_instead(line, error, says):
    with pytest.raises(error, match=says):
        run(line)


def test_absent_attributes_are_absent():
    assert not hasattr(lamina.layers, "LSTM")
    assert importlib.util.find_spec("lamina.nothing") is None


def test_a_second_import_gives_the_same_module():
    first = run("import lamina.utils.np_utils as found")["found"]
    assert run("import lamina.utils.np_utils as found")["found"] is first is sys.modules["lamina.utils.np_utils"]


def test_classes_keep_their_module():
    run("from lamina.layers.core import Dense")
    assert lamina.layers.Dense.__module__.startswith("lamina.layers")
    assert isinstance(pickle.loads(pickle.dumps(lamina.layers.Dense(2))), lamina.layers.Dense)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: lamina.optimizers.SGD(lr=0.1), "SGD: unknown argument 'lr'. Keras calls it 'learning_rate' now"),
        (lambda: lamina.layers.Dense(3, init="uniform"), "'init'.*'kernel_initializer'"),
        (lambda: lamina.layers.Dense(3, W_regularizer="l2"), "'W_regularizer'.*'kernel_regularizer'"),
        (lambda: lamina.layers.Dropout(0.5, foo=1), r"unknown argument 'foo'\.$"),
    ],
)
def test_arguments_of_older_keras_get_a_sentence(make, says):
    with pytest.raises(TypeError, match=says):
        make()


def test_methods_of_older_keras_get_a_sentence():
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2), "f"), np.ones((4, 1), "f")
    with pytest.raises(TypeError, match=r"Sequential\.fit: unknown argument 'nb_epoch'. Keras calls it 'epochs' now"):
        model.fit(x, y, nb_epoch=2)
    assert model.optimizer.iterations == 0
    for name, says in {"predict_classes": "argmax", "fit_generator": "fit reads", "predict_proba": "softmax"}.items():
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"{name}.*{says}"):
            getattr(model, name)
