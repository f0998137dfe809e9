"""The masks that ride on Keras' tensors, and what becomes of them in each layer.

What comes to a layer is seen where it is called: Keras has put the masks into the arguments of
`call` by then. The output gets one after the call, if at all: that is known from the layer.

A functional model has masks from when it was made, too, and hands them over to layers of one
argument, even where those that ride on a step's own tensors are lost: MultiHeadAttention takes them
off what it is called with.
"""

from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import tensorflow as tf
from keras import Layer, layers

from . import _keras_paths

# Keras' own
_ADDS, _JOINS = layers.Add.compute_mask, layers.Concatenate.compute_mask
OF_TABLES = layers.Embedding.compute_mask


def mask_of(tensor: Any) -> Any:
    """None: it has none."""
    return getattr(tensor, "_keras_mask", None)


def same(tensor: Any) -> Any:
    """An equal tensor with the same mask: what layers compute of it depends on that, too."""
    copy = tf.identity(tensor)
    mask = mask_of(tensor)
    if mask is not None:
        copy._keras_mask = mask
    return copy


class Called(NamedTuple):
    """How a layer was called."""

    riding: list[bool]  # which of its first argument's tensors have a mask
    given: list[bool]  # and of the arguments for masks
    first: bool  # what Keras gives on has come: the mask of the first
    made: list[bool]  # as riding, when the functional model was made
    takes: bool  # it takes a mask, and computes with it
    missed: bool  # and nothing that it was called with has one

    @property
    def came(self) -> bool:
        return any(self.riding) or any(self.given)


def called(layer: Any, inputs: Sequence[Any], arguments: Sequence[Any],
           named: Mapping[str, Any]) -> Called:
    """inputs: the tensors of the first argument. arguments, named: of `call`."""
    names = [name for name in named if name == "mask" or name.endswith("_mask")]
    given = [x is not None for name in names for x in leaves(named[name])]
    riding = [mask_of(x) is not None for x in inputs]
    first = any(riding[:1]) or next(leaves(named.get("mask")), None) is not None
    takes = bool(names) and _computes_with_mask(layer)
    # A causal mask keeps what stands before from what is padded behind it.
    causal = named.get("use_causal_mask")
    missed = takes and not any(given) and (causal is None or causal is False) and not any(
        mask_of(x) is not None for x in leaves([*arguments, *named.values()]))
    return Called(riding, given, first, _made_with(layer)[:len(riding)], takes, missed)


def _made_with(layer: Any) -> list[bool]:
    """Which of its inputs, first those of its first argument, had a mask when the functional model
    was made; [] where it is called elsewhere, too."""
    nodes = getattr(layer, "_inbound_nodes", ())
    return [mask_of(x) is not None for x in nodes[0].input_tensors] if len(nodes) == 1 else []


def leaves(value: Any) -> Iterator[Any]:
    """Of lists, tuples and dicts, whatever they hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for x in value:
            yield from leaves(x)
    else:
        yield value


def takes_mask(composed: Any) -> bool:
    """Does a layer made of others take one for all of them? A model's is for its inputs, that of
    layers which hold another for that."""
    names = getattr(composed, "call_signature_parameters", ())
    return any(name == "mask" or name.endswith("_mask") for name in names) \
        and not hasattr(composed, "layers") and not isinstance(composed, (layers.Bidirectional, layers.Wrapper))


def _computes_with_mask(layer: Any) -> bool:
    """Does the mask that `call` takes change what it makes of the rest?"""
    if isinstance(layer, layers.TimeDistributed):  # calls another for each point in time
        inner = layer.layer
        return bool(getattr(inner, "_call_has_mask_arg", False)) and not hasattr(inner, "layers") \
            and _computes_with_mask(inner)
    if isinstance(layer, layers.Lambda):
        return bool(getattr(layer, "_fn_expects_mask_arg", False))
    # A norm leaves the padding out of its mean; with it the model is no worse, only another.
    return _keras_paths.kind_of(layer) != "norm" and not isinstance(layer, layers.Softmax)


def became(layer: Any, call: Called, outputs: Sequence[Any]) -> str:
    """What became of the mask, in a word of Client.layer(). outputs: as `call` gave them."""
    compute = type(layer).compute_mask
    knows = layer.supports_masking or call.takes
    if any(mask_of(x) is not None for x in outputs):
        return "passed"
    if call.missed:
        return "missed"
    if not call.came:
        if any(call.made) and not (all(call.made) if compute is _ADDS else knows):
            return "lost"
        return "none" if compute in (Layer.compute_mask, _ADDS, _JOINS) else "unknown"
    if compute is _ADDS:  # gives the sum a mask where all it adds have one
        return "passed" if all(call.riding) else "lost"
    if compute is _JOINS:
        return "passed"
    own_rule = compute is not Layer.compute_mask and not (
        compute.__module__.startswith("keras.") and getattr(layer, "return_sequences", False))
    if layer.supports_masking and call.first and not own_rule:
        return "passed"
    return "used" if knows else "lost"
