"""Regression with normalized inputs: Friedman's function of ten columns, five of which matter.

``y = 10 sin(pi x0 x1) + 20 (x2 - 0.5)² + 10 x3 + 5 x4`` and noise of deviation 1 (Friedman 1991); the columns come in
units that differ by factors of a thousand, which the first layer evens out.

    python examples/regression.py
"""

import numpy as np

import lamina as keras


def main():
    """Train, and say how well it went."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    unit = rng.random((6000, 10))
    y = 10 * np.sin(np.pi * unit[:, 0] * unit[:, 1]) + 20 * (unit[:, 2] - 0.5) ** 2 + 10 * unit[:, 3] + 5 * unit[:, 4]
    y += rng.standard_normal(len(y))
    x = unit * 10.0 ** rng.integers(-3, 4, 10) + rng.integers(-50, 50, 10)

    normalization = keras.layers.Normalization()
    normalization.adapt(x[:5000])
    model = keras.Sequential(
        [
            keras.layers.Input((10,)),
            normalization,
            keras.layers.Dense(64, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-4)),
            keras.layers.Dense(64, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-4)),
            keras.layers.Dense(1),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(3e-3, decay_steps=40 * 141)
    model.compile(optimizer=keras.optimizers.AdamW(rate), loss="huber", metrics=["mae", "R2Score"])
    model.fit(x[:5000], y[:5000], batch_size=32, epochs=40, validation_split=0.1, verbose=0)
    result = model.evaluate(x[5000:], y[5000:], verbose=0, return_dict=True)
    print(f"test R² {result['R2Score']:.3f}, mean absolute error {result['mae']:.3f}; the noise alone costs 0.80")
    return result["R2Score"]


if __name__ == "__main__":
    main()
