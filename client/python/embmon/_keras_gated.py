"""How the tensors of a step get out by branches of its graph: all that is added is behind a tf.cond,
so that a step which is not sampled costs a read, a few switches and a look at the loss. It works
everywhere: in graphs, eagerly, in what XLA compiles, on accelerators.

What is wanted stands in a small variable, the control, which is set before the step: int64 [step,
sampled, weight, update, ids].
"""

from typing import Any, Callable, NamedTuple, Sequence

import tensorflow as tf

from ._keras_control import CONTROL, IDS, SAMPLED, UPDATE, WEIGHT, Control
from ._keras_ids import IdsPost, some_wrong
from ._keras_sink import HostSink, Post, call_out
from ._keras_tap import Tap
from ._keras_targets import Target
from ._monitor import Monitor


class Place(NamedTuple):
    """Where a step is traced."""

    phase: str
    graph: Any  # None: it runs eagerly

    def is_current(self) -> bool:
        """Is the graph being built the step's own, and not one within it?"""
        return current_graph() is self.graph


class Pair(NamedTuple):
    """What an optimizer was given."""

    target: Target
    gradient: Any  # None: Keras leaves the variable as it is, and that is to be seen
    variable: Any


class Kept(NamedTuple):
    """What a step has copied before its weights change."""

    wanted: Any  # a flag: it has
    pairs: list[Pair]
    copies: Any  # for each (ids of rows, these rows), or (all of it,)


