"""The smallest network that is not linear."""

import numpy as np
from keras.layers import Activation, Dense
from keras.models import Sequential
from keras.optimizers import SGD

x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
y = np.array([[0], [1], [1], [0]])
model = Sequential()
model.add(Dense(8, input_dim=2))
model.add(Activation("tanh"))
model.add(Dense(1))
model.add(Activation("sigmoid"))
model.compile(loss="binary_crossentropy", optimizer=SGD(learning_rate=0.2, momentum=0.9, nesterov=True))
history = model.fit(x, y, batch_size=1, epochs=300, verbose=0, shuffle=False)
assert (model.predict(x, verbose=0) > 0.5).astype(int).tolist() == y.tolist()
results = {"loss": history.history["loss"][:20], "after": model.predict_on_batch(x).round()}
