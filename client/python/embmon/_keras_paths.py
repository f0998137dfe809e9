"""The layers of a Keras model as the monitor names them: where each is, what it is, and what its
variables are called.

A variable's own path in Keras lacks the inner models it lies in, and two inner models may use the
same names; so the model is walked, and a variable is known by its identity.
"""

import dataclasses
import re
from typing import Any, Iterable, Iterator, NamedTuple

from ._naming import matches

NAME_MAX = 255  # bytes of a path, as EMBMON_NAME_MAX

# By class name, the first that fits; a subclass counts as what it derives from.
_KINDS = (
    ("embedding", ("Embedding", "ReversibleEmbedding")),
    ("recurrent", ("RNN", "ConvLSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")),
    ("attention", ("MultiHeadAttention", "GroupedQueryAttention", "Attention", "AdditiveAttention")),
    ("norm", ("BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization",
              "RMSNormalization", "SpectralNormalization", "InstanceNormalization")),
    ("conv", ("BaseConv", "BaseConvTranspose", "BaseDepthwiseConv", "BaseSeparableConv")),
    ("dense", ("Dense", "EinsumDense")),
    ("concatenate", ("Concatenate",)),
    ("merge", ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")),
    ("pooling", ("GlobalAveragePooling1D",)),  # AveragePooling1D knows no mask: it never divides by 0
)
_ACTIVATION_LAYERS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu",
                      "Softmax": "softmax"}


@dataclasses.dataclass(eq=False)
class Variable:
    """One variable and its name below its layer; "" for an embedding's table."""

    layer: "Layer"
    name: str
    variable: Any  # keras.Variable

    @property
    def path(self) -> str:
        return f"{self.layer.path}/{self.name}" if self.name else self.layer.path


@dataclasses.dataclass(eq=False)
class Layer:
    """A leaf of the model, or a layer that has variables of its own beside its inner layers."""

    path: str
    layer: Any  # keras.Layer
    kind: str
    activation: str | None
    trainable: bool
    rows: int = 0  # embeddings: number of ids
    columns: int = 0  # embeddings: width of a row
    padding_id: int | None = None
    tied: bool = False  # the table is another layer's matrix, too
    probe: Any = None  # the layer whose output is this one's activation; None: there is none
    variables: list[Variable] = dataclasses.field(default_factory=list)


def word(name: str) -> str:
    """`name` as one part of a path: what the daemon does not allow becomes "_"."""
    clean = re.sub(r"[^A-Za-z0-9_.=+-]", "_", name) or "_"
    return clean if re.match(r"[A-Za-z0-9_]", clean) else "_" + clean


def path_of(text: str) -> str:
    """Every part of a path made a word, the whole cut to what fits."""
    path = "/".join(word(part) for part in text.split("/") if part)
    if len(path) <= NAME_MAX:
        return path
    return path[:120] + "..." + path[-(NAME_MAX - 123):]


def kind_of(layer: Any) -> str:
    names = {cls.__name__ for cls in type(layer).__mro__}
    for kind, classes in _KINDS:
        if not names.isdisjoint(classes):
            return kind
    return "other"


def activation_of(layer: Any) -> str | None:
    """"relu", "sigmoid", ... or None; an own function gives its name."""
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", None) or getattr(activation, "name", None)
    if name is None:
        name = _ACTIVATION_LAYERS.get(type(layer).__name__)
    return word(name)[:63] if isinstance(name, str) else None


def _inner_layers(layer: Any) -> list[Any]:
    """What a layer is made of, in its own order; a recurrent layer's cell is part of it."""
    if kind_of(layer) == "recurrent":
        return []
    inner = getattr(layer, "layers", None)  # of a model: topological order
    if not isinstance(inner, (list, tuple)):
        inner = layer._flatten_layers(include_self=False, recursive=False)
    return [x for x in inner if type(x).__name__ != "InputLayer"]


def _own_variables(layer: Any, inner: list[Any]) -> list[Any]:
    """The layer's variables that none of its inner layers has; random states are not weights."""
    below = {id(v) for x in inner for v in x.variables}
    own = {id(v): v for v in layer.weights if id(v) not in below}
    return list(own.values())


def is_floating(dtype: Any) -> bool:
    return str(dtype) in ("float16", "bfloat16", "float32", "float64")


class _Found(NamedTuple):
    path: str
    layer: Any
    probe: Any  # as of Layer
    own: list[Any]  # its own variables
    composed: bool = False  # it is made of others and has no variables of its own


