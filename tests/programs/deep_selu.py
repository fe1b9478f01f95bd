"""A deep network of SELU units, and one with batch normalization before the activations."""

import keras
from programs.data import images

x, y = images()
x = (x / 255.0).astype("float32")
deep = keras.models.Sequential([keras.layers.Flatten(input_shape=[8, 8])])
for _ in range(6):
    deep.add(keras.layers.Dense(20, activation="selu", kernel_initializer="lecun_normal"))
deep.add(keras.layers.AlphaDropout(rate=0.1))
deep.add(keras.layers.Dense(4, activation="softmax"))
normal = keras.models.Sequential(
    [
        keras.layers.Flatten(input_shape=[8, 8]),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(30, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("relu"),
        keras.layers.Dense(4, activation="softmax"),
    ]
)
scores = []
for model in (deep, normal):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=15, batch_size=20, verbose=0, shuffle=False)
    scores.append(model.evaluate(x, y, verbose=0)[1])
assert min(scores) > 0.7
variables = [(v.name, v.trainable) for v in normal.layers[1].variables]
results = {"normal": history.history, "variables": variables, "counts": [deep.count_params(), normal.count_params()]}
roughly = {"deep": scores[0]}
