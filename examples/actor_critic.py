"""Actor–critic: a policy learns to balance a pole on a cart, from gradients that the program computes itself.

The environment is a few lines of NumPy (Barto, Sutton & Anderson 1983), 32 of them at once. The actor's loss is the
policy gradient with advantages, the critic's the squared error of the value; `Model.vjp` takes the derivative of any
loss by the output, and an optimizer applies the gradients.

    python examples/actor_critic.py
"""

import numpy as np

import lamina as keras

CARTS, STEPS, UPDATES, DISCOUNT = 32, 32, 150, 0.98


class Carts:
    """Carts with poles: a state has the place and speed of a cart, and the angle and speed of its pole."""

    def __init__(self, rng):
        self.rng, self.state, self.age = rng, np.zeros((CARTS, 4), "f"), np.zeros(CARTS, int)
        self.finished = []  # the lengths of the episodes so far
        self.restart(np.ones(CARTS, bool))

    def restart(self, which):
        """Begin new episodes."""
        self.state[which] = self.rng.uniform(-0.05, 0.05, (which.sum(), 4))
        self.age[which] = 0

    def step(self, right):
        """Push each cart to the right or to the left for 0.02 s; return which poles fell."""
        _, speed, angle, turn = self.state.T
        force, sine, cosine = np.where(right, 10.0, -10.0), np.sin(angle), np.cos(angle)
        push = (force + 0.05 * turn**2 * sine) / 1.1
        bend = (9.8 * sine - cosine * push) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
        self.state += 0.02 * np.stack([speed, push - 0.05 * bend * cosine / 1.1, turn, bend], axis=1).astype("f")
        self.age += 1
        fell = (abs(self.state[:, 0]) > 2.4) | (abs(self.state[:, 2]) > 0.209)
        ended = fell | (self.age >= 500)
        self.finished += self.age[ended].tolist()
        self.restart(ended)
        return fell, ended


def network(outputs):
    """Return a small network of a state."""
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(64, "tanh"), layers.Dense(64, "tanh"), layers.Dense(outputs)]
    )


def main():
    """Train, and say how long the poles stand."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    carts, actor, critic = Carts(rng), network(2), network(1)
    rates = {id(actor): keras.optimizers.Adam(2e-3), id(critic): keras.optimizers.Adam(4e-3)}
    for _ in range(UPDATES):
        states, actions, falls, ends = [], [], [], []
        for _ in range(STEPS):
            scores = actor.predict_on_batch(carts.state)
            right = rng.random(CARTS) < 1 / (1 + np.exp(scores[:, 0] - scores[:, 1]))
            states.append(carts.state.copy())
            actions.append(right.astype(int))
            fell, ended = carts.step(right)
            falls.append(fell)
            ends.append(ended)
        values = critic.predict_on_batch(np.concatenate(states)).reshape(STEPS, CARTS)
        returns, following = np.empty((STEPS, CARTS), "f"), critic.predict_on_batch(carts.state)[:, 0]
        for t in reversed(range(STEPS)):  # an episode that reaches its longest time goes on for the critic
            following = 1 + DISCOUNT * np.where(falls[t], 0, np.where(ends[t], values[t], following))
            returns[t] = following
        x, chosen = np.concatenate(states), np.concatenate(actions)
        advantages = (returns - values).reshape(-1, 1)

        # dL/dscores of L = -mean(advantage log π(action)) - 0.01 entropy
        scores = actor.predict_on_batch(x)
        policy = np.exp(scores - scores.max(1, keepdims=True))
        policy /= policy.sum(1, keepdims=True)
        logs = np.log(policy + 1e-8)
        slopes = advantages / (advantages.std() + 1e-8) * (policy - np.eye(2, dtype="f")[chosen])
        slopes += 0.01 * policy * (logs - (policy * logs).sum(1, keepdims=True))
        learn(actor, rates, x, slopes / len(x))
        learn(critic, rates, x, -2 * advantages / len(x))
    length = np.mean(carts.finished[-100:])
    print(f"after {UPDATES} updates the last 100 poles stood for {length:.0f} steps of at most 500")
    return length


def learn(model, optimizers, x, slopes):
    """Take a step, given the derivative of the loss by the model's output."""
    _, _, gradients = model.vjp(x, slopes.astype("f"), need_dx=False)
    optimizers[id(model)].apply(gradients, model.trainable_weights)


if __name__ == "__main__":
    main()
