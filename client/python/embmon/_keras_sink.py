"""Where a traced step leaves its tensors: with the monitor at once, by a call out of the graph."""

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
import tensorflow as tf

from ._keras_targets import Target
from ._monitor import Monitor


def call_out(function: Callable[..., Any], tensors: Sequence[Any]) -> Any:
    """Calls function(*arrays) when the step runs; the arrays share the tensors' memory. Gives a
    tensor that is there when it has been called."""
    if tf.executing_eagerly():
        function(*[np.asarray(x) for x in tensors])
        return tf.constant(0)

    def call(*arrays: Any) -> Any:
        function(*arrays)  # the monitor's: does not raise
        return np.int32(0)

    return tf.numpy_function(call, list(tensors), tf.int32)


class Post(NamedTuple):
    """One tensor of a step."""

    signal: str
    target: Target
    values: Any
    ids: Any = None  # of its rows, where these are some of a table's: ids [n], values [n, columns]


class HostSink:
    """Calls out: the C library summarises the step's own buffers. A call costs more than a small
    tensor does, so what is there at the same time goes out in one."""

    calls_out = True
    shows_weights = True  # weights and updates are taken within the step

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def post(self, phase: str, control: Any, posts: Sequence[Post]) -> Any:
        """Of the step of the phase that is under way then: where the function is run without one,
        nothing is posted. Gives a tensor that is there when all are made; None: there are none."""
        if not posts:
            return None
        plan = [(x.target.ident, x.signal, x.ids is not None) for x in posts]
        tensors = [x for one in posts for x in (one.ids, one.values) if x is not None]
        monitor = self._monitor

        def call(*arrays: Any) -> None:
            number, given = monitor.step_of(phase), iter(arrays)
            if number is None:
                return
            for ident, signal, has_ids in plan:
                if has_ids:
                    monitor.post_rows(ident, signal, number, next(given), next(given))
                else:
                    monitor.post(ident, signal, number, next(given))

        return call_out(call, tensors)

    def end(self, phase: str, control: Any, scalars: dict[str, Any]) -> Any:
        """All of the step's posts have been made. scalars: float64 [] each."""
        names, monitor = list(scalars), self._monitor

        def finish(*values: Any) -> None:
            step = monitor.step_of(phase)
            if step is None:
                return
            for name, value in zip(names, values):
                monitor.scalar(name, step, float(value))
            monitor.finish(step)

        return call_out(finish, list(scalars.values()))
