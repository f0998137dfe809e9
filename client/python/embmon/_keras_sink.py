"""Where a traced step leaves its tensors: with the monitor at once, by a call out of the graph."""

from typing import Any, Callable, Sequence

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


class HostSink:
    """Calls out: the C library summarises the step's own buffers."""

    calls_out = True
    shows_weights = True  # weights and updates are taken within the step

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def array(self, signal: str, target: Target, step: Any, tensor: Any) -> Any:
        post = self._monitor.post
        return call_out(lambda s, array: post(target.ident, signal, int(s), array), [step, tensor])

    def rows(self, signal: str, target: Target, step: Any, ids: Any, values: Any) -> Any:
        """ids [n], values [n, columns]"""
        post = self._monitor.post_rows
        return call_out(lambda s, i, v: post(target.ident, signal, int(s), i, v), [step, ids, values])

    def end(self, step: Any, scalars: dict[str, Any]) -> Any:
        """All of the step's posts have been made. scalars: float64 [] each."""
        names, monitor = list(scalars), self._monitor

        def finish(s: Any, *values: Any) -> None:
            for name, value in zip(names, values):
                monitor.scalar(name, int(s), float(value))
            monitor.finish(int(s))

        return call_out(finish, [step, *scalars.values()])
