"""A search whose networks are trained by the worker processes of a Dask cluster, and the same in one call without it.

The cluster is a local one of two processes; ``Client("address:8786")`` is one of as many machines as there are.

    pip install 'lamina[sklearn]' 'dask[distributed]'
    python examples/dask_search.py
"""

import time

import joblib
import numpy as np
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lamina.sklearn import MLPClassifier, search


def main():
    """Search both ways, and return the best score if both have found the same."""
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(tol=1e-2, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 1e-1], "mlpclassifier__hidden_layer_sizes": [(30,), (60,)]}

    begin = time.perf_counter()
    here = search(pipeline, grid, X, y, cv=3)
    print(f"one call:      {time.perf_counter() - begin:.1f} s, best score {here.best_score_:.4f}")

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        begin = time.perf_counter()
        with joblib.parallel_config(backend="dask"):
            there = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
        print(f"Dask cluster:  {time.perf_counter() - begin:.1f} s, best score {there.best_score_:.4f}")

    same = np.array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    return here.best_score_ if same and here.best_params_ == there.best_params_ else 0.0


if __name__ == "__main__":
    main()
