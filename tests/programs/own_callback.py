"""A callback of one's own that looks at the logs, and stops."""

import keras
from programs.data import flowers

x, names = flowers()
y = (names == "setosa").astype("int32")
seen = {"batches": 0, "order": []}


class StopAt(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        seen["order"].append("train begin")

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:
            seen["order"].append("epoch begin")

    def on_train_batch_end(self, batch, logs=None):
        seen["batches"] += 1

    def on_epoch_end(self, epoch, logs={}):
        if logs.get("accuracy") > 0.99:
            print(f"\nReached 99% accuracy in epoch {epoch}")
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        seen["order"].append("train end")


model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer=keras.optimizers.Adam(0.05), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=50, callbacks=[StopAt()], verbose=0, shuffle=False)
assert len(history.epoch) < 50
results = {"epochs": len(history.epoch), "seen": seen}
