"""How the tensors of a step get out by operations of libembmon's own (client/tensorflow.c), which
stand in its graph without a branch: each decides for itself whether it is wanted, without Python.
A step that is not sampled costs some hundred nanoseconds for each.

What they cannot do goes by the branches of Gated: tensors that TensorFlow fuses, ids of unsigned
numbers, optimizers that change nothing at most steps.
"""

import ctypes
import functools
import itertools
import pathlib
from typing import Any, Callable, NamedTuple, Sequence

import tensorflow as tf

from . import _lib
from ._keras_gated import (Gated, Kept, Pair, Place, accumulates, gradient_of, own, read)
from ._keras_ids import IdsPost
from ._keras_sink import Post, elements
from ._keras_tap import is_read_by_none, may_be_fused
from ._monitor import Monitor

_FLOATS = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
_DTYPES = (*_FLOATS, tf.int8, tf.int16, tf.int32, tf.int64)
_CHEAP = 1 << 12  # elements that are computed at every step though only the monitor reads them
_COPIED = 64 << 20  # bytes of a table that are copied where its weights are wanted
_slots = itertools.count()


@functools.cache
def is_available() -> bool:
    """Have this TensorFlow's graphs our operations? They are the processor's alone."""
    if tf.config.list_logical_devices("GPU"):
        return False
    path = pathlib.Path(tf.sysconfig.get_lib()) / "libtensorflow_framework.so.2"
    try:
        library = ctypes.CDLL(str(path))  # loaded already
    except OSError:
        return False
    return bool(_lib.load().embmon_tensorflow(library._handle) == 0)


def open_gate(gate: int, step: int) -> None:
    """What passes it from now on is of this step."""
    _lib.load().embmon_gate_open(gate, step)


def step_ends(gate: int) -> Callable[[int], int]:
    """Ends the step under way, told what was spent on the monitor. 0: the next one is under way, and
    not sampled."""
    return functools.partial(_lib.load().embmon_gate_next, gate)


def shut_gate(gate: int) -> None:
    """No step is under way."""
    _lib.load().embmon_gate_shut(gate)


def _operation(kind: str, inputs: Sequence[Any], **attributes: int | bytes | tf.DType) -> Any:
    """Adds it to the graph that is being built."""
    made = {}
    for name, value in attributes.items():
        if isinstance(value, tf.DType):
            made[name] = tf.compat.v1.AttrValue(type=value.as_datatype_enum)
        elif isinstance(value, bytes):
            made[name] = tf.compat.v1.AttrValue(s=value)
        else:
            made[name] = tf.compat.v1.AttrValue(i=value)
    return tf.compat.v1.get_default_graph().create_op(kind, list(inputs), [], attrs=made,
                                                      name="embmon")


class _Slot(NamedTuple):
    """A variable, which the client keeps as it was."""

    pair: Pair
    number: int


class _Rows(NamedTuple):
    """Rows of a table, which the graph has looked up before they change. At a step of which they are
    not wanted there are none."""

    pair: Pair
    ids: Any
    values: Any


