"""Where a traced step leaves its tensors: with the monitor at once, by a call out of the graph."""

import math
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
import tensorflow as tf

from ._keras_targets import Target
from ._monitor import Monitor


_LONG = 1 << 16  # elements
_BATCH = 32  # where a dimension is not known


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


def is_long(post: Post) -> bool:
    """As far as its shape tells; a batch is some tens."""
    if post.ids is not None or post.values.shape.rank is None:
        return True
    return math.prod(n or _BATCH for n in post.values.shape) >= _LONG


class HostSink:
    """Calls out: the C library summarises the step's own buffers. A call costs more than a small
    tensor does, so that these go out in one. A large one goes as soon as it is there, while it is in
    the cache."""

    calls_out = True
    shows_weights = True  # weights and updates are taken within the step

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def post(self, phase: str, control: Any, posts: Sequence[Post]) -> Any:
        """Of the step of the phase that is under way then: where the function is run without one,
        nothing is posted. Gives a tensor that is there when all are made; None: there are none."""
        if not posts:
            return None
        calls = [self._call(phase, [x]) for x in posts if is_long(x)]
        short = [x for x in posts if not is_long(x)]
        if short:
            calls.append(self._call(phase, short))
        return calls[0] if len(calls) == 1 else tf.group(*calls)

    def _call(self, phase: str, posts: Sequence[Post]) -> Any:
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
