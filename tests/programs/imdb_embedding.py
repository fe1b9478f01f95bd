"""Reviews padded to one length, an embedding, the mean over the words."""

import keras
from keras import layers
from keras.preprocessing.sequence import pad_sequences

(train_data, train_labels), (test_data, test_labels) = keras.datasets.imdb.load_data(num_words=50)
train_data = pad_sequences(train_data, value=0, padding="post", maxlen=24)
test_data = pad_sequences(test_data, value=0, padding="post", maxlen=24)
model = keras.Sequential(
    [
        layers.Embedding(50, 16, mask_zero=True),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(train_data, train_labels, epochs=6, batch_size=32, verbose=0, shuffle=False)
results = {"history": history.history, "evaluation": model.evaluate(test_data, test_labels, verbose=0)}