class Gated:
    """Of one step."""

    def __init__(self, monitor: Monitor, sink: HostSink, place: Place, control: Control) -> None:
        """sink: takes the tensors (GraphSink has the same methods)."""
        self._monitor = monitor
        self._sink = sink
        self._place = place
        self._control = control.variable
        self._reads = control
        self._loss: Any = None  # float64 []: of all that were computed, where it is looked at
        self._kept: list[Kept] = []  # by the optimizers that were applied
        # For those within the step's own graph, which need not read it again and again.
        self._row = None if place.graph is None else tf.convert_to_tensor(self._control)

    # ---- what StepTrace says

    def look_at_loss(self, loss: Any) -> None:
        """Where a step that is not sampled has lost its numbers, it is posted all the same."""
        if not self._sink.calls_out or not self._place.is_current():
            return
        value = tf.cast(loss, tf.float64)
        value = value if loss.shape.rank == 0 else tf.reduce_mean(value)
        self._loss = value if self._loss is None else self._loss + value

    def ids(self, posts: Sequence[IdsPost], ids: Any, rows: int) -> Any:
        """Posts them, where they are wanted, or where some are no rows of the table, which has `rows`.
        Gives a tensor that is there when that is done."""
        wanted, phase, monitor = self._flag(IDS), self._place.phase, self._monitor

        def call(*arrays: Any) -> None:
            step, given = monitor.step_of(phase), iter(arrays)
            for post in posts if step is not None else ():
                post.make(monitor, step, *[next(given) for _ in post.tensors])

        def run() -> Any:
            done = call_out(call, [x for post in posts for x in post.tensors])
            with tf.control_dependencies([done]):
                return tf.constant(0)

        # On an accelerator the answer would have to be waited for; there nothing raises.
        looked_at = rows > 0 and not tf.config.list_logical_devices("GPU")
        return tf.cond(tf.logical_or(wanted, some_wrong(ids, rows)) if looked_at else wanted,
                       run, lambda: tf.constant(0))

    def before_apply(self, optimizer: Any, outputs: Sequence[Post], pairs: list[Pair],
                     scale: Any) -> Kept | None:
        """outputs: activations. scale: what gradients are to be divided by."""

        def post() -> list[Any]:
            given = self._of("gradient", pairs)
            posts = [*tapped(outputs), *[gradient_of(x, scale) for x in given
                                         if x.gradient is not None]]
            return [self._post(posts), self._post_weights(pairs)]

        return self._keep(optimizer, pairs, post)

    def behind_posts(self, grads: Sequence[Any]) -> list[Any]:
        return list(grads)

    def keep(self, optimizer: Any, pairs: list[Pair]) -> Kept | None:
        """As before_apply(), of weights and updates alone."""
        return self._keep(optimizer, pairs, lambda: [self._post_weights(pairs)])

    def keep_left(self, optimizer: Any, pairs: list[Pair]) -> Kept | None:
        """Of variables that nobody was given, before anything is applied."""
        return self._keep(optimizer, pairs, lambda: [])

    def after_apply(self, kept: Kept | None) -> None:
        """What was kept becomes updates at the step's end, or now where this is a graph within it."""
        if kept is None:
            return
        if self._place.is_current():
            self._kept.append(kept)
        else:
            when(self.armed(), lambda: [self._post_updates(kept)])

    def end(self, outputs: Sequence[Post], scalars: dict[str, Any], left: list[Pair],
            kept: Kept | None) -> None:
        """left: variables that no optimizer was given. kept: what keep_left() gave, of a few more."""
        known = set[int]()
        changed = self._changed(known)
        if kept is not None:
            others = {id(x.variable) for x in kept.pairs} - {id(x.variable) for x in left}
            changed.append(_once(kept, known | others))

        def body() -> list[Any]:
            done = [self._post_weights(left), *[self._post_updates(x) for x in changed]]
            values = {name: tf.reduce_mean(tf.cast(x, tf.float64)) for name, x in scalars.items()}
            with tf.control_dependencies([x for x in done if x is not None]):
                done = self._sink.end(self._place.phase, self._control, values, tapped(outputs),
                                      self._loss)
            if self._sink.calls_out:
                return [done]  # run again without being asked to, it finds no step under way
            with tf.control_dependencies([done]):
                return [self._control.assign(tf.zeros([CONTROL], tf.int64))]

        when(self.armed(), body)

    def post_updates(self) -> None:
        """What is left to do where Native does all else."""
        changed = self._changed(set())
        if changed:
            when(self.armed(), lambda: [self._post_updates(x) for x in changed])

    def _changed(self, known: set[int]) -> list[Kept]:
        return [_once(x, known) for x in self._kept]

    def post_weights(self, pairs: Sequence[Pair]) -> None:
        when(self.armed(), lambda: [self._post_weights(pairs)])

    def post_outputs(self, outputs: Sequence[Post]) -> None:
        when(self.armed(), lambda: [self._post(tapped(outputs))])

    # ---- within

    def armed(self) -> Any:
        """A flag: is anything to be posted?"""
        sampled = self._flag(SAMPLED)
        if self._loss is None or not self._place.is_current():
            return sampled
        return tf.logical_or(sampled, tf.logical_not(tf.math.is_finite(self._loss)))

    def _flag(self, index: int) -> Any:
        self._reads.is_read = True
        row = self._control if self._row is None or not self._place.is_current() else self._row
        return tf.not_equal(row[index], 0)

    def _of(self, signal: str, given: list[Any]) -> list[Any]:
        """given, or nothing where the user has left the signal out."""
        return given if signal in self._monitor.signals else []

    def _post(self, posts: list[Post]) -> Any:
        return self._sink.post(self._place.phase, self._control, posts, self._loss)

    def _post_weights(self, pairs: Sequence[Pair]) -> Any:
        """Where they are wanted of this step."""
        if not pairs or not self._sink.shows_weights or "weight" not in self._monitor.signals:
            return None
        return when(self._flag(WEIGHT), lambda: [self._post(
            [Post("weight", x.target, read(x.variable)) for x in pairs])])

    def _keep(self, optimizer: Any, pairs: list[Pair],
              post: Callable[[], list[Any]]) -> Kept | None:
        """At a sampled step: posts, and copies what is about to change where updates are wanted. At
        another one all of it is one comparison."""
        keeps = self._sink.shows_weights and "update" in self._monitor.signals and bool(pairs)
        # Behind the gradients: of an id that is no row the model's own look-up raises, not this.
        behind = [x.gradient.values for x in pairs if isinstance(x.gradient, tf.IndexedSlices)]

        def run() -> Any:
            with tf.control_dependencies([x for x in post() if x is not None]):
                return self._copies(optimizer, pairs) if keeps else tf.constant(0)

        def skip() -> Any:
            return (tf.constant(False), _no_copies(pairs)) if keeps else tf.constant(0)

        with tf.control_dependencies(behind):
            made = tf.cond(self.armed(), run, skip)
        return Kept(made[0], pairs, made[1]) if keeps else None

    def _copies(self, optimizer: Any, pairs: Sequence[Pair]) -> tuple[Any, Any]:
        """(are updates wanted, what _no_copies() gives): of a table with a sparse gradient the rows
        it touches."""
        flag = self._flag(UPDATE)
        every = accumulates(optimizer)
        if every:  # nothing changes at the steps between
            flag = tf.logical_and(flag, tf.equal((calls_of(optimizer) + 1) % every, 0))

        def copy(pair: Pair) -> tuple[Any, ...]:
            if not isinstance(pair.gradient, tf.IndexedSlices):
                return (read(pair.variable),)
            ids = tf.unique(tf.reshape(pair.gradient.indices, [-1])).y
            return ids, tf.gather(read(pair.variable), ids)

        return flag, tf.cond(flag, lambda: [copy(x) for x in pairs], lambda: _no_copies(pairs))

    def _post_updates(self, kept: Kept) -> Any:
        """New minus old. In the branch of a step that is sampled."""

        def post() -> list[Any]:
            posts = []
            for pair, copy in zip(kept.pairs, kept.copies):
                if len(copy) == 1:
                    posts.append(Post("update", pair.target, read(pair.variable) - copy[0]))
                else:
                    change = tf.gather(read(pair.variable), copy[0]) - copy[1]
                    posts.append(Post("update", pair.target, change, copy[0]))
            return [self._post(posts)]

        return when(kept.wanted, post) if kept.pairs else None


