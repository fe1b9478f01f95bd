"""Binary classification of a table, as in a first tutorial."""

from keras.layers import Dense
from keras.models import Sequential
from programs.data import table

x, y = table()
model = Sequential()
model.add(Dense(12, input_dim=8, activation="relu"))
model.add(Dense(8, activation="relu"))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x, y, validation_split=0.33, epochs=30, batch_size=10, verbose=0, shuffle=False)
loss, accuracy = model.evaluate(x, y, verbose=0)
print("Accuracy: %.2f" % (accuracy * 100))
predictions = (model.predict(x, verbose=0) > 0.5).astype(int)
assert accuracy > 0.85
results = {"history": history.history, "loss": loss, "ones": int(predictions.sum()), "keys": sorted(history.history)}
