"""What a step is given, and which part of it a tensor within the step was made from: so that ids can
be shown as the user fed them, before Keras casts them to the dtype of an Input.

In a graph the operations between are followed back. Casts are left out; what changes the shape or
takes a part (Reshape, ExpandDims, StridedSlice, ...) is done again with what was fed, so that both
hold the same ids in the same order. Anything else ends the search: what a table of strings or an
arithmetic made is not what was fed.
"""

from typing import Any, Iterator, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from . import _keras_paths

_SAME = frozenset(("Cast", "EnsureShape", "Identity", "PreventGradient", "Snapshot", "StopGradient"))
# Done again; which of the inputs holds the ids.
_MOVES = {"ExpandDims": 0, "Reshape": 0, "Slice": 0, "Split": 1, "SplitV": 0, "Squeeze": 0,
          "StridedSlice": 0, "Transpose": 0, "Unpack": 0}
_FAR = 32  # operations between


class Fed(NamedTuple):
    """One tensor of what the step was given."""

    name: str  # of the Input, else the key in a dict, else by its position
    tensor: Any


def _named(x: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of dicts, lists and tuples; the name "" where there is no key."""
    if isinstance(x, dict):
        for key, value in x.items():
            yield from _named(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(x, (list, tuple)):
        for n, value in enumerate(x):
            yield from _named(value, f"{prefix}/{n}" if prefix else "")
    elif x is not None:
        yield prefix, x


def _input_names(model: Any) -> list[str]:
    """Of a functional or sequential model; [] of others."""
    try:
        return [x._keras_history.operation.name for x in model.inputs]
    except (AttributeError, TypeError, ValueError):  # subclassed, or not built
        return []


def _name_all(model: Any, data: Any) -> list[tuple[str, Any]]:
    try:
        x = keras.utils.unpack_x_y_sample_weight(data)[0]
    except (TypeError, ValueError):  # a step of the user's own, with data of its own
        x = data
    named = list(_named(x))
    inputs = _input_names(model)
    if len(inputs) == len(named) and not any(name for name, _ in named):
        named = [(name, tensor) for name, (_, tensor) in zip(inputs, named)]
    named = [(name or f"input_{n}", tensor) for n, (name, tensor) in enumerate(named)]
    seen = {id(tensor) for _, tensor in named}
    named += [(name or f"data_{n}", tensor) for n, (name, tensor) in enumerate(_named(data))
              if id(tensor) not in seen]
    return named


class Boundary:
    """Of one step."""

    def __init__(self, model: Any, data: Any) -> None:
        self.fed = [Fed(_keras_paths.path_of(name) or "input", tensor)
                    for name, tensor in _name_all(model, data) if isinstance(tensor, tf.Tensor)]

    def source(self, tensor: Any, usual: str | None = None) -> Fed | None:
        """The ids that `tensor` holds, as they were fed; None: it was made of something else. usual:
        the name to prefer where several inputs were fed with the same."""
        for fed in self.fed:
            if fed.tensor is tensor:
                return fed
        if hasattr(tensor, "numpy"):  # eager: nothing to follow
            same = [fed for fed in self.fed if _holds(fed.tensor, tensor)]
            return next((fed for fed in same if fed.name == usual), same[0] if same else None)
        return self._follow(tensor, _FAR)

    def _follow(self, tensor: Any, far: int) -> Fed | None:
        for fed in self.fed:
            if fed.tensor is tensor:
                return fed
        op = tensor.op
        if far == 0 or not op.inputs:
            return None
        if op.type in _SAME:
            return self._follow(op.inputs[0], far - 1)
        place = _MOVES.get(op.type)
        found = None if place is None else self._follow(op.inputs[place], far - 1)
        if found is None or found.tensor is op.inputs[place]:  # no cast between
            return found and Fed(found.name, tensor)
        inputs = list(op.inputs)
        inputs[place] = found.tensor
        attributes = {name: value for name, value in op.node_def.attr.items()
                      if not name.startswith("_") and name != "T"}
        again = op.graph.create_op(op.type, inputs, [found.tensor.dtype] * len(op.outputs),
                                   attrs=attributes | {"T": tf.compat.v1.AttrValue(
                                       type=found.tensor.dtype.as_datatype_enum)},
                                   name="embmon_fed")
        return Fed(found.name, again.outputs[op.outputs.index(tensor)])


def _holds(fed: Any, tensor: Any) -> bool:
    """Are the values of `tensor` those that were fed, cast?"""
    if not (fed.dtype.is_integer or fed.dtype.is_floating) or tf.size(fed) != tf.size(tensor):
        return False
    with np.errstate(all="ignore"):
        cast = np.asarray(fed).astype(np.asarray(tensor).dtype)
    return np.array_equal(cast.ravel(), np.asarray(tensor).ravel(), equal_nan=cast.dtype.kind == "f")
