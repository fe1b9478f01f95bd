"""Which size and which learning rate: a search by scikit-learn."""

# needs sklearn
import keras
from keras.wrappers import SKLearnClassifier
from programs.data import table
from sklearn.model_selection import GridSearchCV

x, y = table(160)


def build(X, y, units=4, rate=0.01):
    model = keras.Sequential()
    model.add(keras.layers.Input(shape=X.shape[1:]))
    model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(y.shape[1] if y.ndim > 1 else 1, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(rate))
    return model


grid = {"model_kwargs": [{"units": 4, "rate": 1e-5}, {"units": 16, "rate": 0.05}]}
search = GridSearchCV(SKLearnClassifier(model=build, fit_kwargs={"epochs": 15, "verbose": 0}), grid, cv=2)
search.fit(x, y)
results = {"best": search.best_params_["model_kwargs"]["units"], "tried": len(search.cv_results_["params"])}
