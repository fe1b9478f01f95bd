"""REINFORCE: actions drawn from a softmax, and their rewards as weights of the rows."""

import keras
import numpy as np
from keras import layers
from programs.data import Corridor

env, rng = Corridor(), np.random.default_rng(1)
policy = keras.Sequential([layers.Dense(12, activation="tanh"), layers.Dense(env.actions, activation="softmax")])
policy.build((None, env.rooms))
policy.compile(optimizer=keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")
lengths = []
for _ in range(25):
    states, actions, rewards = [], [], []
    state, over = env.reset(), False
    while not over and len(states) < 40:
        p = np.asarray(policy(state[None]), "float64")[0]
        action = int(rng.choice(env.actions, p=p / p.sum()))
        states.append(state)
        actions.append(action)
        state, reward, over = env.step(action)
        rewards.append(reward)
    returns = np.cumsum(rewards[::-1])[::-1]
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    policy.train_on_batch(np.array(states), np.array(actions), sample_weight=returns)
    lengths.append(len(states))
results = {"names": [w.shape for w in policy.get_weights()]}
roughly = {"short": float(np.mean(np.array(lengths[-5:]) < 40))}
