"""Sentences to word numbers with a Tokenizer; an embedding, flattened."""

# reads keras.preprocessing.text, which Keras has for older programs
import keras
from keras import layers
from keras.preprocessing.sequence import pad_sequences
from programs.data import OPINIONS, REVIEWS

try:
    from keras.src.legacy.preprocessing.text import Tokenizer
except ImportError:
    from keras.preprocessing.text import Tokenizer
tokenizer = Tokenizer(num_words=40, oov_token="<OOV>")
tokenizer.fit_on_texts(REVIEWS)
sequences = tokenizer.texts_to_sequences(REVIEWS)
padded = pad_sequences(sequences, maxlen=8, padding="post", truncating="post")
model = keras.Sequential(
    [
        layers.Embedding(40, 8),
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(padded, OPINIONS, epochs=60, verbose=0, shuffle=False)
new = pad_sequences(
    tokenizer.texts_to_sequences(["a great unknown story"]), maxlen=8, padding="post", truncating="post"
)
assert history.history["accuracy"][-1] > 0.9
results = {
    "words": tokenizer.word_index,
    "padded": padded,
    "loss": history.history["loss"],
    "new": model.predict(new, verbose=0),
}
