"""What goes into the embeddings of a step as it is traced: the ids as they reach each table, before
the look-up, and as the user fed them.

The look-up waits for the post, so that the ids are with the monitor even where TensorFlow then
raises. At a step that is not sampled they are posted where some are wrong: a look at them costs a few
microseconds. A step compiled by XLA cannot call out: it gives the ids back beside its results, and
they are posted when it has ended.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from . import _keras_masks, _keras_paths
from ._keras_boundary import Boundary
from ._keras_flow import Flow, dims_of
from ._monitor import Monitor


def are_ids(tensor: Any) -> bool:
    """In a dtype that the monitor reads; anything else is looked up in no table."""
    return bool(tensor.dtype.is_integer or tensor.dtype.is_bool or tensor.dtype in (
        tf.float16, tf.bfloat16, tf.float32, tf.float64))


def some_wrong(ids: Any, rows: int) -> Any:
    """Is an id among them that is no row of the table, or no whole number?"""
    if ids.dtype.is_floating:  # NaN, too
        nearest = tf.clip_by_value(tf.floor(ids), 0.0, min(rows - 1, float(ids.dtype.max)))
        return tf.reduce_any(tf.not_equal(nearest, ids))
    if ids.dtype.is_bool:
        return tf.constant(False)
    if ids.dtype.size < 4:
        ids = tf.cast(ids, tf.int32)
    unsigned = tf.uint32 if ids.dtype.size == 4 else tf.uint64  # so that what is below 0 is huge
    limit = tf.constant(min(rows, unsigned.max // 2 + 1), unsigned)
    return tf.reduce_max(tf.bitcast(ids, unsigned)) >= limit


def length_of(array: Any) -> int:
    """Of the sequences of ids in it; 0: these are no sequences."""
    return int(array.shape[-1]) if array.ndim >= 2 and array.shape[-1] > 1 else 0


class Route(NamedTuple):
    """What feeds a table."""

    name: str  # at the boundary
    rank: int | None  # of the ids as they reach it


class IdsPost(NamedTuple):
    """The ids of one step for one table."""

    target: int
    tensors: list[Any]  # the ids, and a mask where there is one
    is_fed: bool = False  # as the user fed them, by the name
    name: str = ""

    def make(self, monitor: Monitor, step: int, ids: Any, mask: Any = None) -> None:
        """With the tensors' arrays."""
        if self.is_fed:
            monitor.post_fed(self.target, self.name, step, ids, length_of(ids))
            return
        if mask is not None and mask.size != ids.size:
            mask = None
        monitor.post_ids(self.target, step, ids, mask, length_of(ids))


class Parcels:
    """What steps compiled by XLA give back beside their results, by the key of its post."""

    MARK = "embmon"

    def __init__(self) -> None:
        self._posts: list[IdsPost] = []
        self._packed: dict[str, tuple[Any, ...]] = {}  # of the step that is traced
        self.is_used = False  # by any step

    def add(self, post: IdsPost) -> None:
        self._packed[str(len(self._posts))] = tuple(post.tensors)
        self._posts.append(post._replace(tensors=[]))

    def pack(self, results: Any) -> Any:
        """What the step gives instead of its results."""
        packed, self._packed = self._packed, {}
        self.is_used = True
        return results, {self.MARK: packed}

    def drop(self) -> None:
        """The step that was traced has raised."""
        self._packed = {}

    def unpack(self, given: Any) -> tuple[Any, list[tuple[IdsPost, tuple[Any, ...]]]]:
        """The results, and the posts with their arrays."""
        if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)
                and list(given[1]) == [self.MARK]):
            return given, []
        return given[0], [(self._posts[int(key)], tensors)
                          for key, tensors in given[1][self.MARK].items()]


class IdsTrace:
    """Of one step."""

    def __init__(self, monitor: Monitor, boundary: Boundary, flow: Flow, parcels: Parcels | None,
                 routes: dict[str, Route], out: Any) -> None:
        """parcels: of a step that cannot call out. routes: what earlier steps have found. out: how
        they get out, a Gated or a Native."""
        self._reached: set[str] = set()  # paths
        self._routes = routes
        self._monitor = monitor
        self._boundary = boundary
        self._flow = flow
        self._parcels = parcels
        self._out = out

    def before_lookup(self, entry: _keras_paths.Layer, ids: Any) -> Any:
        """What the layer is to look up: the same ids, once they are posted."""
        self._reached.add(entry.path)
        if not are_ids(ids):
            return ids
        dims = dims_of(ids.shape)
        whole = dims is not None and type(entry.layer).__name__ == "Embedding" \
            and entry.probe is entry.layer and len(dims) < 8
        wanted = "ids" in self._monitor.signals
        mask = self._mask(entry, ids) if wanted else None
        target = self._flow.declare(entry, shape=[*dims, entry.columns] if whole else None,
                                    dtype=entry.layer.compute_dtype,
                                    mask="unknown" if mask is None else "passed")
        if target is None or not wanted:
            return ids
        posts: list[IdsPost] = []
        usual = self._routes.get(entry.path)
        fed = self._boundary.source(ids, usual and usual.name)
        if fed is not None:
            self._routes[entry.path] = Route(fed.name, ids.shape.rank)
            if are_ids(fed.tensor):
                posts.append(IdsPost(target, [fed.tensor], True, fed.name))
        posts.append(IdsPost(target, [ids] if mask is None else [ids, mask]))
        return self._give(ids, posts, entry.rows)

    def abandon(self) -> None:
        """The step has raised: what was fed to the tables that it did not come to."""
        if self._parcels is not None:
            self._parcels.drop()
        for path, route in self._routes.items():
            fed = next((x for x in self._boundary.fed if x.name == route.name), None)
            if fed is not None and path not in self._reached:
                self._flow.fed(path, fed.tensor, route.rank)

    def _mask(self, entry: _keras_paths.Layer, ids: Any) -> Any:
        """The mask that follows from these ids; None: there is none."""
        if entry.padding_id is None or entry.probe is not entry.layer:
            return None
        mask = entry.layer.compute_mask(ids, _keras_masks.mask_of(ids))
        if not isinstance(mask, tf.Tensor) or mask.dtype != tf.bool:
            return None
        return mask

    def _give(self, ids: Any, posts: list[IdsPost], rows: int) -> Any:
        if self._parcels is not None:
            for post in posts:
                self._parcels.add(post)
            return ids
        with tf.control_dependencies([self._out.ids(posts, ids, rows)]):
            return _keras_masks.same(ids)
