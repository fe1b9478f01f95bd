"""Q-learning with a memory of steps and a second network that follows."""

import random
from collections import deque

import numpy as np
from keras import Sequential
from keras.layers import Dense, Input
from keras.models import clone_model
from keras.optimizers import Adam
from programs.data import Corridor

env = Corridor()
memory = deque(maxlen=200)
model = Sequential([Input((env.rooms,)), Dense(16, activation="relu"), Dense(env.actions, activation="linear")])
model.compile(loss="mse", optimizer=Adam(learning_rate=0.02))
target = clone_model(model)
target.set_weights(model.get_weights())
epsilon = 1.0
for episode in range(12):
    state, over, steps = env.reset(), False, 0
    while not over and steps < 30:
        greedy = int(np.argmax(model.predict(state[None], verbose=0)[0]))
        action = random.randrange(env.actions) if random.random() < epsilon else greedy
        new, reward, over = env.step(action)
        memory.append((state, action, reward, new, over))
        state, steps = new, steps + 1
        if len(memory) >= 16:
            batch = random.sample(memory, 16)
            states, nexts = np.array([b[0] for b in batch]), np.array([b[3] for b in batch])
            q = model.predict(states, verbose=0)
            following = target.predict(nexts, verbose=0).max(axis=1)
            for i, (_, action, reward, _, over_then) in enumerate(batch):
                q[i, action] = reward if over_then else reward + 0.9 * following[i]
            model.fit(states, q, epochs=1, verbose=0)
    epsilon *= 0.8
    target.set_weights(model.get_weights())
values = model.predict(np.eye(env.rooms)[:-1], verbose=0)
best = values.argmax(axis=1)
results = {"shape": list(values.shape), "steps": len(memory) > 50}
roughly = {"right": float(best.mean())}
