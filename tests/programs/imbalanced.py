"""Few positives: weights of the classes, a first bias that fits their share, and many metrics."""

import keras
import numpy as np
from programs.data import table

x, y = table(400)
y = ((y == 1) & (x[:, 3] > 0.8)).astype("int32")
neg, pos = np.bincount(y)
metrics = [
    keras.metrics.TruePositives(name="tp"),
    keras.metrics.FalsePositives(name="fp"),
    keras.metrics.BinaryAccuracy(name="accuracy"),
    keras.metrics.Precision(name="precision"),
    keras.metrics.Recall(name="recall"),
    keras.metrics.AUC(name="auc"),
    keras.metrics.AUC(name="prc", curve="PR"),
]
bias = keras.initializers.Constant(np.log([pos / neg])[0])
model = keras.Sequential(
    [
        keras.layers.Dense(16, activation="relu", input_shape=(8,)),
        keras.layers.Dense(1, activation="sigmoid", bias_initializer=bias),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=1e-2), loss=keras.losses.BinaryCrossentropy(), metrics=metrics
)
first = model.predict(x, verbose=0)
total = neg + pos
class_weight = {0: (1 / neg) * (total / 2.0), 1: (1 / pos) * (total / 2.0)}
history = model.fit(x, y, batch_size=64, epochs=8, class_weight=class_weight, verbose=0, shuffle=False)
results = {"history": history.history, "first": first[:4]}
