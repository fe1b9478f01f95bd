"""A deep autoencoder; its middle is read as a model of its own."""

from keras.layers import Dense, Input
from keras.models import Model
from programs.data import images

x, labels = images()
x = x.reshape(len(x), -1).astype("float32") / 255
inputs = Input(shape=(64,))
h = Dense(32, activation="relu")(inputs)
h = Dense(8, activation="relu", name="bottleneck")(h)
h = Dense(32, activation="relu")(h)
outputs = Dense(64, activation="sigmoid")(h)
model = Model(inputs=inputs, outputs=outputs, name="autoencoder")
model.compile(optimizer="adadelta", loss="mse")
history = model.fit(x, x, epochs=3, batch_size=50, shuffle=False, verbose=0)
middle = Model(inputs=model.input, outputs=model.get_layer("bottleneck").output)
other = Model(model.inputs, model.layers[2].output)
results = {
    "loss": history.history["loss"],
    "middle": middle.predict(x, verbose=0),
    "other": other.predict(x[:3], verbose=0),
    "shape": list(middle.output_shape),
    "names": [layer.name for layer in model.layers if "input" not in layer.name][1],
}