class Native:
    """Of one step; the same methods as Gated."""

    def __init__(self, monitor: Monitor, place: Place, gate: int, gated: Gated) -> None:
        """gate: of the phase, an address."""
        self._monitor = monitor
        self._place = place
        self._gate = gate
        self._gated = gated
        self._looked: list[Any] = []  # operations behind which it is known whether a step is lost
        self._posted: dict[int, Any] = {}  # what reads large gradients, by these

    # ---- what StepTrace says

    def look_at_loss(self, loss: Any) -> None:
        self._gated.look_at_loss(loss)
        if self._place.is_current() and loss.dtype in _DTYPES:
            self._looked.append(_operation("EmbmonLook", [loss], T=loss.dtype, gate=self._gate))

    def ids(self, posts: Sequence[IdsPost], ids: Any, rows: int) -> Any:
        if any(x.tensors[0].dtype not in _DTYPES for x in posts):
            return self._gated.ids(posts, ids, rows)
        done = [_operation("EmbmonIds", x.tensors, T=x.tensors[0].dtype, N=len(x.tensors) - 1,
                           gate=self._gate, target=x.target, signal=int(x.is_fed),
                           text=x.name.encode()) for x in posts]
        with tf.control_dependencies(done):
            return tf.no_op()

    def before_apply(self, optimizer: Any, outputs: Sequence[Post], pairs: list[Pair],
                     scale: Any) -> list[_Slot | _Rows] | Kept | None:
        self._post_outputs(outputs)
        if "gradient" in self._monitor.signals:
            given = [x.gradient for x in pairs if x.gradient is not None]
            posts = [gradient_of(x, scale) for x in pairs if x.gradient is not None]
            self._posted.update({id(x): done for x, post, done in
                                 zip(given, posts, self._post_all(posts)) if elements(post) > _CHEAP})
        if accumulates(optimizer):
            return self._gated.keep(optimizer, pairs)
        return self._keep(pairs, ("weight", "update"))

    def behind_posts(self, grads: Sequence[Any]) -> list[Any]:
        """Large ones, once they have been read: what nobody else reads any more TensorFlow changes in
        place, where it would need more memory for the result."""
        return [self._behind(self._posted.get(id(x)), x) for x in grads]

    @staticmethod
    def _behind(post: Any, gradient: Any) -> Any:
        if post is None:
            return gradient
        with tf.control_dependencies([post]):
            values = tf.identity(getattr(gradient, "values", gradient))
        if not isinstance(gradient, tf.IndexedSlices):
            return values
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)

    def keep_left(self, optimizer: Any, pairs: list[Pair]) -> list[_Slot | _Rows]:
        return self._keep(pairs, ("update",))

    def _keep(self, pairs: list[Pair], wanted: Sequence[str]) -> list[_Slot | _Rows]:
        """Posts weights, and keeps what they were for their updates."""
        signals = [x for x in wanted if x in self._monitor.signals]
        kept = list[_Slot | _Rows]()
        for pair in pairs if signals else ():
            if own(pair.variable).dtype not in _FLOATS:
                continue
            if isinstance(pair.gradient, tf.IndexedSlices):
                kept += self._keep_rows(pair, signals)
            else:
                kept.append(self._keep_all(pair, signals))
        return kept

    def _keep_all(self, pair: Pair, signals: Sequence[str]) -> _Slot:
        kept = _Slot(pair, next(_slots))
        _operation("EmbmonBefore", [own(pair.variable).handle, read(pair.variable)],
                   T=own(pair.variable).dtype, gate=self._gate, target=pair.target.ident,
                   signal=sum(1 << _lib.SIGNALS[x] for x in signals), slot=kept.number)
        return kept

    def _keep_rows(self, pair: Pair, signals: Sequence[str]) -> list[_Rows]:
        """Of a table with a sparse gradient. Where its rows are changed in place, as by SGD, to read
        it is to copy all of it: only rows are looked up, and those alone that are wanted."""
        if "weight" in signals:
            if _bytes(pair.variable) > _COPIED:
                self._gated.post_weights([pair])
            else:
                rows = self._touched(pair, "weight", [])
                self._post_all([Post("weight", pair.target, _look_up(pair.variable, rows))])
        if "update" not in signals:
            return []
        rows = self._touched(pair, "update", [pair.gradient.indices])
        return [_Rows(pair, rows, _look_up(pair.variable, rows))]

    def _touched(self, pair: Pair, signal: str, ids: list[Any]) -> Any:
        """The rows of a table that are wanted of this step: of all of them, or of ids."""
        return _operation("EmbmonTouched", ids, N=len(ids), I=ids[0].dtype if ids else tf.int32,
                          gate=self._gate, target=pair.target.ident, signal=_lib.SIGNALS[signal],
                          rows=own(pair.variable).shape[0]).outputs[0]

    def after_apply(self, kept: Any) -> None:
        if isinstance(kept, Kept):
            self._gated.after_apply(kept)
            return
        for x in kept or ():
            pair = x.pair
            if isinstance(x, _Rows):
                change = _wide(_look_up(pair.variable, x.ids)) - _wide(x.values)
                self._post_all([Post("update", pair.target, change, x.ids)])
            else:
                _operation("EmbmonAfter", [own(pair.variable).handle, read(pair.variable)],
                           T=own(pair.variable).dtype, gate=self._gate,
                           target=pair.target.ident, signal=_lib.SIGNALS["update"], slot=x.number)

    def end(self, outputs: Sequence[Post], scalars: dict[str, Any], left: list[Pair],
            kept: list[_Slot | _Rows] | None) -> None:
        """The step itself ends outside of the graph."""
        self._post_outputs(outputs)
        self._keep(left, ("weight",))
        places = {id(x.variable) for x in left}
        self.after_apply([x for x in kept or () if id(x.pair.variable) in places])
        self._gated.post_updates()
        for name, value in scalars.items():
            value = value if value.dtype in _DTYPES else tf.cast(value, tf.float64)
            _operation("EmbmonScalar", [value], T=value.dtype, gate=self._gate, text=name.encode())

    # ---- within

    def _post_outputs(self, outputs: Sequence[Post]) -> None:
        # Of all of them, before there are new readers.
        fused = [may_be_fused(x.values) or (is_read_by_none(x.values) and elements(x) > _CHEAP)
                 for x in outputs]
        self._post_all([x for x, f in zip(outputs, fused) if not f])
        if any(fused):
            self._gated.post_outputs([x for x, f in zip(outputs, fused) if f])

    def _post_all(self, posts: Sequence[Post]) -> list[Any]:
        """Behind the look at the loss: where it is lost, they are wanted."""
        done = []
        with tf.control_dependencies(self._looked if self._place.is_current() else []):
            for post in posts:
                kind, inputs = "EmbmonPost", [post.values]
                named: dict[str, Any] = {}
                if post.ids is not None:
                    kind, inputs, named = "EmbmonRows", [post.ids, post.values], {"I": post.ids.dtype}
                done.append(_operation(kind, inputs, T=post.values.dtype, gate=self._gate,
                                       target=post.target.ident,
                                       signal=_lib.SIGNALS[post.signal], **named))
        return done


def _bytes(variable: Any) -> int:
    return int(own(variable).shape.num_elements()) * own(variable).dtype.size


def _look_up(variable: Any, rows: Any) -> Any:
    """Of a table, in its order among what changes it."""
    return tf.raw_ops.ResourceGather(resource=own(variable).handle, indices=rows,
                                     dtype=own(variable).dtype)


def _wide(values: Any) -> Any:
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)
