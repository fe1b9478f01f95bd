"""An autoencoder: 64 pixels of a digit through eight numbers and back.

python examples/autoencoder.py
"""

import numpy as np

import lamina as keras
from lamina.datasets import digits


def main():
    """Train, and say how well it went."""
    keras.utils.set_random_seed(1)
    (x_train, _), (x_test, _) = digits.load_data()
    x_train, x_test = (x.reshape(len(x), -1).astype("float32") / 16 for x in (x_train, x_test))
    encoder = [keras.layers.Dense(32, activation="gelu"), keras.layers.Dense(8, name="code")]
    decoder = [keras.layers.Dense(32, activation="gelu"), keras.layers.Dense(64, activation="sigmoid")]
    model = keras.Sequential([keras.layers.Input((64,)), *encoder, *decoder])
    model.compile(optimizer=keras.optimizers.Nadam(2e-3), loss="mse")
    model.fit(x_train, x_train, batch_size=32, epochs=120, verbose=0, validation_data=(x_test, x_test))
    error = model.evaluate(x_test, x_test, verbose=0)
    # The best that eight linear numbers can do: the principal components.
    mean = x_train.mean(axis=0)
    _, _, components = np.linalg.svd(x_train - mean, full_matrices=False)
    basis = components[:8]
    linear = float(np.mean((x_test - mean - (x_test - mean) @ basis.T @ basis) ** 2))
    print(f"test error {error:.4f}; eight principal components leave {linear:.4f}")
    codes = keras.Sequential(encoder).predict(x_test)
    print(f"codes: {codes.shape}, deviations {codes.std(axis=0).round(2)}")
    return error / linear


if __name__ == "__main__":
    main()
