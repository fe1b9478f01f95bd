"""Trainer: the methods that compile, train, evaluate and run a model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from lamina._common.checks import NotBuiltError, choice, flag, integer, mapping
from lamina._common.names import Former, with_present_names
from lamina._common.objects import restored
from lamina._common.warn import warn
from lamina._data.tensors import Tensor, tensor
from lamina.callbacks import Callback, History
from lamina.layers.mode import mode_of_caller
from lamina.metrics import Metric
from lamina.models import evaluation, prediction, training
from lamina.models.compiled import Compiled
from lamina.models.differentiable import Differentiable
from lamina.optimizers import Optimizer

__all__ = ["Trainer"]

Array = npt.NDArray[Any]


class Trainer(Differentiable):
    """A model that can be trained and run: Keras's methods. Their work is done by functions in files of their own."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(kind, name)
        # Arguments of `compile` without effect, for code that reads them.
        self.run_eagerly: bool = False
        self.jit_compile: Any = "auto"
        self.steps_per_execution: int = 1

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
        run_eagerly: bool = False,
        steps_per_execution: Any = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Set optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str, Optimizer or dict
        loss : str, Loss or dict, optional
            Without it, what layers add to the loss (`Layer.add_loss`) and penalties are minimized.
        loss_weights : float, >= 0, or a list of one, optional
            Factor of the loss; penalties are not scaled.
        metrics : list of str or Metric, optional
            ``"accuracy"`` stands for the kind of accuracy that fits output and targets.
        weighted_metrics : list of str or Metric, optional
            The same, taking sample weights into account.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted for Keras's sake; they have no effect.

        Raises
        ------
        TypeError, ValueError
            A name is unknown; the message suggests the nearest. The model is unchanged.
        """
        who = self.stack.who("compile")
        run_eagerly = flag(who, "run_eagerly", run_eagerly)
        choice(who, "jit_compile", jit_compile, ("auto", True, False, None))
        if not (isinstance(steps_per_execution, str) and steps_per_execution == "auto"):
            integer(who, "steps_per_execution", steps_per_execution)
        flag(who, "auto_scale_loss", auto_scale_loss)
        compiled = Compiled(who, optimizer, loss, loss_weights, metrics, weighted_metrics)
        executor, in_use = self.executor, self.executor.in_use(who)
        with executor.fitting.if_free(in_use), executor.running.if_free(in_use), executor.once.taken():
            executor.compile(compiled)
            self.run_eagerly, self.jit_compile = run_eagerly, jit_compile
            self.steps_per_execution = steps_per_execution
        if compiled.loss.from_logits and self._ends_in_fused_activation():
            warn(
                f"{who}: the loss has from_logits=True, but the model ends in {compiled.loss.logits_activation}; the "
                "loss is computed from what comes before."
            )

    def _ends_in_fused_activation(self) -> bool:
        """Return whether the last activation is known, built or not, and the loss takes what comes before it."""
        try:
            return bool(self.stack.parts) and self.executor.fuses_head()
        except NotBuiltError:
            return False

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self.executor.compiled is not None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; for compiled models."""
        return self.executor.require_compiled("optimizer").optimizer

    @property
    def loss(self) -> Any:
        """The loss as `compile` got it; None before. May be assigned before `compile`, which replaces it."""
        compiled = self.executor.compiled
        return vars(self).get("_loss_before_compile") if compiled is None else compiled.given_loss

    @loss.setter
    def loss(self, value: Any) -> None:
        if self.compiled:
            raise AttributeError(f"{self.stack.who()}: loss must be set by compile; the model is compiled.")
        self._loss_before_compile = value

    @property
    def metrics(self) -> list[Metric]:
        """The loss as a running mean, and the metrics that are known so far; empty before `compile`."""
        return [] if self.executor.compiled is None else self.executor.compiled.trackers

    @property
    def knows_metrics(self) -> bool:
        """Whether all metrics are resolved: targets have been seen, or no metric's name depends on them."""
        return self.executor.compiled is not None and self.executor.compiled.knows_metrics

    def direction_of(self, name: str) -> str | None:
        """Return "up" if larger values of the metric `name` in logs are better, "down" if smaller; None: unknown."""
        return None if self.executor.compiled is None else self.executor.compiled.direction_of(name)

    def reset_metrics(self) -> None:
        """Reset all running means."""
        if self.executor.compiled is not None:
            self.executor.compiled.reset_metrics()

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile` as plain values, without the optimizer's state."""
        return self.executor.require_compiled("get_compile_config").config()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model with the arguments that `get_compile_config` returned.

        A subclass whose `compile` takes other arguments overrides both; if it does not, the model stays uncompiled,
        with a warning.
        """
        who = self.stack.who("compile_from_config")
        if type(self).compile is not Trainer.compile:
            warn(
                f"{who}: the model was not compiled: compile of {type(self).__name__} is its own, and only its own "
                "get_compile_config and compile_from_config know its arguments. Call compile."
            )
            return
        rooms = {"optimizer": "optimizers", "loss": "losses", "metrics": "metrics", "weighted_metrics": "metrics"}
        found = {name: restored(value, rooms.get(name, "")) for name, value in mapping(who, "config", config).items()}
        known = inspect.signature(self.compile).parameters
        for name in found:
            if name not in known:
                raise ValueError(f"{who}: config must hold arguments of compile; {name!r} is none.")
        self.compile(**found)

    fit_generator = Former("fit reads generators too")
    evaluate_generator = Former("evaluate reads generators too")
    predict_generator = Former("predict reads generators too")
    predict_classes = Former("predict(x).argmax(axis=-1) gives classes, predict(x) > 0.5 those of a single sigmoid")
    predict_proba = Former("predict returns probabilities where the last activation is softmax or sigmoid")

    @with_present_names
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        on_nan: str | None = None,
    ) -> History:
        """Train for a number of epochs.

        Parameters
        ----------
        x : array_like, shape (n, ...), or iterable of batches
            Rows of input; a C-ordered array of the model's dtype is not copied, other dtypes are converted batch by
            batch. Or a generator, a loader or a sequence of batches ``(x, y)`` or ``(x, y, sample_weight)``.
        y : array_like
            Targets, in the form that the loss reads; None if `x` yields batches.
        batch_size : int, >= 1, optional
            Number of rows in a batch, 32 if omitted; the last batch of an epoch may be smaller.
        epochs : int, >= 0
            Train the epochs from `initial_epoch` to ``epochs - 1``, counting from 0.
        verbose : {"auto", 0, 1, 2}
            0 silent; 1 a progress bar per epoch, or a line where the output is no terminal or notebook; 2 a heading and
            a line per epoch; "auto" is 1.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            Fraction of the rows, the last ones, that is held back and evaluated after each epoch.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch; overrides `validation_split`.
        shuffle : bool, or None, a float, or "batch", which count as true or false
            Whether each epoch takes the rows, or the batches of a sequence, in a new random order: a function of the
            model's seed and of the number of passes over data before. Generators and other iterables are not shuffled.
        class_weight : dict of int to float, or "balanced", optional
            Class number → factor of the loss of its rows, 1 for classes that are not named; "balanced" gives all
            classes the same total weight. Not together with `sample_weight`.
        sample_weight : array_like, shape (n,), optional
            Factor of each row's loss.
        initial_epoch : int, >= 0
            Number of the first epoch.
        steps_per_epoch, validation_steps : int, >= 1, optional
            Number of batches of an epoch, and of an evaluation. An epoch continues where the one before it ended; if
            the rows run out it ends early, with a warning, and the next one begins anew. Without a batch size the rows
            are divided into that many batches.
        validation_batch_size : int, >= 1, optional
            As `batch_size` if omitted.
        validation_freq : int, >= 1, or list of int
            Evaluate after every `validation_freq` epochs, or after the listed epochs, counting from 1.
        on_nan : "raise", optional
            Check loss and weights after each step. One that gives NaN or infinity is undone, and an error says where
            the first such number was. Steps are taken one by one, and weights and optimizer state kept before each.

        Returns
        -------
        History
            Loss and metrics of each epoch; also in `history`.

        Raises
        ------
        RuntimeError
            The model is not compiled.
        TypeError, ValueError
            An argument does not fit. The model is unchanged.
        NotFiniteError
            With ``on_nan="raise"``: a step met NaN or infinity. The model is as before that step.
        """
        return training.fit(
            self, x, y, sample_weight, validation_data, batch_size=batch_size, epochs=epochs, verbose=verbose,
            callbacks=callbacks, validation_split=validation_split, shuffle=shuffle, class_weight=class_weight,
            initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
            validation_batch_size=validation_batch_size, validation_freq=validation_freq, on_nan=on_nan,
        )  # fmt: skip

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return loss and metrics on rows, without training.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.
        batch_size : int, >= 1, optional
            Bounds memory; 32 if omitted. The loss may depend on it, see Returns.
        verbose : {"auto", 0, 1, 2}
            0 silent; 1, 2 and "auto" print a line with the result.
        steps : int, >= 1, optional
            Evaluate this many batches only.
        callbacks : list of Callback, optional
        return_dict : bool

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics a list that begins with it; with `return_dict` by name. The loss is the mean of the
            batches' losses, weighted by their numbers of rows. So, as in Keras, it depends on the batch size if its
            reduction is "sum", or "mean_with_sample_weight" and there are weights; else only up to rounding.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As `fit`.
        """
        return evaluation.evaluate(
            self, x, y, sample_weight, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks,
            return_dict=return_dict,
        )  # fmt: skip

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step on one batch; arguments as of `fit`.

        Returns
        -------
        float, list of float, or dict
            As `evaluate`: loss and metrics of this batch, before the step.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As `fit`.
        """
        return training.train_on_batch(self, x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return loss and metrics of one batch, without training; result as `train_on_batch`."""
        return evaluation.test_on_batch(self, x, y, sample_weight, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> Array:
        """Return the output for rows.

        Parameters
        ----------
        x : array_like, shape (n, ...), or iterable of batches
            n may be 0. In batches ``(x, y)`` the targets are ignored.
        batch_size : int, >= 1, optional
            Number of rows that layers written in Python get at a time, and of a batch with callbacks; 32 if omitted. A
            row's prediction has the same bits for every batch size.
        verbose : {"auto", 0, 1, 2}
            Accepted as in Keras; nothing is printed.
        steps : int, >= 1, optional
            Predict this many batches only.
        callbacks : list of Callback, optional

        Returns
        -------
        ndarray, shape (n, ...), of the model's dtype

        Raises
        ------
        TypeError, ValueError
            `x` does not fit.
        """
        return prediction.predict(self, x, batch_size, verbose, steps, callbacks)

    def predict_on_batch(self, x: Any, out: Any = None) -> Array:
        """Return the output for one batch.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        out : ndarray, shape (n, ...), of the model's dtype, optional
            C-contiguous; the output is written there and no array is allocated. It must not share memory with `x`.

        Raises
        ------
        TypeError, ValueError
            `x` or `out` does not fit.
        """
        found = self.executor.predict_plain(x, out)
        return prediction.predict_on_batch(self, x, out) if found is None else found

    def __call__(self, inputs: Any, training: bool | None = None) -> Array:
        """Return the output for one batch, as Keras's ``model(x)``.

        With `training`, noise is added, and batches are normalized by their own moments, which update the running
        means; nothing is trained.
        """
        training = mode_of_caller() if training is None else flag(self.stack.who("call"), "training", training)
        if training:
            return tensor(prediction.predict_as_in_training(self, inputs))
        found = self.executor.predict_plain(inputs, None)
        return (prediction.predict_call(self, inputs) if found is None else found).view(Tensor)
