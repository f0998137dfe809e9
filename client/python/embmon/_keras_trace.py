"""One step of a Keras model as it is traced (or run eagerly): adds to its graph what hands the
tensors to the monitor.

What is wanted stands in a small variable, the control, which is set before the step:
int64 [step, sampled, gradient, activation, weight, update, ids]. All that is added is behind a
tf.cond on it, so that a step which is not sampled costs a read, a few switches and a look at the
ids. Nothing the model computes depends on what is added; look-ups wait for it.
"""

from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np
import tensorflow as tf

from . import _keras_masks, _keras_paths
from ._keras_boundary import Boundary
from ._keras_control import (ACTIVATION, CONTROL, GRADIENT, IDS, SAMPLED, UPDATE, WEIGHT, Control,
                             control_row)
from ._keras_flow import Flow
from ._keras_ids import IdsTrace, Parcels, Route
from ._keras_sink import HostSink, Post, call_out
from ._keras_tap import Tap
from ._keras_targets import Target, Targets
from ._monitor import Monitor, Wants

# Ops that may hold posts: those of a step must have run before it ends.
_HOLDERS = frozenset(("If", "While", "Case", "PyFunc", "EagerPyFunc", "PartitionedCall",
                      "StatefulPartitionedCall"))


def is_tensor_of(graph: Any, value: Any) -> bool:
    """Is it a tensor the step can use: of its own graph, or eager in an eager step?"""
    if not isinstance(value, tf.Tensor):
        return False
    if graph is None:
        return hasattr(value, "numpy")
    return getattr(value, "graph", None) is graph


def current_graph() -> Any:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


