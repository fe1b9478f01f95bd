"""A surrogate of a simulator: fitted by Levenberg–Marquardt, and searched by its own derivatives.

The simulator throws a ball with air resistance, at an angle and a speed, into a wind; it says how far the ball flies. A
network of 400 such throws replaces it in a search for the throw that hits a target with the least speed: SciPy gets the
surrogate's derivatives from `Model.jacobian`.

    python examples/surrogate.py
"""

import numpy as np
from scipy.optimize import minimize

import lamina as keras


def simulate(throws):
    """Return how far balls fly: rows of angle (rad), speed (m/s), wind (m/s)."""
    angle, speed, wind = np.asarray(throws, float).T
    place, velocity = np.zeros((len(angle), 2)), np.stack([speed * np.cos(angle), speed * np.sin(angle)], axis=1)
    landed = np.zeros(len(angle))
    for _ in range(2000):
        relative = velocity - np.stack([wind, np.zeros_like(wind)], axis=1)
        drag = 0.02 * np.linalg.norm(relative, axis=1, keepdims=True) * relative
        velocity = velocity - 0.005 * (drag + np.array([0.0, 9.81]))
        before, place = place, place + 0.005 * velocity
        lands = (before[:, 1] >= 0) & (place[:, 1] < 0) & (landed == 0)
        landed[lands] = place[lands, 0]
    return landed


LEAST, MOST = np.array([0.3, 10.0, -5.0]), np.array([1.3, 30.0, 5.0])


def main():
    """Fit the surrogate, search with it, and say how well both went."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    throws = rng.uniform(LEAST, MOST, (500, 3))
    distances = simulate(throws)
    unit = 2 * (throws - LEAST) / (MOST - LEAST) - 1
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(20, "tanh", dtype="float64"),
            keras.layers.Dense(1, dtype="float64"),
        ]
    )
    model.compile(keras.optimizers.LevenbergMarquardt(), "mse")
    model.fit(unit[:400], distances[:400] / 10, batch_size=400, epochs=200, verbose=0)
    error = abs(10 * model.predict(unit[400:], verbose=0)[:, 0] - distances[400:]).max()
    print(f"surrogate: off by {error:.2f} m at most for 100 other throws, which fly {distances.mean():.0f} m")

    # The least speed that hits 30 m against a wind of 3 m/s; x are angle and speed in units of the network.
    target, wind = 30.0, 2 * (-3 - LEAST[2]) / (MOST[2] - LEAST[2]) - 1

    def miss(x):
        return 10 * model.predict_on_batch(np.array([[*x, wind]]))[0, 0] - target

    def slopes(x):
        return 10 * model.jacobian(np.array([[*x, wind]]))[0, 0, :2]

    found = minimize(
        lambda x: x[1],
        [0.0, 0.5],
        jac=lambda x: np.array([0.0, 1.0]),
        bounds=[(-1, 1), (-1, 1)],
        constraints={"type": "eq", "fun": miss, "jac": slopes},
        method="SLSQP",
    )
    throw = LEAST + (np.array([*found.x, wind]) + 1) / 2 * (MOST - LEAST)
    distance = simulate([throw])[0]
    print(
        f"throw at {np.degrees(throw[0]):.0f} degrees with {throw[1]:.1f} m/s: {distance:.2f} m, wanted {target:.0f} m"
    )
    return abs(distance - target)


if __name__ == "__main__":
    main()
