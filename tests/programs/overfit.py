"""A small and a large network, weight decay and dropout, side by side."""

import keras
from keras import layers, regularizers
from programs.data import table

x, y = table(100)


def history_of(*stack):
    model = keras.Sequential([keras.Input((8,)), *stack, layers.Dense(1)])
    model.compile(
        optimizer="adam",
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.losses.BinaryCrossentropy(from_logits=True, name="binary_crossentropy"), "accuracy"],
    )
    return model.fit(x[:60], y[:60], epochs=10, validation_data=(x[60:], y[60:]), verbose=0, shuffle=False).history


small = history_of(layers.Dense(4, activation="elu"))
large = history_of(layers.Dense(64, activation="elu"), layers.Dense(64, activation="elu"))
l2 = history_of(layers.Dense(64, activation="elu", kernel_regularizer=regularizers.l2(0.001)))
both = history_of(
    layers.Dense(64, activation="elu", kernel_regularizer=regularizers.L1L2(1e-4, 1e-3)), layers.Dropout(0.5)
)
results = {"small": small, "large": large, "l2": l2, "keys": sorted(both)}
roughly = {"both": both["val_accuracy"][-1]}
