"""Reviews as rows of zeros and ones, one column a word; overfitting seen in the history."""

import numpy as np
from keras import layers, models
from keras.datasets import imdb

(train_data, train_labels), (test_data, test_labels) = imdb.load_data(num_words=50)


def vectorize_sequences(sequences, dimension=50):
    rows = np.zeros((len(sequences), dimension))
    for i, sequence in enumerate(sequences):
        rows[i, sequence] = 1.0
    return rows


x_train, x_test = vectorize_sequences(train_data), vectorize_sequences(test_data)
y_train, y_test = np.asarray(train_labels).astype("float32"), np.asarray(test_labels).astype("float32")
model = models.Sequential()
model.add(layers.Dense(16, activation="relu", input_shape=(50,)))
model.add(layers.Dense(16, activation="relu"))
model.add(layers.Dense(1, activation="sigmoid"))
model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
x_val, partial_x_train, y_val, partial_y_train = x_train[:40], x_train[40:], y_train[:40], y_train[40:]
history = model.fit(
    partial_x_train, partial_y_train, epochs=20, batch_size=16, validation_data=(x_val, y_val), verbose=0, shuffle=False
)
history_dict = history.history
index = imdb.get_word_index()
results = {"history": history_dict, "evaluation": model.evaluate(x_test, y_test, verbose=0), "words": len(index)}
