"""One step of a Keras model as it is traced (or run eagerly): adds to its graph what hands the
tensors to the monitor.

How they get out, by branches of the graph or by operations that decide for themselves, is for Gated
and Native. Nothing the model computes depends on what is added; look-ups wait for it.
"""

from typing import Any, Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from . import _keras_masks, _keras_paths
from ._keras_boundary import Boundary
from ._keras_control import CONTROL, Control, control_row
from ._keras_flow import Flow
from ._keras_gated import Gated, Pair, Place, current_graph, loss_scale
from ._keras_ids import IdsTrace, Parcels, Route
from ._keras_native import Native
from ._keras_sink import HostSink, Post, call_out
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


class StepTrace:
    """From the first line of train_step (test_step, predict_step) to its last."""

    def __init__(self, monitor: Monitor, targets: Targets, sink: HostSink, phase: str,
                 control: Control, executed: tf.Variable, watched: bool,
                 begin: Callable[[], Wants] | None, gate: int | None) -> None:
        """sink: takes the tensors (GraphSink has the same methods). watched: the phase runs under
        the callback.
        begin: the graph itself asks it at each step what is wanted, as nobody else can between
        the steps of one execution; None: the control is set from outside.
        gate: of the phase, where the graph may have operations of ours, and it is opened between the
        steps."""
        self.phase = phase
        self.graph = current_graph()
        self.applied: list[Any] = []  # optimizers
        self._monitor = monitor
        self._targets = targets
        self._calls_out, self._shows_weights = sink.calls_out, sink.shows_weights
        self._executed = executed
        self._activations: list[Post] = []
        self._given: set[int] = set()  # variables that an optimizer was given
        self._left: list[Pair] = []  # what none was given, as the first is applied
        self._kept_left: Any = None
        self._scalars: dict[str, Any] = {}
        self._data: list[Any] = []
        self._flow = Flow(monitor, targets, phase, watched)
        self._ids: IdsTrace | None = None
        self._first_op = len(self.graph.get_operations()) if self.graph else 0
        if begin is not None:
            _set_control(control, begin)
        self._place = Place(phase, self.graph)
        self._out: Any = Gated(monitor, sink, self._place, control)
        if gate is not None and self.graph is not None:
            self._out = Native(monitor, self._place, gate, self._out)

    # ---- what the step shows

    def is_current(self) -> bool:
        """Is the graph being built the step's own, and not one within it?"""
        return self._place.is_current()

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
        if not late or not self._calls_out:
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
                self._activations.append(Post("activation", Target(target), tensor))
                return

    def scalar(self, name: str, value: Any) -> None:
        """Of the whole step; the last one of a name counts."""
        if is_tensor_of(self.graph, value) and (value.dtype.is_floating or value.dtype.is_integer):
            self._scalars[name] = value
            if name == "loss" and value.dtype.is_floating and self.phase == "training":
                self._out.look_at_loss(value)

    def batch(self, model: Any, data: Any, parcels: Parcels | None,
              routes: dict[str, Route]) -> None:
        """What the step is given. parcels: where it cannot call out. routes: what feeds which table,
        as far as earlier steps have found it."""
        self._ids = IdsTrace(self._monitor, Boundary(model, data), self._flow, parcels, routes,
                             self._out)
        self._data = [x for x in tf.nest.flatten(data) if is_tensor_of(self.graph, x)]
        sized = [x for x in self._data if x.shape.rank]
        if sized:
            self._scalars["batch_size"] = tf.shape(sized[0])[0]

    # ---- optimizer.apply

    def before_apply(self, optimizer: Any, grads: Sequence[Any], variables: Sequence[Any]) -> Any:
        """Activations, gradients as they come, weights. Returns what after_apply() needs."""
        if not self.applied:
            self.scalar("learning_rate", tf.convert_to_tensor(optimizer.learning_rate))
        self.applied.append(optimizer)
        pairs = []
        for grad, variable in zip(grads, variables):
            target = self._targets.of_variable(variable)
            if target is not None:
                if grad is not None:
                    self._flow.gradient(target.ident, grad)
                pairs.append(Pair(target, grad, variable))
        kept = self._out.before_apply(optimizer, self._take_outputs(), pairs, loss_scale(optimizer))
        self._leave_out(optimizer, variables)
        return kept

    def behind_posts(self, grads: Sequence[Any]) -> list[Any]:
        """The same gradients, as before_apply() was given them, for the optimizer."""
        return self._out.behind_posts(grads)

    def after_apply(self, kept: Any) -> None:
        """Updates: new minus old."""
        self._out.after_apply(kept)

    def _take_outputs(self) -> list[Post]:
        """The activations that are not yet taken. Those of the step are none of a graph within it."""
        if not self.is_current():
            return []
        taken, self._activations = self._activations, []
        return taken

    def _leave_out(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Remembers what the model calls trainable and no optimizer is given, as it is before the
        first of them is applied: nothing should change it, and mostly that is a mistake."""
        given = {id(x) for x in variables}
        first = not self._given
        self._given |= given
        if not first or not self.is_current() or not self._shows_weights:
            return
        left = [(self._targets.of_variable(x), x) for x in self._targets.trainable()
                if id(x) not in given]
        self._left = [Pair(target, None, x) for target, x in left if target is not None]
        if self._left:
            self._kept_left = self._out.keep_left(optimizer, self._left)

    # ---- the end

    def abandon(self) -> None:
        """The step has raised."""
        self._flow.abandon()
        if self._ids is not None:
            self._ids.abandon()

    def end(self, logs: Any) -> None:
        """Posts activations and scalars, and ends the step once all posts have been made."""
        self._targets.declare_all()
        if self.phase == "training":
            self._losses(logs)
        else:
            self._scalars.clear()
        # Of these a later optimizer of the step may have been given some.
        left = [x for x in self._left if id(x.variable) not in self._given]
        before = list(self._data)  # without data, at an epoch's end, there is no step
        if self.graph is not None:
            before += [op for op in self.graph.get_operations()[self._first_op:]
                       if op.type in _HOLDERS]
        with tf.control_dependencies(before):
            self._out.end(self._take_outputs(), self._scalars, left, self._kept_left)
            self._executed.assign_add(1)

    def _losses(self, logs: Any) -> None:
        """Where the step computed its loss in its own way: what it returned under such a name."""
        if "loss" in self._scalars or not isinstance(logs, dict):
            return
        for name, value in logs.items():
            if isinstance(name, str) and "loss" in name:
                self.scalar(_keras_paths.word(name), value)


def _set_control(control: Control, ask: Callable[[], Wants]) -> None:
    """To what ask() wants when the step runs."""

    def call() -> Any:
        control.set_by_graph()
        return np.array(control_row(ask()), np.int64)

    row = tf.numpy_function(call, [], tf.int64)
    control.variable.assign(tf.ensure_shape(row, [CONTROL]))