class StepTrace:
    """From the first line of train_step (test_step, predict_step) to its last."""

    def __init__(self, monitor: Monitor, targets: Targets, sink: HostSink, phase: str,
                 control: Control, executed: tf.Variable, watched: bool,
                 begin: Callable[[], Wants] | None) -> None:
        """sink: takes the tensors (GraphSink has the same methods). watched: the phase runs under
        the callback.
        begin: the graph itself asks it at each step what is wanted, as nobody else can between
        the steps of one execution; None: the control is set from outside."""
        self.phase = phase
        self.graph = current_graph()
        self.applied: list[Any] = []  # optimizers
        self._monitor = monitor
        self._targets = targets
        self._sink = sink
        self._control = control.variable
        self._set_by_graph = control.set_by_graph
        self._executed = executed
        self._activations: list[tuple[Target, Any]] = []
        self._given: set[int] = set()  # variables that an optimizer was given
        self._left_out: Kept | None = None
        self._left: list[tuple[Any, ...]] = []  # what it is of
        self._scalars: dict[str, Any] = {}
        self._data: list[Any] = []
        self._flow = Flow(monitor, targets, phase, watched)
        self._ids: IdsTrace | None = None
        self._first_op = len(self.graph.get_operations()) if self.graph else 0
        if begin is not None:
            self._set_control(begin)
        self._row = self._read_control()

    # ---- what the step shows

    def is_current(self) -> bool:
        """Is the graph being built the step's own, and not one within it?"""
        return current_graph() is self.graph

    def begin_call(self, entry: _keras_paths.Layer, inputs: Any) -> None:
        """Of a layer: before Keras looks at what it is called with."""
        self._flow.begin(entry, inputs)

    def before_call(self, entry: _keras_paths.Layer, inputs: Any) -> Any:
        """What the layer is to be called with: the same."""
        if not self.is_current():
            return inputs
        if entry.kind == "embedding":
            if self._ids is not None and is_tensor_of(self.graph, inputs):
                return self._ids.before_lookup(entry, inputs)
            return inputs
        late = self._flow.run_time(entry, inputs)
        if not late or not self._sink.calls_out:
            return inputs
        done = call_out(lambda *shapes: self._flow.post_run_time(entry, shapes),
                        [tf.shape(x) for x in late])
        with tf.control_dependencies([done]):
            return tf.nest.map_structure(_keras_masks.same, inputs)

    def call(self, entry: _keras_paths.Layer, arguments: Sequence[Any],
             named: Mapping[str, Any]) -> None:
        """Of a layer: with what before_call() has left it."""
        self._flow.call(entry, arguments, named)  # also while Keras builds the model

    def enter(self, entry: _keras_paths.Layer, arguments: Sequence[Any],
              named: Mapping[str, Any]) -> Any:
        """Of a layer made of others that takes a mask for them. What is not None is for leave()."""
        return self._flow.enter(entry, arguments, named)

    def leave(self, entry: _keras_paths.Layer, entered: Any, output: Any) -> None:
        self._flow.leave(entry, entered, output)

    def activation(self, entry: _keras_paths.Layer, output: Any) -> None:
        """A layer's output; where it gives several, its first tensor of floats."""
        target = self._flow.end(entry, output)  # also while Keras builds the model, beside the step
        if target is None or "activation" not in self._monitor.signals or not self.is_current():
            return
        for tensor in tf.nest.flatten(output):
            if is_tensor_of(self.graph, tensor) and tensor.dtype.is_floating:
                self._activations.append((Target(target), tensor))
                return

    def scalar(self, name: str, value: Any) -> None:
        """Of the whole step; the last one of a name counts."""
        if is_tensor_of(self.graph, value) and (value.dtype.is_floating or value.dtype.is_integer):
            self._scalars[name] = value
            if name == "loss" and value.dtype.is_floating and self.phase == "training":
                self._look_at_loss(value)

    def _look_at_loss(self, loss: Any) -> None:
        """Where a step that is not sampled has lost its numbers, what follows of it is posted all the
        same."""
        if not self._sink.calls_out or not self.is_current():
            return

        def ask(value: Any) -> Wants:
            return self._monitor.alarm(self.phase, float(value)) or Wants()

        def alarm() -> Any:
            return self._set_control(ask, tf.reduce_mean(tf.cast(loss, tf.float64)))

        lost = tf.logical_not(tf.reduce_all(tf.math.is_finite(loss)))
        when(tf.logical_and(lost, tf.logical_not(self._flag(SAMPLED))), lambda: [alarm()])
        self._row = self._read_control()

    def batch(self, model: Any, data: Any, parcels: Parcels | None,
              routes: dict[str, Route]) -> None:
        """What the step is given. parcels: where it cannot call out. routes: what feeds which table,
        as far as earlier steps have found it."""
        self._ids = IdsTrace(self._monitor, Boundary(model, data), self._flow, parcels, routes,
                             self.phase, lambda: self._flag(IDS))
        self._data = [x for x in tf.nest.flatten(data) if is_tensor_of(self.graph, x)]
        sized = [x for x in self._data if x.shape.rank]
        if sized:
            self._scalars["batch_size"] = tf.shape(sized[0])[0]

    # ---- optimizer.apply

    def before_apply(self, optimizer: Any, grads: Sequence[Any],
                     variables: Sequence[Any]) -> "Kept | None":
        """Gradients, as they come; weights. Returns what after_apply() needs."""
        if not self.applied:
            self.scalar("learning_rate", tf.convert_to_tensor(optimizer.learning_rate))
        self.applied.append(optimizer)
        pairs = []  # a gradient of None: Keras leaves the variable as it is, and that is to be seen
        for grad, variable in zip(grads, variables):
            target = self._targets.of_variable(variable)
            if target is not None:
                if grad is not None:
                    self._flow.gradient(target.ident, grad)
                pairs.append((target, grad, variable))
        scale = loss_scale(optimizer)

        def posts() -> list[Any]:
            return [self._when(GRADIENT, lambda: [_gradient(target, grad, scale)
                                                  for target, grad, _ in pairs if grad is not None]),
                    self._when(WEIGHT, lambda: [Post("weight", target, read(variable))
                                                for target, _, variable in pairs])]

        kept = self._keep(optimizer, pairs, posts)
        self._leave_out(optimizer, variables)
        return kept

    def _leave_out(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Remembers what the model calls trainable and no optimizer is given, as it is before the
        first of them is applied: nothing should change it, and mostly that is a mistake."""
        given = {id(x) for x in variables}
        first = not self._given
        self._given |= given
        if not first or not self.is_current() or not self._sink.shows_weights:
            return
        pairs = [(self._targets.of_variable(x), None, x) for x in self._targets.trainable()
                 if id(x) not in given]
        self._left = [x for x in pairs if x[0] is not None]
        if self._left:
            self._left_out = self._keep(optimizer, self._left, lambda: [])

    def _still_left_out(self) -> "Kept":
        """Of these a later optimizer of the step may have been given some."""
        kept = self._left_out
        places = [n for n, x in enumerate(self._left) if id(x[2]) not in self._given]
        return Kept(kept and kept.wanted, [self._left[n] for n in places],
                    [kept.copies[n] for n in places] if kept else None)

    def _keep(self, optimizer: Any, pairs: Sequence[tuple[Any, ...]],
              posts: Callable[[], Sequence[Any]]) -> "Kept | None":
        """At a sampled step: makes the posts, and copies what is about to change where updates are
        wanted. At another one all of it is one comparison."""
        keeps = self._sink.shows_weights and "update" in self._monitor.signals and bool(pairs)
        # Behind the gradients: of an id that is no row the model's own look-up raises, not this.
        behind = [grad.values for _, grad, _ in pairs if isinstance(grad, tf.IndexedSlices)]

        def run() -> Any:
            with tf.control_dependencies([x for x in posts() if x is not None]):
                return self._copies(optimizer, pairs) if keeps else tf.constant(0)

        def skip() -> Any:
            return (tf.constant(False), _no_copies(pairs)) if keeps else tf.constant(0)

        with tf.control_dependencies(behind):
            made = tf.cond(self._flag(SAMPLED), run, skip)
        return Kept(made[0], list(pairs), made[1]) if keeps else None

    def _copies(self, optimizer: Any, pairs: Sequence[tuple[Any, ...]]) -> tuple[Any, Any]:
        """(are updates wanted, what _no_copies() gives): of a table with a sparse gradient the rows
        it touches."""
        flag = self._flag(UPDATE)
        every = getattr(innermost(optimizer), "gradient_accumulation_steps", None)
        if every:  # nothing changes at the steps between
            flag = tf.logical_and(flag, tf.equal((calls_of(optimizer) + 1) % every, 0))

        def copy(grad: Any, variable: Any) -> tuple[Any, ...]:
            if not isinstance(grad, tf.IndexedSlices):
                return (read(variable),)
            ids = tf.unique(tf.reshape(grad.indices, [-1])).y
            return ids, tf.gather(read(variable), ids)

        return flag, tf.cond(flag, lambda: [copy(grad, variable) for _, grad, variable in pairs],
                             lambda: _no_copies(pairs))

    def after_apply(self, kept: "Kept | None") -> None:
        """Updates: new minus old."""
        if kept is None or kept.copies is None or not kept.pairs:
            return

        def post() -> list[Any]:
            posts = []
            for (target, _, variable), copy in zip(kept.pairs, kept.copies):
                if len(copy) == 1:
                    posts.append(Post("update", target, read(variable) - copy[0]))
                else:
                    change = tf.gather(read(variable), copy[0]) - copy[1]
                    posts.append(Post("update", target, change, copy[0]))
            return [self._sink.post(self.phase, self._control, posts)]

        when(kept.wanted, post)

    # ---- the end

    def abandon(self) -> None:
        """The step has raised."""
        self._flow.abandon()
        if self._ids is not None:
            self._ids.abandon()

    def end(self, logs: Any) -> None:
        """Posts activations and scalars, and ends the step once all posts have been made."""
        self._targets.declare_all()
        left = self._still_left_out()
        if self.phase == "training":
            self._losses(logs)
        else:
            self._scalars.clear()

        def activations() -> list[Post]:
            tap = Tap()
            return [Post("activation", target, tap.read(tensor))
                    for target, tensor in self._activations]

        def body() -> list[Any]:
            done = [self._when(WEIGHT, lambda: [Post("weight", target, read(variable))
                                                for target, _, variable in left.pairs])]
            values = {name: tf.reduce_mean(tf.cast(x, tf.float64))
                      for name, x in self._scalars.items()}
            with tf.control_dependencies([x for x in done if x is not None]):
                done = self._sink.end(self.phase, self._control, values)
            if self._sink.calls_out:
                return [done]  # run again without being asked to, it finds no step under way
            with tf.control_dependencies([done]):
                return [self._control.assign(tf.zeros([CONTROL], tf.int64))]

        self._when(ACTIVATION, activations)
        self.after_apply(left)
        before = list(self._data)  # without data, at an epoch's end, there is no step
        if self.graph is not None:
            before += [op for op in self.graph.get_operations()[self._first_op:]
                       if op.type in _HOLDERS]
        with tf.control_dependencies(before):
            when(self._flag(SAMPLED), body)
            self._executed.assign_add(1)

    def _losses(self, logs: Any) -> None:
        """Where the step computed its loss in its own way: what it returned under such a name."""
        if "loss" in self._scalars or not isinstance(logs, dict):
            return
        for name, value in logs.items():
            if isinstance(name, str) and "loss" in name:
                self.scalar(_keras_paths.word(name), value)

    # ---- within

    def _set_control(self, ask: Callable[..., Wants], *arguments: Any) -> Any:
        """To what ask(*arguments) wants when the step runs."""

        def call(*given: Any) -> Any:
            self._set_by_graph()
            return np.array(control_row(ask(*given)), np.int64)

        row = tf.numpy_function(call, arguments, tf.int64)
        return self._control.assign(tf.ensure_shape(row, [CONTROL]))

    def _read_control(self) -> Any:
        """For those within the step's own graph, which need not read it again and again."""
        return None if self.graph is None else tf.convert_to_tensor(self._control)

    def _flag(self, index: int) -> Any:
        row = self._control if self._row is None or not self.is_current() else self._row
        return tf.not_equal(row[index], 0)

    def _when(self, index: int, posts: Callable[[], Sequence[Post]]) -> Any:
        """Makes posts of a signal where it is wanted."""
        signal = {GRADIENT: "gradient", ACTIVATION: "activation", WEIGHT: "weight"}[index]
        if signal not in self._monitor.signals or \
                (signal == "weight" and not self._sink.shows_weights):
            return None
        return when(self._flag(index), lambda: [self._sink.post(self.phase, self._control, posts())])


class Kept(NamedTuple):
    """What a step has copied before its weights change."""

    wanted: Any  # a flag: it has
    pairs: list[tuple[Any, ...]]  # target, gradient, variable
    copies: Any  # for each (ids of rows, these rows), or (all of it,)


def _gradient(target: Target, grad: Any, scale: Any) -> Post:
    if isinstance(grad, tf.IndexedSlices):
        return Post("gradient", target, unscaled(grad.values, scale), grad.indices)
    return Post("gradient", target, unscaled(grad, scale))


def _no_copies(pairs: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(tf.zeros([0], grad.indices.dtype), tf.zeros([0, 0], variable.dtype))
            if isinstance(grad, tf.IndexedSlices) else
            (tf.zeros([0] * len(variable.shape), variable.dtype),) for _, grad, variable in pairs]


def when(flag: Any, body: Callable[[], Sequence[Any]]) -> Any:
    """Runs body's ops only where flag is true. Gives a tensor that is there when that is done."""

    def run() -> Any:
        with tf.control_dependencies([x for x in body() if x is not None]):
            return tf.constant(0)

    return tf.cond(flag, run, lambda: tf.constant(0))


def read(variable: Any) -> Any:
    """A Keras or TensorFlow variable's value now."""
    return tf.convert_to_tensor(getattr(variable, "value", variable)
                                if not isinstance(variable, tf.Variable) else variable)


def innermost(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


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
