"""Which id of the monitor's a layer or a variable of the model has. Layers are declared when they
are first called while a step is traced: that is the forward order."""

import dataclasses
from typing import Any, Iterable, Sequence

from . import _keras_masks, _keras_paths
from ._arrays import is_dtype
from ._monitor import Monitor
from ._naming import matches


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a variable's samples go."""

    ident: int
    is_table: bool = False  # an embedding's: posted to the layer itself
    rows: int = 0  # of the variable


class Targets:
    """Of one model, for as long as the probes are in it."""

    def __init__(self, monitor: Monitor, model: Any, prefix: str = "",
                 patterns: Iterable[str] | None = None) -> None:
        self._monitor = monitor
        self._model = model
        self._prefix = prefix
        self._patterns = None if patterns is None else list(patterns)
        self._ids: dict[str, int] = {}  # of declared layers, by path
        self._variables: dict[int, Target | None] = {}
        self.layers: list[_keras_paths.Layer] = []
        self.maskers: list[_keras_paths.Layer] = []  # made of layers, and take a mask for them
        self.entered: set[str] = set()  # paths of those that were called
        self.walk()

    def walk(self) -> None:
        """Looks at the model anew: layers and variables may be made by its first call."""
        self.layers = _keras_paths.walk(self._model, self._prefix, self._patterns)
        entries = {entry.path: entry for entry in self.layers}
        self.maskers = [entries.get(x.path, x) for x in
                        _keras_paths.composed(self._model, self._prefix, self._patterns)
                        if _keras_masks.takes_mask(x.layer)]
        self._by_variable = {id(v.variable): v for entry in self.layers for v in entry.variables}

    def known(self, entry: _keras_paths.Layer) -> int | None:
        """The id of a layer that was declared."""
        return self._ids.get(entry.path)

    def declare(self, entry: _keras_paths.Layer, shape: Any = None, dtype: str | None = None,
                inputs: Sequence[int] = (), mask: str = "unknown") -> int | None:
        """The layer's id. shape, dtype: of its output, where they are known. inputs: the layers it
        reads. mask: what became of theirs."""
        known = self.known(entry)
        if known is not None:
            return known
        layer = entry.layer
        named: dict[str, Any] = {"inputs": inputs, "mask": mask}
        if shape is not None:
            named.update(shape=shape, dtype=dtype if is_dtype(dtype) else None)
        ident = self._monitor.declare_layer(
            entry.path, entry.kind, activation=entry.activation, rows=entry.rows,
            columns=entry.columns, padding_id=entry.padding_id, tied=entry.tied,
            trainable=entry.trainable or bool(layer.trainable and layer.trainable_variables), **named)
        if ident is not None:
            self._ids[entry.path] = ident
        return ident

    def declare_all(self) -> None:
        """Also those that were not called, after the others."""
        for entry in self.layers:
            self.declare(entry)

    def trainable(self) -> list[Any]:
        """What the model says is to be trained."""
        return list(self._model.trainable_variables)

    def of_variable(self, variable: Any) -> Target | None:
        """None for one that `layers` leaves out."""
        key = id(variable)
        if key not in self._variables:
            self._variables[key] = self._declare_variable(variable)
        return self._variables[key]

    def _declare_variable(self, variable: Any) -> Target | None:
        found = self._by_variable.get(id(variable))
        if found is None:
            self.walk()
            found = self._by_variable.get(id(variable)) or self._stray(variable)
        if found is None:
            return None
        layer = self.declare(found.layer)
        if layer is None:
            return None
        if not found.name:
            return Target(layer, True, int(variable.shape[0]))
        ident = self._monitor.declare_variable(
            layer, found.name, [int(n) for n in variable.shape], str(variable.dtype))
        rows = int(variable.shape[0]) if len(variable.shape) else 0
        return None if ident is None else Target(ident, False, rows)

    def _stray(self, variable: Any) -> _keras_paths.Variable | None:
        """A variable that is trained but lies in no layer of the model: by its own path."""
        if any(variable is v for v in self._model.variables):
            return None  # of the model, and left out by `layers`
        own = getattr(variable, "path", None) or variable.name
        path, _, name = _keras_paths.path_of(own.split(":")[0]).rpartition("/")
        path = "/".join(x for x in (self._prefix, path or "variables") if x)
        if not matches(path, self._patterns):
            return None
        entry = _keras_paths.Layer(path, variable, "other", None, True)
        entry.layer = _NoLayer()
        return _keras_paths.Variable(entry, name or "variable", variable)


class _NoLayer:
    trainable = True
    trainable_variables: tuple[Any, ...] = ()
