"""The simplest autoencoder: encoder and decoder are models that share its layers."""

import keras
from keras import layers
from programs.data import images

x, _ = images()
x = x.reshape(len(x), -1) / 255.0
encoding_dim = 16
input_img = keras.Input(shape=(64,))
encoded = layers.Dense(encoding_dim, activation="relu")(input_img)
decoded = layers.Dense(64, activation="sigmoid")(encoded)
autoencoder = keras.Model(input_img, decoded)
encoder = keras.Model(input_img, encoded)
encoded_input = keras.Input(shape=(encoding_dim,))
decoder_layer = autoencoder.layers[-1]
decoder = keras.Model(encoded_input, decoder_layer(encoded_input))
autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
history = autoencoder.fit(x, x, epochs=10, batch_size=32, shuffle=False, validation_data=(x[:40], x[:40]), verbose=0)
codes = encoder.predict(x, verbose=0)
images_again = decoder.predict(codes, verbose=0)
assert abs(images_again - autoencoder.predict(x, verbose=0)).max() < 1e-5
results = {"history": history.history, "codes": codes[:5], "layers": len(autoencoder.layers)}
