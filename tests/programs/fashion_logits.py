"""Clothes: images flattened in the model, logits, and a second model that turns them into probabilities."""

import keras
import numpy as np

fashion_mnist = keras.datasets.fashion_mnist
(train_images, train_labels), (test_images, test_labels) = fashion_mnist.load_data()
train_images, test_images = train_images / 255.0, test_images / 255.0
model = keras.Sequential(
    [
        keras.layers.Flatten(input_shape=(28, 28)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10),
    ]
)
model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
history = model.fit(train_images, train_labels, epochs=4, shuffle=False, verbose=0)
test_loss, test_acc = model.evaluate(test_images, test_labels, verbose=2)
probability_model = keras.Sequential([model, keras.layers.Softmax()])
predictions = probability_model.predict(test_images, verbose=0)
img = np.expand_dims(test_images[1], 0)
single = probability_model.predict(img, verbose=0)
assert np.allclose(predictions.sum(axis=1), 1, atol=1e-5)
results = {"history": history.history, "loss": test_loss, "predictions": predictions, "best": int(np.argmax(single[0]))}
