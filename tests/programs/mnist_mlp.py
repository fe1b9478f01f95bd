"""Digits: pixels to rows of numbers between 0 and 1, two layers with dropout, classes as columns."""

import keras
from keras.datasets import mnist
from keras.layers import Dense, Dropout
from keras.models import Sequential
from keras.optimizers import RMSprop

num_classes = 10
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.reshape(-1, 784).astype("float32") / 255
x_test = x_test.reshape(-1, 784).astype("float32") / 255
y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)
model = Sequential()
model.add(Dense(64, activation="relu", input_shape=(784,)))
model.add(Dropout(0.2))
model.add(Dense(64, activation="relu"))
model.add(Dropout(0.2))
model.add(Dense(num_classes, activation="softmax"))
model.summary()
model.compile(loss="categorical_crossentropy", optimizer=RMSprop(), metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=32, epochs=12, verbose=0, validation_data=(x_test, y_test))
score = model.evaluate(x_train, y_train, verbose=0)
results = {"parameters": model.count_params(), "shapes": [x_train.shape, y_test.shape], "keys": sorted(history.history)}
roughly = {"accuracy": score[1], "loss": min(1.0, score[0])}
