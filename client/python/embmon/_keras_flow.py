"""Shapes along a step as it is traced, and which layer reads which.

What a shape is compared with is the daemon's business; here it is found and posted when it is new:
each layer's output, and the inputs of layers that join several, before they join them.
"""

from typing import Any, Iterator, Mapping, Sequence

import tensorflow as tf

from . import _keras_masks, _keras_paths
from ._keras_targets import Targets
from ._monitor import Monitor

_JOINS = ("concatenate", "merge")
_FAR = 200  # operations between two layers
# Their outputs are not fused into what reads them, so that one more reader changes no number.
_UNFUSED = frozenset(("ConcatV2", "ExpandDims", "GatherV2", "Identity", "Reshape", "ResourceGather",
                      "Squeeze", "StridedSlice"))


def dims_of(shape: Any) -> list[int | None] | None:
    """None: of unknown or too high rank."""
    if shape.rank is None or shape.rank > 8:
        return None
    return list(shape.as_list())


def _symbolic(layer: Any, role: str) -> list[Any]:
    """Shapes as a functional model declares them; [] of a layer that is called elsewhere too."""
    try:
        return [x.shape for x in tf.nest.flatten(getattr(layer, role))]
    except (AttributeError, TypeError, ValueError):
        return []


def declared(layer: Any, role: str, index: int, dims: list[int | None]) -> list[int | None]:
    """dims, but None where the model itself says that they vary."""
    shapes = _symbolic(layer, role)
    if index < len(shapes) and len(shapes[index]) == len(dims):
        return [None if says is None else n for n, says in zip(dims, shapes[index])]
    return dims


