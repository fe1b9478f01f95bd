"""An ensemble with intervals: how far a prediction may be off, and where the model has not seen anything like a row.

Thirty networks learn a noisy function of one variable, each from its own bootstrap sample, in one call of `fit_many`.
The data have a gap. Where there are data, the networks agree, and the noise of the targets decides how wide an interval
must be: out-of-fold predictions of a cross-validation measure it. In the gap the networks disagree, and the intervals
become wide.

    python examples/ensemble.py
"""

import tempfile
from pathlib import Path

import numpy as np

import lamina as keras


def function(x):
    """Return what the targets are without noise."""
    return np.sin(3 * x) + 0.5 * x


def draw(rng, count):
    """Return rows on both sides of the gap between -0.5 and 0.7, and noisy targets."""
    x = np.where(rng.random(count) < 0.5, rng.uniform(-2, -0.5, count), rng.uniform(0.7, 2, count))[:, None]
    return x, function(x) + 0.2 * rng.standard_normal((count, 1))


def make_model():
    """Return a new network."""

    def wide():  # units that bend at different places
        return keras.initializers.RandomNormal(stddev=2.0)

    model = keras.Sequential([
        keras.Input((1,)),
        keras.layers.Dense(50, "tanh", kernel_initializer=wide(), bias_initializer=wide()),
        keras.layers.Dense(50, "tanh"),
        keras.layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return model


def main():
    """Train the ensemble, and return the share of new targets in its 90 % intervals."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    x, y = draw(rng, 800)
    settings = {"batch_size": 32, "epochs": 80, "verbose": 0}

    validation = keras.cross_validate(make_model, x, y, folds=5, **settings)
    noise = np.sqrt(np.mean((validation.predictions - y) ** 2))

    models = [make_model() for _ in range(30)]
    keras.fit_many(models, x, y, rows=[rng.integers(0, len(x), len(x)) for _ in models], **settings)
    ensemble = keras.Ensemble(models)
    with tempfile.TemporaryDirectory() as folder:  # one file for all of them
        ensemble.save(Path(folder) / "ensemble.safetensors")
        ensemble = keras.Ensemble.load(Path(folder) / "ensemble.safetensors")

    def interval(rows):
        half = 1.645 * np.hypot(ensemble.spread(rows), noise)  # 90 % of a normal distribution
        return ensemble.predict(rows) - half, ensemble.predict(rows) + half

    new, targets = draw(rng, 1000)
    low, high = interval(new)
    inside = float(np.mean((low <= targets) & (targets <= high)))
    gap = np.linspace(-0.3, 0.5, 20)[:, None]
    print(f"noise {noise:.2f} by cross-validation, 0.20 in truth; {inside:.1%} of new targets in their 90 % intervals")
    print("width of the intervals:", *(f"{name} {np.mean(h - b):.2f}" for name, (b, h) in {
        "at the data": (low, high), "in the gap": interval(gap),
    }.items()))  # fmt: skip
    low, high = interval(gap)
    return inside if np.mean((low <= function(gap)) & (function(gap) <= high)) > 0.8 else 0.0


if __name__ == "__main__":
    main()
