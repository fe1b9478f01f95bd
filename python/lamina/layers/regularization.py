"""Layers that act only in training: noise, and penalties on their input."""

from __future__ import annotations

from typing import Any

from lamina import random, regularizers
from lamina._common.checks import integer, number, short
from lamina._engine.ops import NoiseOp, Op
from lamina.layers.base import Layer
from lamina.layers.settings import Setting
from lamina.layers.shapes import with_steps

__all__ = ["ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D"]


def check_noise_shape(who: str, noise_shape: Any) -> None:
    """Raise unless each element is drawn alone."""
    if noise_shape is not None:
        raise ValueError(
            f"{who}: noise_shape must be None: every element is drawn alone; got {short(noise_shape)}. "
            "SpatialDropout1D drops features of all steps."
        )


class _Noise(Layer):
    """Noise of one kind. The noise of an element depends only on the seed and on its batch, row and column."""

    any_rank = True
    supports_masking = True
    differs_in_training = True
    identity_in_predictions = True

    kind: str
    argument: str
    lines_alike = False

    def __init__(self, amount: float, seed: Any, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        setattr(self, self.argument, amount)
        self.seed = seed

    @property
    def seed(self) -> int | None:
        """The seed that was given, None if it was drawn; may be assigned."""
        return self._seed

    @seed.setter
    def seed(self, value: Any) -> None:
        if isinstance(value, random.SeedGenerator):
            value = value.next_seed()
        who = self._who()
        self._seed = None if value is None else integer(who, "seed", value, least=-(2**63))
        own = random.global_seeds.next_seed() if self._seed is None else self._seed
        self._key = random.stream_key(own, "noise")
        self.note_change()

    @property
    def _amount(self) -> float:
        amount: float = getattr(self, self.argument)
        return amount

    def ops(self) -> list[Op]:
        """Return the noise; none if it is always off."""
        if not self._amount or self.fixed_training is False:
            return []
        return [NoiseOp(self.kind, self._amount, self._key, self.fixed_training is True, self.lines_alike)]

    def own_state(self) -> dict[str, int]:
        """Return the key of the noise, and how often the layer was called with noise outside a model."""
        return {"key": self._key, "draws": self._alone.draws}

    def take_own_state(self, state: dict[str, int]) -> None:
        """Continue the noise of the layer that returned `state`."""
        if state:
            self._key, self._alone.draws = state["key"], state["draws"]
            self.note_change()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {self.argument: self._amount, "seed": self.seed}


class Dropout(_Noise):
    """Sets each element to 0 with probability `rate`, else divides it by ``1 - rate`` (Srivastava et al. 2014).

    Outside of training it changes nothing.

    Parameters
    ----------
    rate : float in [0, 1]
    noise_shape : None
        Every element is drawn independently; another value raises.
    seed : int, optional
        Drawn from the global seeds if omitted.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dropout(0.5, seed=1)
    >>> layer(np.ones((1, 4)))
    Tensor([[1., 1., 1., 1.]], dtype=float32)
    >>> sorted(set(layer(np.ones((100, 4)), training=True).ravel().tolist()))
    [0.0, 2.0]
    """

    kind, argument = "dropout", "rate"

    rate = Setting(number, 0, 1)

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None, **layer_arguments: Any) -> None:
        check_noise_shape("Dropout", noise_shape)
        super().__init__(rate, seed, **layer_arguments)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"noise_shape": None}


class SpatialDropout1D(_Noise):
    """Dropout of whole features: those that are dropped are 0 at all steps of a row (Tompson et al. 2015).

    Input has shape ``(n, steps, features)``. Outside of training the layer changes nothing.

    Parameters
    ----------
    rate : float in [0, 1]
    seed : int, optional
        Drawn from the global seeds if omitted.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> y = SpatialDropout1D(0.5, seed=1)(np.ones((20, 3, 4)), training=True)
    >>> bool((y == y[:, :1]).all())
    True
    """

    any_rank = False
    kind, argument = "dropout", "rate"
    lines_alike = True

    rate = Setting(number, 0, 1)

    def __init__(self, rate: float, seed: int | None = None, **layer_arguments: Any) -> None:
        super().__init__(rate, seed, **layer_arguments)

    @property
    def last_axis_alone(self) -> bool:
        """Whether the number of steps does not matter: True."""
        return True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make sure that rows have steps and features."""
        self.compute_output_shape(input_shape)
        self.mark_built(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape, which must have three sizes."""
        return with_steps(self._who(), self._input_shape(input_shape))


class AlphaDropout(_Noise):
    """Dropout for networks of SELU units: dropped elements take the value that SELU has far below zero.

    All are then scaled and shifted so that an input of mean 0 and variance 1 keeps both (Klambauer et al. 2017).
    Outside of training the layer changes nothing.

    Parameters
    ----------
    rate : float in [0, 1)
    noise_shape : None
        Every element is drawn independently; another value raises.
    seed : int, optional
        Drawn from the global seeds if omitted.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((1000, 100))
    >>> y = AlphaDropout(0.3, seed=1)(x, training=True)
    >>> round(abs(float(y.mean())), 2), round(float(y.std()), 1)
    (0.0, 1.0)
    """

    kind, argument = "alpha_dropout", "rate"

    rate = Setting(number, 0, below=1)

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None, **layer_arguments: Any) -> None:
        check_noise_shape("AlphaDropout", noise_shape)
        super().__init__(rate, seed, **layer_arguments)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"noise_shape": None}


class GaussianNoise(_Noise):
    """While training a normal deviate times `stddev` is added to each element.

    Parameters
    ----------
    stddev : float in [0, 1]
    seed : int, optional
    **layer_arguments
        As in `Layer`.
    """

    kind, argument = "gaussian", "stddev"

    stddev = Setting(number, 0, 1)

    def __init__(self, stddev: float, seed: int | None = None, **layer_arguments: Any) -> None:
        super().__init__(stddev, seed, **layer_arguments)


class GaussianDropout(_Noise):
    """While training each element is multiplied by ``1 + sqrt(rate / (1 - rate))`` times a normal deviate.

    Parameters
    ----------
    rate : float in [0, 1)
    seed : int, optional
    **layer_arguments
        As in `Layer`.
    """

    kind, argument = "gaussian_dropout", "rate"

    rate = Setting(number, 0, below=1)

    def __init__(self, rate: float, seed: int | None = None, **layer_arguments: Any) -> None:
        super().__init__(rate, seed, **layer_arguments)


class ActivityRegularization(Layer):
    """Adds ``l1 Σ|x| + l2 Σ x²``, divided by the number of rows in the batch, to the loss; returns its input.

    Parameters
    ----------
    l1, l2 : float, >= 0
    **layer_arguments
        As in `Layer`.
    """

    any_rank = True
    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **layer_arguments: Any) -> None:
        if layer_arguments.pop("activity_regularizer", None) is not None:
            raise TypeError("ActivityRegularization: its activity regularizer is made of l1 and l2.")
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **layer_arguments)

    @property
    def _penalty(self) -> regularizers.L1L2:
        penalty: Any = self.activity_regularizer
        return penalty or regularizers.L1L2()

    @property
    def l1(self) -> float:
        """Factor of the absolute values."""
        return self._penalty.l1

    @property
    def l2(self) -> float:
        """Factor of the squares."""
        return self._penalty.l2

    def ops(self) -> list[Op]:
        """Return no ops: `all_ops` adds the penalty, as for every layer with an activity regularizer."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = super().get_config() | {"l1": self.l1, "l2": self.l2}
        own.pop("activity_regularizer")
        return own
