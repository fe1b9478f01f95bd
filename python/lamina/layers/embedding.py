"""Embedding: looks up vectors by their indices."""

from __future__ import annotations

from typing import Any

from lamina import initializers
from lamina._common.checks import flag, integer, only_none
from lamina._common.objects import serialize
from lamina._data.arrays import real_array
from lamina._data.tensors import tensor
from lamina._engine.ops import EmbeddingOp, Op
from lamina._engine.variable import Variable
from lamina.layers.base import Layer, warn_of_older_name
from lamina.layers.settings import Rule, Setting

__all__ = ["Embedding"]


class Embedding(Layer):
    """Looks up rows of a table: indices of shape ``(n, length)`` become vectors, ``(n, length, output_dim)``.

    It must be a model's first layer. The gradient of a row of the table is the sum over all look-ups of the row.
    Followed by `Flatten` and `Dense` it makes a neural language model (Bengio et al. 2003).

    Parameters
    ----------
    input_dim : int, >= 1
        Number of rows of the table; indices must be in ``[0, input_dim)``.
    output_dim : int, >= 1
        Length of a vector.
    embeddings_initializer : str, Initializer or dict
    embeddings_regularizer : str, Regularizer or dict, optional
    embeddings_constraint : str, Constraint or dict, optional
    mask_zero : bool
        Index 0 masks its step: a `GlobalAveragePooling1D` leaves it out. Nothing else reads masks, and training raises
        if in Keras the mask would reach the loss, a `BatchNormalization` or a `Softmax`. A `Flatten` or a `Reshape`
        drops the mask.
    weights : ndarray, shape (input_dim, output_dim), or a list of one, optional
        The table's initial values.
    input_length : int, optional
        Accepted with a warning, as in Keras: the input tells its length.
    lora_rank, lora_alpha, quantization_config : None
        Tables are neither quantized nor approximated; another value raises.
    input_shape, name, dtype, trainable
        As in `Layer`.

    Attributes
    ----------
    embeddings : Variable, shape (input_dim, output_dim)

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; from a model's methods: an index is out of range.

    Examples
    --------
    >>> layer = Embedding(3, 2, weights=[[0, 0], [1, 2], [3, 4]])
    >>> layer([[2, 1]]).tolist()
    [[[3.0, 4.0], [1.0, 2.0]]]
    """

    _dense_block = True

    input_dim = Setting(integer, fixed=True)
    output_dim = Setting(integer, fixed=True)
    embeddings_initializer = Rule()
    embeddings_regularizer = Rule()
    embeddings_constraint = Rule()
    mask_zero = Setting(flag)

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: None = None,
        lora_alpha: None = None,
        quantization_config: None = None,
        **layer_arguments: Any,
    ) -> None:
        only_none("Embedding", lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        if layer_arguments.pop("input_length", None) is not None:
            warn_of_older_name("Embedding: input_length is no longer needed: the input tells its length.")
        super().__init__(**layer_arguments)
        who = f"Embedding {self.name!r}"
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = embeddings_regularizer
        self.embeddings_constraint = embeddings_constraint
        self.mask_zero = mask_zero
        self._embeddings: Variable | None = None
        self._initial: Any = None
        if weights is not None:
            found = real_array(who, "weights", weights)
            self._initial = found[0] if found.ndim == 3 and len(found) == 1 else found
            if self._initial.shape != (self.input_dim, self.output_dim):
                raise ValueError(
                    f"{who}: weights must have shape ({self.input_dim}, {self.output_dim}); got {self._initial.shape}."
                )
        if self._initial is not None:
            self.build()

    @property
    def vocabulary(self) -> int:  # type: ignore[override]  # of each layer, instead of all
        """Number of rows of the table."""
        return self.input_dim

    @property
    def embeddings(self) -> Variable:
        """The table, shape (input_dim, output_dim); for built layers."""
        self._require_variables()
        assert self._embeddings is not None
        return self._embeddings

    open_last = True

    @property
    def last_axis_alone(self) -> bool:
        """Whether the parameters' shapes depend on the last axis of the input alone."""
        return True

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        """Make the table; the shape of the input need not be known."""
        if self._embeddings is not None and self.weights:
            raise ValueError(f"Embedding {self.name!r}: build must be called once; the table is there.")
        if input_shape is not None and len(input_shape) > 1:  # one index a row says nothing of the rows
            self.mark_built(input_shape)
        self.built = True
        shape = (self.input_dim, self.output_dim)
        self._embeddings = self.add_weight(
            shape, self.embeddings_initializer, regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint, name="embeddings",
        )  # fmt: skip
        if self._initial is not None:
            self._embeddings.assign(self._initial)
            self._initial = None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape with `output_dim` after it."""
        return (*self._input_shape(input_shape), self.output_dim)

    @property
    def supports_masking(self) -> bool:  # type: ignore[override]  # of each layer, instead of all
        """Whether there is a mask: whether `mask_zero` makes one."""
        return self.mask_zero

    def passes_mask(self, masked: bool) -> bool:
        """Return whether there is a mask: whether `mask_zero` makes one."""
        return self.mask_zero

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return which indices are not 0, None without `mask_zero`; `mask` is accepted as in Keras."""
        return None if not self.mask_zero else tensor(real_array(self._who(), "inputs", inputs) != 0)

    def ops(self) -> list[Op]:
        """Return the look-up."""
        return [EmbeddingOp(self, self.input_dim, self.output_dim)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": serialize(self.embeddings_regularizer),
            "embeddings_constraint": serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "quantization_config": None,
        }