class Flow:
    """Of one step."""

    def __init__(self, monitor: Monitor, targets: Targets, phase: str, shows: bool) -> None:
        """shows: the phase is watched, so shapes are posted."""
        self._monitor = monitor
        self._targets = targets
        self._phase = phase
        self._shows = shows
        self._made: dict[int, tuple[Any, _keras_paths.Layer]] = {}  # by id of the tensor, kept alive
        self._begun: dict[int, tuple[_keras_paths.Layer, list[Any]]] = {}  # by id of the layer
        self._called: dict[int, _keras_masks.Called] = {}  # the same
        self._within = 0  # layers made of others, that have got a mask for them
        self._used: dict[int, Any] = {}  # by id: their outputs, where they have used up the mask

    def begin(self, entry: _keras_paths.Layer, inputs: Any) -> None:
        """A layer is about to be called; nothing of it has been checked or built yet."""
        tensors = [x for x in tf.nest.flatten(inputs) if isinstance(x, tf.Tensor)]
        self._begun[id(entry)] = (entry, tensors)

    def call(self, entry: _keras_paths.Layer, arguments: Sequence[Any],
             named: Mapping[str, Any]) -> None:
        """Keras calls it now, with these."""
        if id(entry) in self._begun and self._targets.known(entry) is None:
            self._called[id(entry)] = _keras_masks.called(
                entry.probe, self._begun[id(entry)][1], arguments, named)

    def enter(self, entry: _keras_paths.Layer, arguments: Sequence[Any],
              named: Mapping[str, Any]) -> Any:
        """Of a layer made of others that takes a mask for them: Keras calls it now, with these. Not
        None when a mask has come: then leave() is to follow, and what the layers in it make of the
        mask is between them."""
        inputs = arguments[0] if arguments else next(iter(named.values()), None)
        tensors = [x for x in _keras_masks.leaves(inputs) if isinstance(x, tf.Tensor)]
        call = _keras_masks.called(entry.layer, tensors, arguments, named)
        if call.missed and entry.path not in self._targets.entered:  # for this alone it is shown
            self._targets.declare(entry, inputs=self._sources(tensors), mask="missed")
        self._targets.entered.add(entry.path)
        if not call.came:
            return None
        self._within += 1
        return call

    def leave(self, entry: _keras_paths.Layer, call: _keras_masks.Called, output: Any) -> None:
        """output: None where it has raised."""
        self._within -= 1
        tensors = [x for x in _keras_masks.leaves(output) if isinstance(x, tf.Tensor)]
        if tensors and _keras_masks.became(entry.layer, call, tensors) != "passed":
            self._used.update((id(x), x) for x in tensors)

    def declare(self, entry: _keras_paths.Layer, output: Any = None, shape: Any = None,
                dtype: str | None = None, mask: str = "unknown") -> int | None:
        """Its id. output: the tensor it gave, else what is known of it."""
        known = self._targets.known(entry)
        if known is not None:
            return known
        if output is not None:
            shape, dtype = dims_of(output.shape), output.dtype.name
        if shape is not None:
            shape = declared(entry.layer, "output", 0, shape)
        _, tensors = self._begun.get(id(entry), (entry, []))
        return self._targets.declare(entry, shape, dtype, self._sources(tensors), mask)

    def end(self, entry: _keras_paths.Layer, output: Any) -> int | None:
        """It has been called. Gives its id."""
        tensors = [x for x in tf.nest.flatten(output) if isinstance(x, tf.Tensor)]
        if not tensors:
            return None
        shown = next((x for x in tensors if x.dtype.is_floating), tensors[0])
        ident = self.declare(entry, shown, mask=self._mask(entry, tensors))
        for tensor in tensors:
            self._made[id(tensor)] = (tensor, entry)
        _, inputs = self._begun.pop(id(entry), (entry, []))
        if entry.kind in _JOINS or entry.kind == "embedding":
            self._post_inputs(entry, ident, inputs)
        self._post(ident, "output", entry, shown)
        return ident

    def gradient(self, target: int, grad: Any) -> None:
        """Of a variable."""
        shape = grad.shape
        if isinstance(grad, tf.IndexedSlices) and shape.rank is None:
            shape = tf.TensorShape([None]).concatenate(grad.values.shape[1:])
        dims = dims_of(shape)
        if self._shows and dims is not None:
            self._monitor.post_shape(self._phase, target, "gradient", dims, dtype=grad.dtype.name)

    def abandon(self) -> None:
        """The step has raised: the layers that were begun and not ended are where."""
        for entry, inputs in list(self._begun.values()):
            self._post_inputs(entry, self.declare(entry), inputs)
        self._begun.clear()

    def fed(self, path: str, tensor: Any, rank: int | None) -> None:
        """What a table was to be called with, if nothing had raised; Keras makes [n] to [n, 1]."""
        dims = dims_of(tensor.shape)
        entry = next((x for x in self._targets.layers if x.path == path), None)
        if dims is not None and entry is not None and self._shows:
            dims += [1] if len(dims) + 1 == rank else []
            self._monitor.post_shape(self._phase, self.declare(entry), "input", dims, inputs=1,
                                     dtype=tensor.dtype.name)

    # ---- what is only known when the step runs

    def run_time(self, entry: _keras_paths.Layer, inputs: Any) -> list[Any]:
        """Of a layer that joins: its inputs, where a dimension beside the batch is not known yet and
        reading it changes nothing; [] otherwise."""
        tensors = tf.nest.flatten(inputs)
        if entry.kind not in _JOINS or not self._shows or tf.executing_eagerly():
            return []
        if not all(isinstance(x, tf.Tensor) and not hasattr(x, "numpy")  # a constant of the model
                   and x.shape.rank is not None and x.shape.rank <= 8 for x in tensors):
            return []
        if entry.kind == "merge" and not all(x.op.type in _UNFUSED for x in tensors):
            return []
        if all(x.shape[1:].is_fully_defined() for x in tensors):
            return []
        return tensors

    def post_run_time(self, entry: _keras_paths.Layer, shapes: Any) -> None:
        """shapes: one array for each input."""
        ident = self._targets.known(entry) or self._targets.declare(entry)
        for n, shape in enumerate(shapes):
            dims = [None, *(int(x) for x in shape[1:])]
            self._monitor.post_shape(self._phase, ident, "input", dims, index=n, inputs=len(shapes),
                                     axis=self._axis(entry))

    # ---- within

    def _mask(self, entry: _keras_paths.Layer, outputs: list[Any]) -> str:
        """What became of it in a layer that has been called."""
        call = self._called.pop(id(entry), None)
        if entry.padding_id is not None and \
                type(entry.probe).compute_mask is _keras_masks.OF_TABLES:
            return "passed"
        if call is None or self._within:
            return "unknown"
        word = _keras_masks.became(entry.probe, call, outputs)
        if word in ("none", "missed") and any(
                id(x) in self._used for x in self._back(self._begun[id(entry)][1])):
            return "unknown"
        return word

    def _axis(self, entry: _keras_paths.Layer) -> int:
        axis = getattr(entry.layer, "axis", -1) if entry.kind == "concatenate" else 0
        return axis if isinstance(axis, int) and -8 <= axis < 8 else 0

    def _post(self, ident: int | None, role: str, entry: _keras_paths.Layer, tensor: Any,
              **named: Any) -> None:
        dims = dims_of(tensor.shape)
        if dims is None or ident is None or not self._shows:
            return
        dims = declared(entry.layer, role, named.get("index", 0), dims)
        self._monitor.post_shape(self._phase, ident, role, dims, dtype=tensor.dtype.name, **named)

    def _post_inputs(self, entry: _keras_paths.Layer, ident: int | None, inputs: list[Any]) -> None:
        if len(inputs) > 64:
            return
        for n, tensor in enumerate(inputs):
            self._post(ident, "input", entry, tensor, index=n, inputs=len(inputs),
                       axis=self._axis(entry))

    def _sources(self, tensors: list[Any]) -> list[int]:
        """The layers that these were made by."""
        made = [self._made.get(id(x)) for x in self._back(tensors)]
        found = {self._targets.known(x[1]): None for x in made if x is not None}
        found.pop(None, None)
        return list(found)[:64]

    def _back(self, tensors: list[Any]) -> Iterator[Any]:
        """These and what they were made of, through operations that belong to no layer."""
        waiting, seen = list(reversed(tensors)), set()
        while waiting and len(seen) < _FAR:
            tensor = waiting.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            yield tensor
            if id(tensor) not in self._made and not hasattr(tensor, "numpy"):
                waiting.extend(reversed(list(tensor.op.inputs)))
