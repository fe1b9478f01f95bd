"""Learning rates by the epoch, by the step, and set by hand."""

import math

import keras
from programs.data import houses

x, y = houses()
x = (x - x.mean(0)) / x.std(0)


def step_decay(epoch):
    return 0.02 * math.pow(0.5, math.floor((1 + epoch) / 4))


def compiled(rate):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(learning_rate=rate, momentum=0.8))
    return model


by_epoch = compiled(0.0)
history = by_epoch.fit(
    x,
    y,
    epochs=10,
    batch_size=25,
    callbacks=[keras.callbacks.LearningRateScheduler(step_decay)],
    verbose=0,
    shuffle=False,
)
schedule = keras.optimizers.schedules.ExponentialDecay(0.02, decay_steps=20, decay_rate=0.9, staircase=True)
by_step = compiled(schedule)
other = by_step.fit(x, y, epochs=10, batch_size=25, verbose=0, shuffle=False)
by_hand = compiled(0.01)
by_hand.fit(x, y, epochs=1, verbose=0, shuffle=False)
by_hand.optimizer.learning_rate = 0.001
results = {
    "rates": history.history["learning_rate"],
    "losses": [history.history["loss"], other.history["loss"]],
    "hand": float(by_hand.optimizer.learning_rate),
    "schedule": float(schedule(45)),
}
