"""Data frames: categories, missing numbers, names of columns."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import OneHotEncoder

from lamina.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
CITIES = np.array(["Ulm", "Bonn", "Kiel", "Jena"])[RNG.randint(0, 4, 200)]
SIZES = RNG.standard_normal(200)
FLOORS = RNG.randint(1, 5, 200)
PRICES = SIZES + (CITIES == "Ulm") * 2.0 - (CITIES == "Kiel") + 0.3 * FLOORS
TABLE = {"city": CITIES, "size": SIZES, "floor": FLOORS}


def frames(categories=True):
    made = {"pandas": pd.DataFrame(TABLE), "pandas category": pd.DataFrame(TABLE).astype({"city": "category"})}
    try:
        import polars as pl
    except ImportError:
        return made
    return made | {"polars": pl.DataFrame(TABLE), "polars category": pl.DataFrame(TABLE).cast({"city": pl.Categorical})}


@pytest.mark.parametrize("kind", frames())
@pytest.mark.parametrize(
    "chosen", ["from_dtype", ["city"], [0], [-3], [True, False, False], np.array(["city"])], ids=str
)
def test_categories_are_columns_of_the_first_layer(kind, chosen):
    table = frames()[kind]
    model = MLPRegressor(categorical_features=chosen, max_iter=30, random_state=0).fit(table, PRICES)
    rows = np.hstack([OneHotEncoder(sparse_output=False).fit_transform(CITIES[:, None]), np.c_[SIZES, FLOORS]])
    plain = MLPRegressor(max_iter=30, random_state=0).fit(rows, PRICES)
    np.testing.assert_allclose(model.coefs_[0], plain.coefs_[0], rtol=1e-12)
    np.testing.assert_allclose(model.predict(table), plain.predict(rows), rtol=1e-12)
    assert model.feature_names_in_.tolist() == ["city", "size", "floor"]
    assert model.n_features_in_ == 3
    assert model.coefs_[0].shape[0] == 6
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(table), model.predict(table))
    with pytest.raises(ValueError, match="feature names|features"):
        model.predict(table[["city", "size"]])
    with pytest.raises(ValueError, match="rows of numbers"):
        model.input_gradients(table)


def test_arrays_and_lists_with_categories():
    table = np.array([CITIES, SIZES, FLOORS], object).T
    model = MLPRegressor(categorical_features=[0], solver="lbfgs", random_state=0).fit(table, PRICES)
    assert model.score(table, PRICES) > 0.98
    np.testing.assert_array_equal(model.predict(table.tolist()), model.predict(table))
    assert model.predict([["Rome", 0.0, 1]]).shape == (1,)  # a city that was not seen
    codes = np.c_[FLOORS, SIZES]
    model = MLPRegressor(categorical_features=[True, False], max_iter=3, standardize=True).fit(codes, PRICES)
    assert model.coefs_[0].shape[0] == 5
    model.partial_fit(codes, PRICES)
    assert model.fit(codes, PRICES, validation_data=(codes, PRICES)).validation_loss_curve_


def test_many_categories_stay_sparse():
    users = np.arange(20_000) % 15_000
    table = pd.DataFrame({"user": users.astype(str), "size": RNG.standard_normal(20_000)})
    model = MLPClassifier((4,), categorical_features="from_dtype", max_iter=1, random_state=0)
    tracemalloc.start()
    try:
        model.fit(table, users % 2)
        assert model.predict(table).shape == (20_000,)
        assert tracemalloc.get_traced_memory()[1] < 20_000 * 15_000 * 8 / 20
    finally:
        tracemalloc.stop()
    assert model.coefs_[0].shape[0] == 15_001


@pytest.mark.parametrize("impute", ["mean", "median", "most_frequent"])
def test_missing_numbers(impute):
    table = pd.DataFrame(TABLE)
    table.loc[3:9, "size"] = np.nan
    table.loc[5, "city"] = None
    with pytest.raises(ValueError, match="contains NaN"):
        MLPRegressor(categorical_features="from_dtype").fit(table, PRICES)
    model = MLPRegressor(categorical_features="from_dtype", impute=impute, max_iter=5, random_state=0)
    model.fit(table, PRICES)
    filled = table.fillna(
        {"size": {"mean": table["size"].mean(), "median": table["size"].median()}.get(impute, table["size"].mode()[0])}
    )
    np.testing.assert_allclose(model.predict(table), model.predict(filled), rtol=1e-9)
    rows = np.where(RNG.rand(200, 3) < 0.1, np.nan, RNG.standard_normal((200, 3)))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        MLPRegressor().fit(rows, PRICES)
    model = MLPRegressor(impute=impute, max_iter=5).fit(rows, PRICES)
    assert np.isfinite(model.predict(rows)).all()
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.where(np.isnan(rows), np.inf, rows))


@pytest.mark.parametrize("dtype", ["string", "category", "object", "Int64"])
def test_missing_categories_are_a_category(dtype):
    values = [1, 2, pd.NA, 1] if dtype == "Int64" else ["a", "b", pd.NA, "a"]
    column = pd.Series(values * 50, dtype=dtype)
    table = pd.DataFrame({"kind": column, "size": SIZES})
    model = MLPRegressor(categorical_features=["kind"], random_state=0, max_iter=5).fit(table, PRICES)
    assert model.coefs_[0].shape[0] == 4
    known = table[table["kind"].notna()]
    np.testing.assert_array_equal(model.predict(known), model.predict(table)[table["kind"].notna()])
    as_array = MLPRegressor(categorical_features=[0], random_state=0, max_iter=5)
    as_array.fit(table.to_numpy(object, na_value=pd.NA), PRICES)
    np.testing.assert_allclose(as_array.predict(table.to_numpy(object)), model.predict(table))
    assert isinstance(table["kind"].dtype, type(column.dtype))  # the user's table is as it was


def test_missing_numbers_of_extension_types():
    table = pd.DataFrame({"size": pd.array([1.0, None] * 100, "Float64"), "floor": pd.array([1, 2] * 100, "Int64")})
    with pytest.raises(ValueError, match="contains NaN"):
        MLPRegressor(categorical_features=[], max_iter=2).fit(table, PRICES)
    model = MLPRegressor(impute="mean", random_state=0, max_iter=5).fit(table, PRICES)
    plain = MLPRegressor(random_state=0, max_iter=5).fit(np.c_[np.ones(200), [1, 2] * 100], PRICES)
    np.testing.assert_allclose(model.predict(table), plain.predict(np.c_[np.ones(200), [1, 2] * 100]))


def test_a_column_without_any_number_is_zero():
    rows = np.c_[SIZES, np.full(200, np.nan)]
    model = MLPRegressor(impute="median", random_state=0, max_iter=5).fit(rows, PRICES)
    plain = MLPRegressor(random_state=0, max_iter=5).fit(np.c_[SIZES, np.zeros(200)], PRICES)
    np.testing.assert_array_equal(model.predict(rows), plain.predict(np.c_[SIZES, np.zeros(200)]))


@pytest.mark.parametrize("settings", [{"impute": "mean"}, {"categorical_features": [0]}])
def test_one_dimension_is_no_table(settings):
    model = MLPRegressor(max_iter=2, **settings)
    for rows in (SIZES, SIZES.tolist(), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="Expected 2D array"):
            model.fit(rows, PRICES)
    model.fit(np.c_[SIZES, FLOORS], PRICES)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        model.predict(SIZES[:2])


def test_tags_say_what_is_taken():
    assert not MLPRegressor().__sklearn_tags__().input_tags.allow_nan
    assert MLPRegressor(impute="mean").__sklearn_tags__().input_tags.allow_nan
    tags = MLPClassifier(categorical_features=[0]).__sklearn_tags__().input_tags
    assert (tags.categorical, tags.string, tags.allow_nan) == (True, True, False)


def test_scores_of_folds():
    model = MLPRegressor(categorical_features="from_dtype", solver="lbfgs", random_state=0, standardize=True)
    assert cross_val_score(model, pd.DataFrame(TABLE), PRICES, cv=3).mean() > 0.95


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([5], "must be numbers of the 3 columns"), (["town"], "no.* with the names|there are none with the names"),
        ([True], "one bool for each of 3 columns; got 1"), ("all", "'categorical_features' parameter"),
        ([["city"]], "must be one-dimensional"), (None, "could not convert string to float"),
    ],
)  # fmt: skip
def test_wrong_columns(chosen, words):
    with pytest.raises(ValueError, match=words):
        MLPRegressor(categorical_features=chosen).fit(pd.DataFrame(TABLE), PRICES)
    with pytest.raises(ValueError, match="needs a data frame"):
        MLPRegressor(categorical_features="from_dtype").fit(np.c_[SIZES, FLOORS], PRICES)


def test_sparse_matrices_of_all_formats_can_be_imputed():
    rows = np.where(np.c_[SIZES, FLOORS] > 1, np.c_[SIZES, FLOORS], 0)
    expected = MLPRegressor(impute="mean", max_iter=3, random_state=0).fit(scipy.sparse.csr_matrix(rows), PRICES)
    for kind in (scipy.sparse.coo_matrix, scipy.sparse.csc_array, scipy.sparse.lil_matrix):
        model = MLPRegressor(impute="mean", max_iter=3, random_state=0).fit(kind(rows), PRICES)
        np.testing.assert_array_equal(model.predict(kind(rows)), expected.predict(rows))
