from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]

__version__: str

def activation_backward(name: str, x_or_y: object, dy: object, alpha: object, out: object) -> _Array: ...
def activation_forward(name: str, x: object, alpha: object, out: object) -> _Array: ...
def activation_table() -> dict[str, Any]: ...
def available_isas() -> list[str]: ...
def binary_matches(targets: object, scores: object, threshold: float, out: object) -> _Array: ...
def categorical_matches(targets: object, scores: object, out: object) -> _Array: ...
def compiler() -> str: ...
def dense_backward(
    x: object,
    w: object,
    dy: object,
    y: object,
    pre: object,
    activation: str,
    alpha: object,
    dx: object,
    dw: object,
    db: object,
    need_dx: bool,
) -> tuple[Any, _Array, _Array]: ...
def dense_forward(
    x: object, w: object, b: object, activation: str, alpha: object, out: object, pre: object
) -> _Array: ...
def evaluate_loss(
    name: str,
    predictions: object,
    targets: object,
    sample_weight: object,
    parameter: object,
    loss: object,
    gradient: object,
    need_gradient: bool,
    gradient_scale: float,
) -> tuple[_Array, Any]: ...
def first_label_outside(labels: _Array, classes: int) -> int: ...
def isa() -> str: ...
def loss_table() -> dict[str, Any]: ...
def multiply_add_peak(iterations: int) -> float: ...
def num_threads() -> int: ...
def permutation(key: int, counter: int, size: int) -> npt.NDArray[np.int64]: ...
def random_fill(distribution: str, key: int, counter: int, a: float, b: float, out: object) -> None: ...
def scratch_bytes() -> int: ...
def select_isa(name: str) -> None: ...
def set_num_threads(threads: int) -> None: ...
def sgd_update(
    parameter: object,
    gradient: object,
    velocity: object,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def sparse_matches(labels: object, scores: object, out: object) -> _Array: ...
def sum(values: object, weights: object) -> float: ...
def usable_cpus() -> int: ...
def vector_bytes() -> int: ...

class Parameters:
    def __init__(self, dtype: str, dense: bool, shapes: list[tuple[int, int]]) -> None: ...
    def read(self, tensor: int, out: _Array) -> None: ...
    def write(self, tensor: int, values: _Array) -> None: ...
    def like(self) -> Parameters: ...
    @property
    def version(self) -> int: ...

class Network:
    def __init__(
        self, dtype: str, width: int, factor: int, layers: list[tuple[Any, ...]], trained: list[bool]
    ) -> None: ...
    def predict(self, x: _Array, out: _Array | None) -> _Array: ...
    def predict_plain(self, x: object, out: object) -> _Array | None: ...

class Trainer:
    def __init__(
        self,
        network: Network,
        loss: tuple[Any, float, bool, str, float | None],
        metrics: list[tuple[Any, ...]],
        labels: list[bool],
        optimizer: tuple[str, list[list[float]]],
        layers: list[tuple[list[Any], list[int]]],
    ) -> None: ...
    def train(
        self,
        x: _Array,
        targets: list[_Array],
        sample_weight: _Array | None,
        order: _Array | None,
        first: int,
        rows: int,
        size: int,
        rates: list[float],
        iteration: int,
        totals: _Array,
        progress: _Array,
    ) -> None: ...
    def test(
        self,
        x: _Array,
        targets: list[_Array],
        sample_weight: _Array | None,
        first: int,
        rows: int,
        size: int,
        totals: _Array,
        progress: _Array,
    ) -> None: ...
    def gradients(
        self, x: _Array, targets: list[_Array], sample_weight: _Array | None, totals: _Array
    ) -> list[Parameters | None]: ...
    def force_schedule(self, schedule: str, threads: int, as_long: bool = False) -> None: ...
    def plan(self, rows: int) -> tuple[str, int]: ...
    @property
    def workspace_bytes(self) -> int: ...

def apply_gradient(
    parameters: Parameters,
    tensor: int,
    gradient: _Array,
    slots: list[Parameters],
    optimizer: str,
    settings: list[float],
    learning_rate: float,
    step: int,
) -> None: ...
def adam_update(
    parameter: object,
    gradient: object,
    m: object,
    v: object,
    v_max: object,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None: ...
def engine_bytes() -> int: ...
