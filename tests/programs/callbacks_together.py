"""Early stopping, a falling learning rate and a table of the epochs in one training."""

import csv

import keras
from programs.data import table

x, y = table(120)
model = keras.Sequential([keras.layers.Dense(32, "relu"), keras.layers.Dense(1, "sigmoid")])
model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=6, restore_best_weights=True, verbose=0)
reduce = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=2, min_lr=1e-3)
log = keras.callbacks.CSVLogger("log.csv", append=False, separator=";")
history = model.fit(
    x[:80], y[:80], epochs=40, validation_data=(x[80:], y[80:]), callbacks=[stop, reduce, log], verbose=0, shuffle=False
)
with open("log.csv") as file:
    rows = list(csv.DictReader(file, delimiter=";"))
assert len(rows) == len(history.epoch)
results = {
    "epochs": len(rows),
    "columns": sorted(rows[0]),
    "rates": history.history["learning_rate"],
    "stopped": stop.stopped_epoch,
    "evaluation": model.evaluate(x[80:], y[80:], verbose=0, return_dict=True),
}
