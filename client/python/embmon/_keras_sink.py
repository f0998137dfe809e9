"""Where a traced step leaves its tensors: with the monitor at once, by a call out of the graph."""

import math
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
import tensorflow as tf

from ._keras_targets import Target
from ._monitor import Monitor


_GROUP = 1 << 20  # elements that go out together
_BATCH = 32  # where a dimension is not known
_ROWS = 4096  # and of rows of a table


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


def elements(post: Post) -> int:
    """As far as its shape tells."""
    dims = post.values.shape
    if post.ids is not None:
        return math.prod((dims[0] or _ROWS, *[n or 1 for n in dims[1:]]))
    return _GROUP if dims.rank is None else math.prod(n or _BATCH for n in dims)


def groups(posts: Sequence[Post]) -> list[list[Post]]:
    """Of posts in their order: small ones share a call, which costs more than they do; what is kept
    until the others of its group are there is some megabytes at most, or one tensor."""
    made: list[list[Post]] = []
    filled = 0
    for post in posts:
        count = elements(post)
        if not made or filled + count > _GROUP:
            made.append([])
            filled = 0
        made[-1].append(post)
        filled += count
    return made


class HostSink:
    """Calls out: the C library summarises the step's own buffers."""

    calls_out = True
    shows_weights = True  # weights and updates are taken within the step

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def post(self, phase: str, control: Any, posts: Sequence[Post], loss: Any) -> Any:
        """Of the step of the phase that is under way then: where the function is run without one,
        nothing is posted. loss: float64 [], where a step that is not sampled is posted because of it;
        or None. Gives a tensor that is there when all are made; None: there are none."""
        calls = [self._call(phase, x, loss) for x in groups(posts)]
        return tf.group(*calls) if len(calls) > 1 else calls[0] if calls else None

    def end(self, phase: str, control: Any, scalars: dict[str, Any], posts: Sequence[Post],
            loss: Any) -> Any:
        """posts are the step's last. scalars: float64 [] each."""
        *others, last = groups(posts) or [[]]
        with tf.control_dependencies([self._call(phase, x, loss) for x in others]):
            return self._call(phase, last, loss, scalars)

    def _call(self, phase: str, posts: Sequence[Post], loss: Any,
              scalars: dict[str, Any] | None = None) -> Any:
        """scalars: the step ends with them."""
        plan = [(x.target.ident, x.signal, x.ids is not None) for x in posts]
        names = list(scalars or ())
        tensors = [x for one in posts for x in (one.ids, one.values) if x is not None]
        tensors += [*(scalars or {}).values(), *([] if loss is None else [loss])]
        monitor = self._monitor

        def call(*arrays: Any) -> None:
            step = monitor.sampled_step(phase, None if loss is None else float(arrays[-1]))
            given = iter(arrays)
            if step is None:
                return
            for ident, signal, has_ids in plan:
                if has_ids:
                    monitor.post_rows(ident, signal, step, next(given), next(given))
                else:
                    monitor.post(ident, signal, step, next(given))
            for name in names:
                monitor.scalar(name, step, float(next(given)))
            if scalars is not None:
                monitor.finish(step)

        return call_out(call, tensors)
