"""Puts the probes into a Keras model on the TensorFlow backend, and takes them out again.

Replaced on the instances: the model's train_step, test_step, predict_step and compute_loss, the
functions made of them, apply of its optimizers, and call of its layers. Functions that Keras traced
before would bypass them, so they are made anew on entering and on leaving.
"""

from typing import Any, Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from ._keras_control import Control
from ._keras_functions import STEPS, Functions
from ._keras_graph import GraphSink
from ._keras_ids import Route
from ._keras_native import is_available, open_gate, shut_gate, step_ends
from ._keras_sink import HostSink
from ._keras_targets import Targets
from ._keras_trace import StepTrace
from ._monitor import Monitor, Wants
from ._patches import Patches


def is_optimizer(value: Any) -> bool:
    return callable(getattr(value, "apply_gradients", None)) and callable(
        getattr(value, "apply", None)) and hasattr(value, "learning_rate")


def _within(value: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Optimizers in an attribute's value: ("", it), or with its place in a list or dict."""
    if is_optimizer(value):
        yield "", value
    elif depth and isinstance(value, dict):
        for key, inner in list(value.items()):
            yield from ((f"[{key!r}]{place}", x) for place, x in _within(inner, depth - 1))
    elif depth and isinstance(value, (list, tuple)):
        for n, inner in enumerate(value):
            yield from ((f"[{n}]{place}", x) for place, x in _within(inner, depth - 1))


def find_optimizers(model: Any, given: Iterable[Any] | None = None) -> dict[str, Any]:
    """Every optimizer that is an attribute of the model or of a model within it, or given, by a name
    for the user. The inner one of a loss-scaling optimizer is part of that."""
    found: dict[int, tuple[str, Any]] = {}
    for n, optimizer in enumerate(given or ()):
        found.setdefault(id(optimizer), (f"optimizers[{n}]", optimizer))
    models = [model] + [x for x in model._flatten_layers(include_self=False)
                        if hasattr(x, "train_step")]
    for owner in models:
        label = "model" if owner is model else owner.name
        # Keras keeps some attributes a second time in its own, which begin with "_".
        for attribute, value in sorted(vars(owner).items(), key=lambda x: x[0].startswith("_")):
            for place, optimizer in _within(value):
                found.setdefault(id(optimizer), (f"{label}.{attribute}{place}", optimizer))
    inner = {id(x.inner_optimizer) for _, x in found.values() if hasattr(x, "inner_optimizer")}
    return {name: x for key, (name, x) in found.items() if key not in inner}


def is_reversed(entry: Any, arguments: Any, named: Any) -> bool:
    """Does a table give the logits of what it is called with, and no rows?"""
    return entry.kind == "embedding" and bool(named.get("reverse") or arguments[1:2] == (True,))


class Probes:
    """In one model, from install() to uninstall()."""

    def __init__(self, monitor: Monitor, model: Any, targets: Targets,
                 optimizers: Iterable[Any] | None, routes: dict[str, Route]) -> None:
        """routes: what feeds which table, as found so far; added to."""
        self.monitor = monitor
        self.model = model
        self.targets = targets
        self.optimizers = find_optimizers(model, optimizers)
        self.applied: set[int] = set()  # ids of the optimizers whose apply was traced
        self.active: set[str] = set()  # phases that run under the callback
        self._patches = Patches()
        self._functions = Functions(monitor, model, self.active)
        self._routes = routes
        self._probed: set[int] = set()
        self._trace: StepTrace | None = None
        self._in_graph = int(getattr(model, "steps_per_execution", 1) or 1) > 1
        self._was_built = bool(model.built) and all(x.built for x in model._flatten_layers())
        self._compiled = GraphSink(monitor) if model.jit_compile else None
        self._sink: Any = self._compiled or HostSink(monitor)
        self._before: list[tuple[Any, Any]] = []  # weights, where the step cannot show its updates
        # On the host: what is decided there is read there. XLA wants all in one place.
        device = None if self._compiled else "CPU:0"
        self._controls = {p: Control(device, self._compiled is not None) for p in STEPS}
        with tf.init_scope(), tf.device(device):
            self._executed = {p: tf.Variable(0, dtype=tf.int64, trainable=False) for p in STEPS}
        self._ran = dict.fromkeys(STEPS, 0)
        self._gates: dict[str, int] = {}
        if not self._in_graph and not self._compiled and not model.run_eagerly and is_available():
            self._gates = {p: gate for p in STEPS if (gate := monitor.gate()) is not None}
        self._step_ends = {p: step_ends(gate) for p, gate in self._gates.items()}

    # ---- in and out

    def install(self, abandoned: Callable[[], None]) -> None:
        """abandoned: called when a new fit() begins while the probes are still in, because the last
        one raised: Keras tells no callback then."""
        for phase, name in STEPS.items():
            self._patches.replace(self.model, name,
                                  lambda step, phase=phase: self._wrap_step(step, phase))
        self._patches.replace(self.model, "compute_loss", self._wrap_loss)
        for optimizer in self.optimizers.values():
            self._patches.replace(optimizer, "apply",
                                  lambda apply, o=optimizer: self._wrap_apply(apply, o))
        self._probe_layers()
        self._functions.install(self._patches, lambda: self._try(abandoned))

    def uninstall(self) -> None:
        for gate in self._gates.values():
            shut_gate(gate)
        self._patches.restore()
        self._functions.uninstall()

    def _probe_layers(self) -> bool:
        """True when there were layers without a probe."""
        new = [x for x in self.targets.layers
               if x.probe is not None and id(x.probe) not in self._probed]
        for entry in new:
            self._probed.add(id(entry.probe))
            if hasattr(entry.probe, "_assert_input_compatibility"):  # the first that Keras calls
                self._patches.replace(entry.probe, "_assert_input_compatibility",
                                      lambda check, e=entry: self._wrap_check(check, e))
            self._patches.replace(entry.probe, "call", lambda call, e=entry: self._wrap_call(call, e))
        for entry in self.targets.maskers:
            if id(entry.layer) not in self._probed:
                self._probed.add(id(entry.layer))
                self._patches.replace(entry.layer, "call",
                                      lambda call, e=entry: self._wrap_masker(call, e))
        return bool(new)

    def look_again(self) -> None:
        """After the first step of a model that was not built: its first call may have made layers."""
        if self._was_built:
            return
        self._was_built = True
        self.targets.walk()
        if self._probe_layers():
            self.model.make_train_function(force=True)

    # ---- steps, from outside

    def pass_by(self, phase: str) -> bool:
        """As begin(), where there is little to do: nothing is wanted of this step nor was of the last
        one, or its operations see to that. Most steps are such. False: it is not so, and nothing is
        done."""
        if self._in_graph or not self._was_built or not self.monitor.pass_by(
                phase, self._step_ends.get(phase), not self._gates or self._controls[phase].is_read):
            return False
        self._ran[phase] += 1
        return True

    def begin(self, phase: str) -> None:
        """Between the steps, on the training thread: the next one may run."""
        if self._in_graph:
            return
        self._collect()
        wants = self.monitor.begin(phase)
        if self._compiled:
            self._keep_weights(wants)
        self._controls[phase].set(wants)
        self._ran[phase] += 1
        self._open_gate(phase)

    def _open_gate(self, phase: str) -> None:
        """To the step under way."""
        gate = self._gates.get(phase)
        if gate is None:
            return
        step = self.monitor.step_of(phase)
        if step is None or self.monitor.failed:
            shut_gate(gate)
        else:
            open_gate(gate, step)

    def settle(self) -> None:
        """After the last step for a while: the one that begin() prepared ends if it ran."""
        for gate in self._gates.values():
            shut_gate(gate)
        phase = self.monitor.open_phase
        if phase is None:
            return
        if not self._in_graph and int(self._executed[phase].numpy()) < self._ran[phase]:
            self._ran[phase] -= 1
            self.monitor.cancel()
            self.disarm(phase)
            self._before = []
        else:
            self._collect()
            self.monitor.finish()

    def _collect(self) -> None:
        """What a step compiled by XLA left behind."""
        wants = self.monitor.open_wants
        if self._compiled is None or wants is None or not wants.sampled:
            return
        self._compiled.collect(wants.step)
        before, self._before = self._before, []
        for variable, old in before:
            target = self.targets.of_variable(variable)
            if target is None:
                continue
            if wants.weight:
                self.monitor.post(target.ident, "weight", wants.step, old)
            if wants.update:
                self.monitor.post(target.ident, "update", wants.step, variable.numpy() - old)

    def _keep_weights(self, wants: Wants) -> None:
        """Of what is about to be trained, copied between the steps. They are posted after the step:
        tracing the first one declares the layers, in forward order."""
        if wants.weight or wants.update:
            self._before = [(v, np.array(v.numpy())) for v in self.model.trainable_variables]

    def disarm(self, phase: str) -> None:
        """Nothing is wanted until begin() says so."""
        self._controls[phase].disarm()

    # ---- wrappers

    def _wrap_step(self, step: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def monitored_step(data: Any, *arguments: Any, **named: Any) -> Any:
            before = self._trace
            trace = self._start(phase, data)
            self._trace = trace or before
            try:
                logs = step(data, *arguments, **named)
                if trace is not None:
                    self._try(trace.end, logs)
                    if self._compiled is not None and self._functions.gives_parcels():
                        return self._functions.parcels.pack(logs)
            except Exception:
                if trace is not None:
                    self._try(trace.abandon)
                raise
            finally:
                self._trace = before
                if trace is not None:
                    self._functions.parcels.drop()
            return logs

        return monitored_step

    def _start(self, phase: str, data: Any) -> StepTrace | None:
        if self._trace is not None:
            return None  # a step within a step is part of it

        def begin() -> Wants:  # the user's own callbacks may run a phase that is not ours
            return self.monitor.begin(phase) if phase in self.active else Wants()

        def start() -> StepTrace:
            trace = StepTrace(self.monitor, self.targets, self._sink, phase, self._controls[phase],
                              self._executed[phase], phase in self.active,
                              begin if self._in_graph else None, self._gates.get(phase))
            trace.batch(self.model, data, self._functions.parcels if self._compiled else None,
                        self._routes)
            return trace

        return self._try(start)

    def _wrap_loss(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def compute_loss(*arguments: Any, **named: Any) -> Any:
            loss = compute(*arguments, **named)
            if self._trace is not None:
                self._try(self._trace.scalar, "loss", loss)
            return loss

        return compute_loss

    def _wrap_check(self, check: Callable[..., Any], entry: Any) -> Callable[..., Any]:
        def monitored_check(*arguments: Any, **named: Any) -> Any:
            if self._trace is not None and arguments:
                self._try(self._trace.begin_call, entry, arguments[0])
            return check(*arguments, **named)

        return monitored_check

    def _wrap_call(self, call: Callable[..., Any], entry: Any) -> Callable[..., Any]:
        def monitored_call(*arguments: Any, **named: Any) -> Any:
            if self._trace is None or is_reversed(entry, arguments, named):
                return call(*arguments, **named)
            arguments, named = self._before_call(entry, arguments, named)
            self._try(self._trace.call, entry, arguments, named)
            output = call(*arguments, **named)
            if self._trace is not None:
                self._try(self._trace.activation, entry, output)
            return output

        return monitored_call

    def _wrap_masker(self, call: Callable[..., Any], entry: Any) -> Callable[..., Any]:
        def monitored_call(*arguments: Any, **named: Any) -> Any:
            trace = self._trace
            entered = trace and self._try(trace.enter, entry, arguments, named)
            output = None
            try:
                output = call(*arguments, **named)
            finally:
                if entered:
                    self._try(trace.leave, entry, entered, output)
            return output

        return monitored_call

    def _before_call(self, entry: Any, arguments: Any, named: Any) -> tuple[Any, Any]:
        """The arguments of a layer, its inputs once they are posted."""
        if arguments:
            inputs = self._try(self._trace.before_call, entry, arguments[0])
            return (arguments if inputs is None else (inputs, *arguments[1:])), named
        if "inputs" in named:
            inputs = self._try(self._trace.before_call, entry, named["inputs"])
            return arguments, named if inputs is None else named | {"inputs": inputs}
        return arguments, named

    def _wrap_apply(self, apply: Callable[..., Any], optimizer: Any) -> Callable[..., Any]:
        def monitored_apply(grads: Any, trainable_variables: Any = None, **named: Any) -> Any:
            trace = self._trace
            if trace is None or trace.phase != "training":
                return apply(grads, trainable_variables, **named)
            self.applied.add(id(optimizer))
            grads = list(grads)  # read twice
            if trainable_variables is not None:
                trainable_variables = list(trainable_variables)
            variables = trainable_variables if trainable_variables is not None else \
                getattr(optimizer, "_trainable_variables", [])
            olds = self._try(trace.before_apply, optimizer, grads, variables)
            grads = self._try(trace.behind_posts, grads) or grads
            result = apply(grads, trainable_variables, **named)
            if olds:
                self._try(trace.after_apply, olds)
            return result

        return monitored_apply

    def _try(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(*arguments), or None once the monitor has failed."""
        if self.monitor.failed:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            self.monitor.fail(error)
            return None