def _once(kept: Kept, known: set[int]) -> Kept:
    """Without the variables that are known, which another optimizer of the step was given before: the
    change since then has this one in it."""
    places = [n for n, x in enumerate(kept.pairs) if id(x.variable) not in known]
    known.update(id(x.variable) for x in kept.pairs)
    return Kept(kept.wanted, [kept.pairs[n] for n in places], [kept.copies[n] for n in places])


def _no_copies(pairs: Sequence[Pair]) -> list[tuple[Any, ...]]:
    return [(tf.zeros([0], x.gradient.indices.dtype), tf.zeros([0, 0], x.variable.dtype))
            if isinstance(x.gradient, tf.IndexedSlices) else
            (tf.zeros([0] * len(x.variable.shape), x.variable.dtype),) for x in pairs]


def tapped(outputs: Sequence[Post]) -> list[Post]:
    """Of activations, in a branch of the step's graph when what follows of them is traced."""
    tap = Tap()
    return [x._replace(values=tap.read(x.values)) for x in outputs]


def gradient_of(pair: Pair, scale: Any) -> Post:
    if isinstance(pair.gradient, tf.IndexedSlices):
        return Post("gradient", pair.target, unscaled(pair.gradient.values, scale),
                    pair.gradient.indices)
    return Post("gradient", pair.target, unscaled(pair.gradient, scale))


def when(flag: Any, body: Callable[[], Sequence[Any]]) -> Any:
    """Runs body's ops only where flag is true. Gives a tensor that is there when that is done."""

    def run() -> Any:
        with tf.control_dependencies([x for x in body() if x is not None]):
            return tf.constant(0)

    return tf.cond(flag, run, lambda: tf.constant(0))


def current_graph() -> Any:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def read(variable: Any) -> Any:
    """A Keras or TensorFlow variable's value now."""
    return tf.convert_to_tensor(own(variable))


def own(variable: Any) -> Any:
    """TensorFlow's variable of a Keras one."""
    return variable if isinstance(variable, tf.Variable) else getattr(variable, "value", variable)


def innermost(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


def accumulates(optimizer: Any) -> int | None:
    """Over how many steps it adds up gradients before it changes anything."""
    return getattr(innermost(optimizer), "gradient_accumulation_steps", None)


def calls_of(optimizer: Any) -> Any:
    """How often apply was called, int64; `iterations` counts the updates under accumulation."""
    inner = innermost(optimizer)
    return tf.cast(tf.convert_to_tensor(getattr(inner, "_iterations", inner.iterations)), tf.int64)


def loss_scale(optimizer: Any) -> Any:
    """What the loss was multiplied by before the gradients were taken; None: nothing."""
    if hasattr(optimizer, "dynamic_scale") or hasattr(optimizer, "initial_scale"):
        if getattr(optimizer, "built", False):
            return tf.convert_to_tensor(optimizer.dynamic_scale)
        return float(optimizer.initial_scale)  # as scale_loss() did when this step was traced
    return getattr(optimizer, "loss_scale_factor", None)


def unscaled(tensor: Any, scale: Any) -> Any:
    return tensor if scale is None else tensor / tf.cast(scale, tensor.dtype)