def _walk(layer: Any, prefix: str, seen: set[int], probed: bool = True) -> Iterator[_Found]:
    """All below, in forward order; a shared layer once, where it comes first. probed: False below
    a TimeDistributed, which calls what it holds once for each point in time, perhaps in a graph of
    its own: its own output stands for them."""
    taken: set[str] = set()
    for child in _inner_layers(layer):
        if id(child) in seen:
            continue
        seen.add(id(child))
        base = name = word(child.name)
        for n in range(2, 1 << 20):
            if name not in taken:
                break
            name = f"{base}.{n}"  # siblings that the user named alike
        taken.add(name)
        path = f"{prefix}/{name}" if prefix else name
        inner = _inner_layers(child)
        own = _own_variables(child, inner)
        if type(child).__name__ == "TimeDistributed":
            yield from _walk_over_time(child, path, seen, probed)
            continue
        yield _Found(path, child, child if probed and not inner else None, own, inner and not own)
        yield from _walk(child, path, seen, probed)


def _walk_over_time(wrapper: Any, path: str, seen: set[int], probed: bool) -> Iterator[_Found]:
    below = [x for x in _walk(wrapper, path, seen, False) if not x.composed]
    outputs = wrapper if probed else None
    if len(below) == 1:  # a plain layer: the wrapper's output is that layer's
        yield below[0]._replace(probe=outputs)
    else:
        yield _Found(path, wrapper, outputs, [])
        yield from below


def _name_variables(entry: Layer, own: list[Any], claimed: dict[int, Layer]) -> None:
    taken: set[str] = set()
    for variable in own:
        if id(variable) in claimed:  # it is named where it comes first
            claimed[id(variable)].tied = True
            continue
        if not is_floating(variable.dtype):
            continue
        claimed[id(variable)] = entry
        parts = variable.path.split("/")
        name = word(parts[-1])
        if name in taken:  # the cells of a stack
            name = word(".".join(parts[-2:]))
        base = name
        for n in range(2, 1 << 20):
            if name not in taken:
                break
            name = f"{base}.{n}"
        taken.add(name)
        is_table = entry.kind == "embedding" and not entry.rows and len(variable.shape) == 2
        if is_table:
            entry.rows, entry.columns = (int(n) for n in variable.shape)
            name = ""
        entry.variables.append(Variable(entry, name, variable))


def walk(model: Any, prefix: str = "", patterns: Iterable[str] | None = None) -> list[Layer]:
    """The layers of `model` that `patterns` name, in forward order as far as Keras knows it.
    prefix: put before every path."""
    patterns = None if patterns is None else list(patterns)
    claimed: dict[int, Layer] = {}
    found = []
    for path, layer, probe, own, composed in _walk(model, path_of(prefix), {id(model)}):
        if composed:
            continue
        entry = Layer(path=path_of(path), layer=layer, kind=kind_of(layer),
                      activation=activation_of(layer), probe=probe,
                      trainable=bool(layer.trainable and any(v.trainable for v in own)))
        _name_variables(entry, own, claimed)
        if entry.kind == "embedding":
            if not entry.rows:  # not built yet
                entry.rows, entry.columns = int(layer.input_dim), int(layer.output_dim)
            if getattr(layer, "mask_zero", False):
                entry.padding_id = 0
            entry.tied = entry.tied or bool(getattr(layer, "tie_weights", False))
        found.append(entry)
    own = [v for v in _own_variables(model, _inner_layers(model)) if id(v) not in claimed]
    if own:  # of a subclassed model itself
        entry = Layer(path=path_of("/".join(x for x in (prefix, word(model.name)) if x)), layer=model,
                      kind="other", activation=None, trainable=bool(model.trainable))
        _name_variables(entry, own, claimed)
        found.append(entry)
    return [entry for entry in found if matches(entry.path, patterns)]


def composed(model: Any, prefix: str = "", patterns: Iterable[str] | None = None) -> list[Layer]:
    """Those that are made of others, models within it too; most are no layers of walk()'s."""
    patterns = None if patterns is None else list(patterns)
    return [Layer(path=path_of(x.path), layer=x.layer, kind=kind_of(x.layer), activation=None,
                  trainable=bool(x.layer.trainable and x.layer.trainable_variables))
            for x in _walk(model, path_of(prefix), {id(model)})
            if _inner_layers(x.layer) and x.probe is None and matches(path_of(x.path), patterns)]
