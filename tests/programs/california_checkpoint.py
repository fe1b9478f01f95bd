"""A regression with early stopping and the best model kept in a file."""

# needs h5py
import keras
from programs.data import houses

x, y = houses(300)
x = (x - x.mean(0)) / x.std(0)
x_train, y_train, x_valid, y_valid, x_test, y_test = x[:200], y[:200], x[200:250], y[200:250], x[250:], y[250:]
model = keras.models.Sequential(
    [
        keras.layers.Input(shape=x_train.shape[1:]),
        keras.layers.Dense(30, activation="relu"),
        keras.layers.Dense(1),
    ]
)
model.compile(loss="mean_squared_error", optimizer=keras.optimizers.SGD(learning_rate=1e-3))
checkpoint_cb = keras.callbacks.ModelCheckpoint("my_keras_model.keras", save_best_only=True)
early_stopping_cb = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
history = model.fit(
    x_train,
    y_train,
    epochs=60,
    validation_data=(x_valid, y_valid),
    callbacks=[checkpoint_cb, early_stopping_cb],
    verbose=0,
    shuffle=False,
)
model = keras.models.load_model("my_keras_model.keras")
test_mse = model.evaluate(x_test, y_test, verbose=0)
results = {"epochs": len(history.epoch), "test": test_mse, "new": model.predict(x_test[:3], verbose=0)}
