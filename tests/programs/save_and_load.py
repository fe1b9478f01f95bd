"""A model in one file, its architecture as JSON, its weights apart."""

# needs h5py
import json

import numpy as np
from keras.layers import Dense
from keras.models import Sequential, load_model, model_from_json
from programs.data import table

x, y = table()
model = Sequential([Dense(6, activation="relu", input_dim=8), Dense(1, activation="sigmoid")])
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(x, y, epochs=3, batch_size=10, verbose=0, shuffle=False)
with open("model.json", "w") as file:
    file.write(model.to_json())
model.save_weights("model.weights.h5")
with open("model.json") as file:
    loaded = model_from_json(file.read())
loaded.load_weights("model.weights.h5")
loaded.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
score = loaded.evaluate(x, y, verbose=0)
model.save("whole.keras")
model.save("whole.h5")
scores = [load_model(name).evaluate(x, y, verbose=0) for name in ("whole.keras", "whole.h5")]
assert np.allclose([score, *scores], score, rtol=1e-5)
config = json.load(open("model.json"))
results = {
    "class": config["class_name"],
    "layers": [layer["class_name"] for layer in config["config"]["layers"]],
    "score": score,
    "weights": [w.shape for w in loaded.get_weights()],
}
