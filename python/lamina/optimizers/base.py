"""Optimizer: the base class of optimizers."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config
from lamina._common.arguments import Argument, optional
from lamina._common.checks import KindError, flag, integer, listed, number, short, store_arrays, stored_arrays, text
from lamina._common.counts import Count, Steps
from lamina._common.interrupts import interrupts_later
from lamina._common.names import all_unique, redefines, snake_case, unique_name, unknown_argument
from lamina._common.objects import Configurable
from lamina._common.warn import warn
from lamina._data.arrays import converted, real_array
from lamina._engine.specs import DampingSpec, LayerUpdateSpec, LbfgsSpec, TensorUpdateSpec, UpdateSpec
from lamina._engine.variable import AssignableFloat, AssignableInt, Variable
from lamina._engine.variables import assign_together, one_moment, put_back
from lamina.optimizers import schedules
from lamina.optimizers.given import PLAIN_SGD, Blocks, GivenStep, clipped
from lamina.optimizers.schedules import LearningRateSchedule
from lamina.optimizers.slots import Slots

__all__ = ["Optimizer"]

Array = npt.NDArray[Any]


class _Step:
    """The step that `apply` is taking: its learning rate, and the thread that takes it."""

    rate: float | None = None
    thread: int | None = None


class Optimizer(Configurable):
    """Base class of optimizers.

    Parameters
    ----------
    learning_rate : float, >= 0, LearningRateSchedule or callable
        For each batch a schedule is called with the number of batches before it, another callable without arguments;
        `fit` may call them for several batches ahead.
    weight_decay : float, >= 0, optional
        Decoupled: each step first multiplies parameters by ``1 - learning_rate * weight_decay``.
    clipnorm : float, >= 0, optional
        A gradient with a larger norm is scaled down to this norm; 0 means no clipping, as below.
    clipvalue : float, >= 0, optional
        Elements of gradients are clipped to ``[-clipvalue, clipvalue]``.
    global_clipnorm : float, >= 0, optional
        All gradients are scaled together, so that the norm of all their elements is at most this.
    use_ema : bool
        Keep a running average of the parameters, ``a ← ema_momentum a + (1 - ema_momentum) θ`` after each batch; `fit`
        ends by replacing the parameters with it.
    ema_momentum : float in [0, 1]
    ema_overwrite_frequency : int, >= 1, optional
        Also replace the parameters with the average every time after this number of steps.
    loss_scale_factor : float, >= 0, optional
        `apply` divides gradients by this, for custom loops. `fit` does not scale the loss, as there is no float16.
    gradient_accumulation_steps : int, >= 2, optional
        Take one step per this number of batches, with the mean of their gradients.
    name : str, optional

    Attributes
    ----------
    iterations : int
        Steps taken.
    """

    name = Argument(text)
    weight_decay = Argument(optional(number), least=0)
    clipnorm = Argument(optional(number), least=0)
    clipvalue = Argument(optional(number), least=0)
    global_clipnorm = Argument(optional(number), least=0)
    use_ema = Argument(flag)
    ema_momentum = Argument(number, 0, 1)
    ema_overwrite_frequency = Argument(optional(integer))
    loss_scale_factor = Argument(optional(number), least=0)
    gradient_accumulation_steps = Argument(optional(integer), 2)

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **older: Any,
    ) -> None:
        who = type(self).__name__
        if older.pop("decay", None):
            warn(f"{who}: decay is no longer an argument, and ignored; use a schedule.")
        if older:
            raise unknown_argument(who, sorted(older)[0])
        self.name = name if name is not None else unique_name(snake_case(who))
        self._learning_rate: Any = 0.0
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.check_together()
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._without_decay: tuple[list[str], list[str]] = ([], [])  # paths, patterns of names
        self._trained: list[Variable] = []
        self._shared = False  # whether it was said that several models have it
        self.built_for: object = None  # what the last build was for: that of a model's trainer, or None
        self._batches = Count()
        self._step = _Step()
        self._slots = Slots(self.state_names())

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; renew the slots if an argument now needs other state."""
        before = self.__dict__.get(name, self)
        super().__setattr__(name, value)
        if before is self or name.startswith("_") or "_slots" not in self.__dict__:
            return
        try:
            self._renew_slots(name, before)
        except ValueError:
            super().__setattr__(name, before)
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without a step that another thread is taking."""
        return self.__dict__ | {"_step": _Step()}

    def check_together(self) -> None:
        """Raise if the arguments contradict each other."""
        limits = (self.clipnorm, self.clipvalue, self.global_clipnorm)
        if sum(limit is not None for limit in limits) > 1:
            raise ValueError(
                f"{type(self).__name__}: only one of clipnorm, clipvalue and global_clipnorm may be given."
            )

    def _renew_slots(self, name: str, before: Any) -> None:
        """Replace the slots if the arguments now need other state; raise if variables are being trained already."""
        wanted = self.state_names()
        if list(wanted) == self._slots.names:
            return
        if self._trained:
            raise ValueError(
                f"{type(self).__name__}: {name} must stay {short(before)}: the optimizer's state was made for it; got "
                f"{short(getattr(self, name))}."
            )
        self._slots = Slots(wanted)

    @property
    def batches(self) -> int:
        """The number of batches seen so far; it equals the number of steps without gradient accumulation."""
        return self._batches.value

    @batches.setter
    def batches(self, value: int) -> None:
        self._batches.value = integer(type(self).__name__, "batches", value, 0, 2**62)

    def counting(self, run: Steps | None) -> AbstractContextManager[None]:
        """Return a context manager in which `batches` follows a run of the engine; for None it stays as it is."""
        return nullcontext() if run is None else self._batches.during(run)

    @property
    def iterations(self) -> AssignableInt:
        """Steps taken."""
        every = self.gradient_accumulation_steps or 1

        def assign(value: Any) -> None:
            self.batches = integer(type(self).__name__, "iterations", value, 0) * every

        return AssignableInt(self.batches // every, assign)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Exclude variables from weight decay, before the first step. A second call replaces the first one.

        Parameters
        ----------
        var_list : iterable of Variable, optional
        var_names : iterable of str, optional
            Regular expressions that are searched for in the variables' names, such as "kernel" and "bias".
        """
        if self.batches:
            raise ValueError(f"{type(self).__name__}: exclude_from_weight_decay must be called before the first step.")
        who = f"{type(self).__name__}: exclude_from_weight_decay"
        given = [] if var_names is None else listed(who, "var_names", var_names)
        names = [text(who, "one of var_names", name) for name in given]
        for name in names:
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"{who}: var_names must be regular expressions; {name!r} is none: {error}.") from None
        variables = [] if var_list is None else _variables(who, "var_list", var_list)
        self.without_decay = ([variable.path for variable in variables], names)

    @property
    def without_decay(self) -> tuple[list[str], list[str]]:
        """Paths and name patterns of the variables without weight decay."""
        return self._without_decay

    @without_decay.setter
    def without_decay(self, value: Any) -> None:
        paths, patterns = value
        self._without_decay = ([str(path) for path in paths], [str(pattern) for pattern in patterns])

    def decays(self, variable: Variable) -> bool:
        """Return whether weight decay applies to a variable."""
        paths, patterns = self._without_decay
        excluded = variable.path in paths or any(re.search(pattern, variable.name) for pattern in patterns)
        return bool(self.weight_decay) and not excluded

    @property
    def clipping(self) -> tuple[str, float]:
        """The kind of clipping and its limit; a limit of 0 means none, as in Keras."""
        limits = {"norm": self.clipnorm, "global_norm": self.global_clipnorm, "value": self.clipvalue}
        return next(((kind, float(limit)) for kind, limit in limits.items() if limit), ("none", 0.0))

    @property
    def learning_rate(self) -> AssignableFloat:
        """Step size of the next batch. May be assigned at any time, unless it follows a schedule."""
        return AssignableFloat(self._rate_after(self.batches), self._set_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._set_rate(value)

    def _set_rate(self, value: Any) -> None:
        who = type(self).__name__
        if isinstance(value, dict):
            value = schedules.deserialize(value)
        if isinstance(value, LearningRateSchedule) or callable(value):
            self._learning_rate = value
            return
        if isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                f"{who}: learning_rate follows a {type(self._learning_rate).__name__} and cannot be set to a number."
            )
        if isinstance(value, Variable):
            value = value.numpy()
        self._learning_rate = number(who, "learning_rate", value, least=0)

    @property
    def rate(self) -> Any:
        """The learning rate as it was set: a number, a schedule or a function."""
        return self._learning_rate

    def rate_if_constant(self) -> float | None:
        """Return the learning rate, None if it follows a schedule or a function."""
        return self._learning_rate if isinstance(self._learning_rate, float) else None

    def _rate_after(self, batches: int) -> float:
        rate = self._learning_rate
        if isinstance(rate, float):
            return rate
        if self._step.rate is not None:
            return self._step.rate
        found = rate(batches) if isinstance(rate, LearningRateSchedule) else rate()
        if isinstance(found, Variable):
            found = found.numpy()
        return number(type(self).__name__, "learning_rate", found, least=0)

    def slot_names(self) -> tuple[str | None, ...]:
        """Return the names of the arrays of state that the compiled optimizer keeps beside each variable, in order.

        None stands for an array that these arguments do not need.
        """
        return ()

    def initial_state(self, name: str) -> float:
        """Return the initial value of all elements of one kind of state."""
        return 0.0

    def _first_state(self, name: str) -> float | None:
        """Return the initial value of one kind of state, None for the parameters' values.

        The average begins as the parameters, as the training of a layer may begin later than that of others.
        """
        return None if name == "average" else self.initial_state(name)

    def state_names(self) -> tuple[str, ...]:
        """Return the names of all arrays of state beside each variable."""
        names = tuple(name for name in self.slot_names() if name is not None)
        if self.gradient_accumulation_steps:
            names += ("gradient_accumulator",)
        if self.use_ema:
            names += ("average",)
        return names

    # Name of the compiled optimizer; None for one that is written in Python and defines `update`.
    kernel: str | None = None

    @property
    def in_python(self) -> bool:
        """Whether `update` or `apply` is written in Python, also in a subclass of a compiled optimizer."""
        kind = type(self)
        return self.kernel is None or redefines(kind, "update", "kernel") or redefines(kind, "apply", "kernel")

    # Names of the compiled optimizer's settings that are attributes; besides these it takes the weight decay.
    setting_names: tuple[str, ...] = ()

    def settings(self, decay: bool = True) -> dict[str, float]:
        """Return the compiled optimizer's settings by name, without the rate; weight decay is 0 without `decay`."""
        found = {name: float(getattr(self, name)) for name in self.setting_names}
        return found | {"weight_decay": (self.weight_decay or 0.0) if decay else 0.0}

    def rates(self, steps: int) -> list[float]:
        """Return the learning rates of the next batches; the last one applies to all later batches too."""
        rate = self._learning_rate
        if isinstance(rate, float):
            return [rate]
        begun, found = self.batches, []
        for step in range(begun, begun + steps):
            with self._batches.assumed(step):  # a user's function may read `iterations`
                found.append(self._rate_after(step))
        return found

    def _state_block(self, name: str, block: _core.Parameters) -> _core.Parameters:
        return self._slots.block(name, block, self._first_state(name))

    def slot_blocks(self, block: _core.Parameters) -> list[_core.Parameters | None]:
        """Return the compiled optimizer's state that belongs to a block of parameters."""
        return [None if name is None else self._state_block(name, block) for name in self.slot_names()]

    def slot(self, name: str, variable: Variable) -> Variable:
        """Return the state that belongs to a variable."""
        return self._slots.of(name, variable, self._first_state(name))

    # Kinds of state that follow each other for each variable in `variables`; others come kind by kind. As in Keras,
    # whose files hold the state in this order.
    together: tuple[str, ...] = ()

    def _states(self, variables: Sequence[Variable]) -> list[Variable]:
        """Return all state beside variables, in the order of `variables`."""
        names = self.state_names()
        groups: list[tuple[str, ...]] = [(name,) for name in ("average", "gradient_accumulator") if name in names]
        groups += [self.together] if self.together else []
        groups += [(name,) for name in names if name not in chain(*groups)]
        return [self.slot(name, variable) for group in groups for variable in variables for name in group]

    def derived_values(self) -> dict[str, float]:
        """Return numbers that Keras keeps as variables and that follow from the steps taken."""
        return {}

    def slot_arrays(self, variables: Sequence[Variable]) -> dict[str, Array]:
        """Return the state of variables as ``"name/variable path"`` → array; paths are made different by numbers."""
        return {
            f"{name}/{key}": self.slot(name, v).numpy() for name in self.state_names() for key, v in _by_path(variables)
        }

    def load_slot_arrays(self, arrays: dict[str, Array], variables: Sequence[Variable]) -> None:
        """Set the state of variables from arrays that `slot_arrays` returned."""
        for name in self.state_names():
            for key, variable in _by_path(variables):
                own, array = self.slot(name, variable), arrays[f"{name}/{key}"]
                if array.shape != own.shape or str(array.dtype) != own.dtype:
                    raise ValueError(f"optimizer state {own.path!r} must be {own.dtype} of shape {own.shape}")
                own.assign(array)

    @property
    def variables(self) -> list[Variable]:
        """Batches seen, the learning rate if it is a number, the state of the trained variables, in Keras's order."""
        return self.variables_for(self._trained)

    def variables_for(self, trained: Sequence[Variable]) -> list[Variable]:
        """Return what `variables` is where these are the trained variables."""
        own = [self._as_variable("iteration", np.array(self.batches, np.int32), self._set_batches)]
        if isinstance(self._learning_rate, float):
            rate = np.array(self._learning_rate, config.floatx())
            own.append(self._as_variable("learning_rate", rate, self._set_rate))
        derived = [
            self._as_variable(name, np.array(value, config.floatx()), lambda value: None)
            for name, value in self.derived_values().items()
        ]
        return own + self._states(trained) + derived

    @property
    def trained(self) -> list[Variable]:
        """The variables that it trains, those of the last `build`."""
        return list(self._trained)

    def _as_variable(self, name: str, value: Array, take: Callable[[Any], None]) -> Variable:
        """Return a variable for a value of the optimizer; `take` is called with a value that is assigned to it."""
        variable = Variable.holding(value, name, name, False)
        variable.on_assign = lambda: take(variable.value.item())
        return variable

    def _set_batches(self, value: int) -> None:
        self.batches = integer(type(self).__name__, "iteration", value, 0)

    def build(self, variables: Sequence[Variable]) -> None:
        """Set the variables to train; `fit` calls this.

        Variables of another model than before begin without state, but the steps taken so far count for the learning
        rate and for means, of which a warning is given.
        """
        variables = _variables(type(self).__name__, "variables", variables)
        known = {id(variable) for variable in self._trained}
        if self.batches and known and variables and known.isdisjoint(map(id, variables)) and not self._shared:
            self._shared = True
            warn(
                f"{type(self).__name__}: the optimizer has taken {self.iterations} steps on the variables of another "
                "model, which count for its learning rate and its means. from_config(optimizer.get_config()) makes a "
                "new one."
            )
        self._trained = list(variables)
        self.built_for = None

    @property
    def built(self) -> bool:
        """Whether the variables to train are set."""
        return bool(self._trained)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set batches seen, learning rate and state, in the order of `variables`; call `build` before.

        Raises
        ------
        ValueError
            Number or shapes differ, or `build` was not called. Nothing is written then.
        """
        if not self._trained:
            raise ValueError(
                f"{type(self).__name__}: set_weights: the optimizer must be built; call build with the variables."
            )
        self.restore(weights)

    def restore(self, weights: Sequence[Any]) -> None:
        """Set what `set_weights` sets, also where no variable is trained."""
        who = type(self).__name__
        own, given = self.variables, listed(who, "weights", weights)
        if len(given) != len(own):
            raise ValueError(f"{who}: set_weights needs {len(own)} arrays; got {len(given)}.")
        arrays = [real_array(who, variable.path, weight) for variable, weight in zip(own, given, strict=True)]
        for variable, array in zip(own, arrays, strict=True):
            if array.shape != variable.shape:
                raise ValueError(f"{who}: {variable.path!r} must have shape {variable.shape}; got {array.shape}.")
            if variable.path == "iteration":
                integer(who, "iteration", array.item(), 0, 2**31 - 1)
            elif variable.path == "learning_rate":
                number(who, "learning_rate", array.item(), least=0)
        assign_together(own, arrays)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Put `variables` into a mapping, as ``"0"``, ``"1"``, … in their order."""
        store_arrays(type(self).__name__, store, [variable.numpy() for variable in self.variables])

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Set `variables` from a mapping that `save_own_variables` filled."""
        self.set_weights(stored_arrays(type(self).__name__, store, len(self.variables)))

    # Whether a batch of `fit` must contain all rows.
    whole_batches = False

    # Whether the last step found nothing to change: `fit` ends then.
    converged = False

    def running(self, engine: _core.Trainer) -> AbstractContextManager[None]:
        """Return a context manager in which the engine's trainer takes steps."""
        return nullcontext()

    def check_problem(self, loss: Any, layers: Sequence[Any], variables: Sequence[Variable]) -> None:
        """Raise if this optimizer cannot train these variables with this loss."""

    def workspace_bytes(self, variables: Sequence[Variable]) -> int:
        """Return the bytes of memory that a step needs beside gradients and state."""
        return 0

    def numbers(self) -> dict[str, float]:
        """Return the numbers, besides the learning rate, that training changes."""
        return {}

    def take_numbers(self, numbers: dict[str, float]) -> None:
        """Set what `numbers` returned."""

    def check_trainable(self) -> None:
        """Raise if a subclass defines Keras's `update_step` or overrides `scale_loss`: `fit` calls neither."""
        if hasattr(type(self), "update_step"):
            raise KindError(
                f"{type(self).__name__}: an optimizer written in Python defines update(variable, gradient); its "
                "update_step would not be called."
            )
        if redefines(type(self), "scale_loss", "kernel"):
            raise KindError(
                f"{type(self).__name__}: scale_loss must not be overridden: fit does not call it, for there is no "
                "float16. Scale with compile(loss_weights=)."
            )

    def spec_key(self) -> list[Any]:
        """Return the values on which `update_spec` depends, besides the blocks."""
        return [
            self, self.settings(), self._without_decay, self.clipping, self.use_ema, self.ema_momentum,
            self.ema_overwrite_frequency, self.gradient_accumulation_steps, self.method(),
        ]  # fmt: skip

    def method(self) -> LbfgsSpec | DampingSpec | None:
        """Return the specification of a method that evaluates the loss at several places; None for a formula."""
        return None

    def update_spec(
        self, blocks: Sequence[tuple[_core.Parameters, Sequence[Variable | None]] | None], penalties: bool = True
    ) -> UpdateSpec:
        """Return the specification of steps that the engine takes.

        Parameters
        ----------
        blocks : sequence
            For each op its block and, for each tensor of the block, the variable to train or None; None for an op
            without parameters.
        penalties : bool
            Whether the engine adds the gradients of the regularizers' penalties.
        """
        clip, limit = self.clipping
        kernel, settings = self.kernel, [self.settings(), self.settings(decay=False)]
        if self.in_python or kernel is None:  # `update` takes the step; the engine's formula is not used
            kernel, settings = "sgd", [PLAIN_SGD] * 2
        return UpdateSpec(
            optimizer=kernel,
            settings=settings,
            clip=clip,
            limit=limit,
            accumulate=self.gradient_accumulation_steps or 1,
            average_momentum=self.ema_momentum if self.use_ema else None,
            overwrite_every=self.ema_overwrite_frequency or 0,
            layers=[LayerUpdateSpec() if found is None else self._layer_spec(*found, penalties) for found in blocks],
            method=self.method(),
        )

    def _layer_spec(
        self, block: _core.Parameters, trained: Sequence[Variable | None], penalties: bool
    ) -> LayerUpdateSpec:
        return LayerUpdateSpec(
            slots=[None] if self.in_python else self.slot_blocks(block),  # "sgd" has one
            accumulator=self._state_block("gradient_accumulator", block) if self.gradient_accumulation_steps else None,
            average=self._state_block("average", block) if self.use_ema else None,
            tensors=[self._tensor_spec(variable, penalties) for variable in trained],
        )

    def _tensor_spec(self, variable: Variable | None, penalties: bool) -> TensorUpdateSpec:
        if variable is None:
            return TensorUpdateSpec(group=-1)
        regularizer = variable.regularizer if penalties else None
        l1, l2 = (None if regularizer is None else regularizer.engine_factors()) or (0.0, 0.0)
        per_row = regularizer is not None and regularizer.per_row
        projection = None if variable.constraint is None else variable.constraint.engine_projection(variable.ndim)
        return TensorUpdateSpec(self._group(variable), l1, l2, per_row, projection)

    def _group(self, variable: Variable) -> int:
        """Return which of the two settings applies to a variable: with weight decay, or without."""
        return 0 if self.decays(variable) or not self.weight_decay else 1

    def update(self, variable: Variable, gradient: Array) -> None:
        """Take one step on one variable; `iterations` counts the steps before, `learning_rate` is that of the step."""
        if self.kernel is None:
            raise NotImplementedError(f"{type(self).__name__}: an optimizer defines update.")
        (variable,) = _variables(type(self).__name__, "variable", [variable])
        gradient = real_array(type(self).__name__, "gradient", gradient)
        if gradient.shape != variable.shape:
            raise ValueError(f"{type(self).__name__}: gradient must have shape {variable.shape}; got {gradient.shape}.")
        ready = np.ascontiguousarray(converted(gradient, variable.dtype))
        GivenStep([variable], [ready], self._bare_spec).take(self.iterations, self.rates(1)[0], None)

    def _bare_spec(self, blocks: Blocks) -> UpdateSpec:
        """Return the specification of the update formula alone, without clipping, accumulation, average, constraint."""
        assert self.kernel is not None
        layers = [
            LayerUpdateSpec(
                self.slot_blocks(block),
                tensors=[TensorUpdateSpec(-1 if variable is None else self._group(variable)) for variable in trained],
            )
            for block, trained in blocks
        ]
        return UpdateSpec(self.kernel, [self.settings(), self.settings(decay=False)], layers=layers)

    def apply(self, gradients: Sequence[Any], variables: Sequence[Variable] | None = None) -> None:
        """Take one step on all variables: accumulate, clip, update, average, constrain.

        Parameters
        ----------
        gradients : sequence of array_like or None
            None for a variable without a gradient: it stays unchanged, and a warning names it.
        variables : sequence of Variable, optional
            In the same order; those of `build` if omitted.

        Raises
        ------
        ValueError
            Numbers or shapes differ, or there is no gradient at all.
        """
        who = type(self).__name__
        gradients = listed(who, "gradients", gradients)
        variables = self._trained if variables is None else _variables(who, "variables", variables)
        if len(gradients) != len(variables):
            raise ValueError(f"{who}: there must be {len(variables)} gradients, one a variable; got {len(gradients)}.")
        if not variables:
            return
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        if not pairs:
            raise ValueError(f"{who}: there must be a gradient for at least one variable; got None for all.")
        if len(pairs) < len(variables):
            without = [v.path for g, v in zip(gradients, variables, strict=True) if g is None]
            warn(f"{who}: {', '.join(without)} have no gradient and stay as they are.")
        if len({id(variable) for variable in variables}) < len(variables):
            raise ValueError(f"{who}: variables must be different; add the gradients of one that is there twice.")
        if self._step.thread == threading.get_ident():
            raise RuntimeError(f"{who}: apply must not be called from inside a step that the optimizer takes.")
        ready = [self._read_gradient(who, gradient, variable) for gradient, variable in pairs]
        if not self._trained:
            self.build(variables)
        known = {id(variable) for variable in self._trained}
        for variable in variables:
            if id(variable) not in known:
                raise ValueError(f"{who}: {variable.path} must be one of the variables that build was called with.")
        variables = [variable for _, variable in pairs]
        step = GivenStep(variables, ready, lambda blocks: self.update_spec(blocks, penalties=False))
        # User code may fail between two variables: keep the values to restore them.
        may_fail = self.in_python or any(variable.host_constraint is not None for variable in variables)
        kept = [(v, v.numpy()) for v in (*variables, *self._states(variables))] if may_fail else []
        rate = self.rates(1)[0]
        # A step is atomic: it is undone if it fails, and other threads see the variables before or after it.
        with one_moment(variables, write=True), interrupts_later():
            try:
                self._step.rate, self._step.thread = rate, threading.get_ident()
                step.take(self.batches, rate, self.update if self.in_python else None)
                self._batches.add(1)
            except BaseException:
                put_back(kept)
                raise
            finally:
                self._step.rate = self._step.thread = None

    def _read_gradient(self, who: str, gradient: Any, variable: Variable) -> Array:
        """Return a copy of a gradient in its variable's dtype, divided by the loss scale."""
        array = real_array(who, f"the gradient of {variable.path!r}", gradient)
        if array.shape != variable.shape:
            raise ValueError(
                f"{who}: the gradient of {variable.path!r} must have shape {variable.shape}; got {array.shape}."
            )
        copy = np.array(converted(array, variable.dtype), order="C")
        if self.loss_scale_factor:
            _core.scale_and_clip(copy, 1 / self.loss_scale_factor, math.inf)
        return copy

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss times `loss_scale_factor`; `apply` takes the gradients of this product."""
        real_array(type(self).__name__, "loss", loss)
        return loss * self.loss_scale_factor if self.loss_scale_factor else loss

    def scale_gradients(self, gradients: Iterable[Array]) -> None:
        """Multiply gradients in place by `loss_scale_factor`: they become those that `apply` expects."""
        if self.loss_scale_factor:
            for gradient in gradients:
                _core.scale_and_clip(gradient, self.loss_scale_factor, math.inf)

    def _clip_gradients(self, gradients: Sequence[Any]) -> list[Array | None]:
        """Return copies of gradients, clipped as in a step; `apply` does it by itself. Keras's name."""
        who = type(self).__name__
        return clipped(who, listed(who, "gradients", gradients), *self.clipping)

    def finalize_variable_values(self, variables: Sequence[Variable]) -> None:
        """Replace the variables with their running averages if `use_ema` is set."""
        if self.use_ema and self.batches:
            with one_moment(variables, write=True):
                for variable in variables:
                    variable.assign(self.slot("average", variable).value)

    def apply_gradients(self, gradients_and_variables: Iterable[tuple[Array, Variable]]) -> None:
        """Take one step, given (gradient, variable) pairs."""
        who, name = type(self).__name__, "gradients_and_variables"
        pairs = listed(who, name, gradients_and_variables)
        for pair in pairs:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise KindError(f"{who}: {name} must be pairs of a gradient and a variable; got {short(pair)}.")
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same optimizer, without its state."""
        return {
            "name": self.name,
            "learning_rate": self._serialized_rate(),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    def _serialized_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return schedules.serialize(rate)
        return self._rate_after(self.batches)

    def __repr__(self) -> str:
        rate = self._learning_rate
        shown = f"{rate:g}" if isinstance(rate, float) else getattr(rate, "__name__", type(rate).__name__)
        return f"<{type(self).__name__} learning_rate={shown}, iterations={self.iterations}>"


def fuzz_factor(who: str, name: str, value: Any) -> float:
    """Return a small number that keeps divisions finite, or raise; for None, as in older programs, the default one."""
    return config.epsilon() if value is None else number(who, name, value, least=0)


def _by_path(variables: Sequence[Variable]) -> list[tuple[str, Variable]]:
    """Return variables of floats with their paths; those that are the same are made different by numbers."""
    paths = all_unique(variable.path for variable in variables)
    return [(path, variable) for path, variable in zip(paths, variables, strict=True) if variable.is_float]


def _variables(who: str, name: str, value: Any) -> list[Variable]:
    """Return a list of variables, or raise."""
    found = listed(who, name, value)
    for variable in found:
        if not isinstance(variable, Variable):
            raise KindError(f"{who}: {name} must be variables; got {type(variable).__name__}.")
    return found
