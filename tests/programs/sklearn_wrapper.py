"""A network as a scikit-learn estimator in cross-validation."""

# needs sklearn
import keras
from keras.wrappers import SKLearnClassifier, SKLearnRegressor
from programs.data import houses, table
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def classifier(X, y, units=12):
    inputs = keras.layers.Input(shape=X.shape[1:])
    hidden = keras.layers.Dense(units, activation="relu")(inputs)
    model = keras.models.Model(
        inputs, keras.layers.Dense(y.shape[1] if y.ndim > 1 else 1, activation="softmax")(hidden)
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam")
    return model


def regressor(X, y):
    model = keras.Sequential([keras.layers.Input(shape=X.shape[1:]), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.05))
    return model


x, y = table()
estimator = SKLearnClassifier(model=classifier, model_kwargs={"units": 16}, fit_kwargs={"epochs": 20, "verbose": 0})
scores = cross_val_score(estimator, x, y, cv=StratifiedKFold(3, shuffle=True, random_state=0))
estimator.fit(x, y)
assert estimator.score(x, y) > 0.8
homes, price = houses()
pipeline = make_pipeline(StandardScaler(), SKLearnRegressor(model=regressor, fit_kwargs={"epochs": 40, "verbose": 0}))
pipeline.fit(homes, price)
results = {"folds": len(scores)}
roughly = {"accuracy": estimator.score(x, y), "r2": pipeline.score(homes, price)}
