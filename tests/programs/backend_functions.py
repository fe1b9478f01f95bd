"""Losses and metrics of older programs, in functions of the backend."""

# needs autograd
import keras
import numpy as np
from keras import backend as K
from programs.data import houses

if not hasattr(K, "mean"):
    from keras import ops as K

x, y = houses()
x = (x - x.mean(0)) / x.std(0)


def rmse(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true)))


def coeff_determination(y_true, y_pred):
    residual = K.sum(K.square(y_true - y_pred))
    total = K.sum(K.square(y_true - K.mean(y_true)))
    return 1 - residual / (total + 1e-7)


model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
model.compile(loss=rmse, optimizer="rmsprop", metrics=[coeff_determination, "mae"])
history = model.fit(x, y.reshape(-1, 1), epochs=4, batch_size=20, verbose=0, shuffle=False)
results = {"history": history.history, "metric": np.asarray(rmse(np.ones((3, 1)), np.zeros((3, 1))))}
