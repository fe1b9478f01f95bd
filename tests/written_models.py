"""Models and layers with a `call` that several tests use."""

from __future__ import annotations

import lamina
from lamina import Model, layers


class Two(Model):
    """The layers are assigned in another order than they are called."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.output_layer = layers.Dense(3, name="output")
        self.drop = layers.Dropout(0.5, seed=1)
        self.hidden = layers.Dense(units, "tanh", name="hidden")

    def call(self, inputs, training=None):
        x = self.hidden(inputs)
        if training:
            x = self.drop(x, training=training)
        return self.output_layer(x)


class Block(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(units, "relu")
        self.rest = [layers.LayerNormalization(), layers.Dense(units)]

    def call(self, inputs):
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return x


class Nested(Model):
    def __init__(self):
        super().__init__()
        self.encoder = Block(4, name="encoder")
        self.decoder = lamina.Sequential([layers.Dense(5)], name="decoder")
        self.head = Two(6, name="head")

    def call(self, x):
        return self.head(self.decoder(self.encoder(x)))


def data(rng, rows=60, inputs=5, outputs=3):
    return rng.standard_normal((rows, inputs)).astype("f"), rng.standard_normal((rows, outputs)).astype("f")


def chain_of(model):
    """The same layers, called in a chain."""
    inputs = lamina.Input((5,))
    return Model(inputs, model.output_layer(model.drop(model.hidden(inputs))))


class Chosen(Model):
    """Its arguments are no plain values."""

    def __init__(self, activation, units=3, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(units, activation)

    def call(self, x):
        return self.dense(x)


class WithBlock(Model):
    def __init__(self):
        super().__init__()
        self.block = Block(2)
        self.last = layers.Dense(3)

    def call(self, x):
        return self.last(self.block(x))


class WithModels(Model):
    def __init__(self):
        super().__init__()
        self.inner = WithBlock()
        self.rest = lamina.Sequential([layers.Dense(4), layers.Dense(3)])

    def call(self, x):
        return self.rest(self.inner(x))


class MakesLayers(Model):
    def build(self, input_shape):
        self.block = Block(4)
        self.last = layers.Dense(3)

    def call(self, x):
        return self.last(self.block(x))
