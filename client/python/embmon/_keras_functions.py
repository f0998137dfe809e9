"""The functions in which Keras runs a model's steps, made by it once for each phase: wrapped, to take
out what a step gives beside its results, and to say why a step has raised before the exception goes
on to the user.
"""

from typing import Any, Callable

import keras
import numpy as np
import tensorflow as tf

from ._keras_ids import Parcels
from ._monitor import Monitor
from ._patches import Patches

STEPS = {"training": "train_step", "validation": "test_step", "inference": "predict_step"}
_FUNCTIONS = {"training": "train_function", "validation": "test_function",
              "inference": "predict_function"}
_PATIENCE = 0.2  # seconds that an exception waits for the alerts that explain it
# How a data set ends.
_ENDS = (StopIteration, tf.errors.OutOfRangeError)


class Functions:
    """Of one model, from install() to uninstall()."""

    def __init__(self, monitor: Monitor, model: Any, active: set[str]) -> None:
        """active: the phases that run under the callback."""
        self.parcels = Parcels()
        self._monitor = monitor
        self._model = model
        self._active = active
        self._running: str | None = None
        self._is_in = False

    def install(self, patches: Patches, abandoned: Callable[[], None]) -> None:
        """abandoned: called when a new fit() begins while the probes are still in, because the last
        one raised: Keras tells no callback then."""
        self._is_in = True
        for phase, name in _FUNCTIONS.items():
            patches.replace(self._model, f"make_{name}", lambda make, p=phase: self._wrap_make(
                make, p, abandoned if p == "training" else None))
        self.make_anew()

    def uninstall(self) -> None:
        """To be called when the patches have been restored."""
        self._is_in = False
        self.make_anew()

    def make_anew(self) -> None:
        """What was traced is traced anew at its next use."""
        for name in _FUNCTIONS.values():
            if getattr(self._model, name, None) is not None:
                getattr(self._model, f"make_{name}")(force=True)

    def gives_parcels(self) -> bool:
        """Does what a step gives come back here? Not where the user's own function runs the steps, or
        his code calls one."""
        if self._running is None:
            return False
        names = (f"make_{_FUNCTIONS[self._running]}", "_make_function")
        return all(getattr(type(self._model), name, None) is getattr(keras.Model, name, None)
                   for name in names)

    def _wrap_make(self, make: Callable[..., Any], phase: str,
                   abandoned: Callable[[], None] | None) -> Callable[..., Any]:
        def make_function(force: bool = False) -> Any:
            if not force and abandoned is not None:  # fit() calls it so before its callbacks begin
                abandoned()
            made = make(force=force)
            function = getattr(self._model, _FUNCTIONS[phase], None)
            if self._is_in and function is not None and not hasattr(function, "embmon_function"):
                object.__setattr__(self._model, _FUNCTIONS[phase], self._wrap(function, phase))
            return made

        return make_function

    def _wrap(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def monitored_function(given: Any) -> Any:
            before, self._running = self._running, phase
            try:
                outputs = function(given)
            except _ENDS:
                raise
            except Exception:
                if phase in self._active:
                    self._monitor.explain(_PATIENCE)
                raise
            finally:
                self._running = before
            return self._take(outputs, phase) if self.parcels.is_used else outputs

        monitored_function.embmon_function = function  # type: ignore[attr-defined]
        return monitored_function

    def _take(self, outputs: Any, phase: str) -> Any:
        results, posts = self.parcels.unpack(outputs)
        wants = self._monitor.open_wants
        # The user's own callbacks may predict while a step of training is open: that is not ours.
        if posts and wants is not None and wants.ids and self._monitor.open_phase == phase:
            for post, tensors in posts:
                post.make(self._monitor, wants.step, *[np.asarray(x) for x in tensors])
        return results
