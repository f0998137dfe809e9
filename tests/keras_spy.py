"""For the tests of ids and shapes: what a callback posts, and which alerts came of it."""

import numpy as np

MODES = {"graph": {}, "eager": {"run_eagerly": True}, "compiled": {"jit_compile": True},
         "several": {"steps_per_execution": 2}}


class Spy:
    """What a callback posts, beside posting it: (path, step, array, the rest)."""

    def __init__(self, watch):
        self.ids, self.fed, self.shapes, self.layers, self.masks = [], [], [], {}, {}
        self.monitor = watch._monitor
        self.monitor.gate = lambda: None  # a graph's own operations would pass us by
        self.client = self.monitor.client
        self.paths = self.client._paths
        for name in ("post_ids", "post_fed", "post_shape", "layer"):
            setattr(self.client, name, getattr(self, name)(getattr(self.client, name)))

    def post_ids(self, real):
        def call(target, step, ids, mask=None, sequence_length=None):
            self.ids.append((self.paths[target], step, np.array(ids),
                             None if mask is None else np.array(mask), sequence_length))
            return real(target, step, ids, mask, sequence_length)

        return call

    def post_fed(self, real):
        def call(target, name, step, ids, sequence_length=None):
            self.fed.append((self.paths[target], step, np.array(ids), name))
            return real(target, name, step, ids, sequence_length)

        return call

    def post_shape(self, real):
        def call(target, step, role, dims, **named):
            self.shapes.append((self.monitor._phase, self.paths.get(target, target), role,
                                named["index"], dims))
            return real(target, step, role, dims, **named)

        return call

    def layer(self, real):
        def call(path, kind, **named):
            ident = real(path, kind, **named)
            self.masks[path] = named["mask"]
            self.layers[path] = (kind, [self.paths[n] for n in named["inputs"]])
            return ident

        return call


def alerts_of(daemon, watch, run="run"):
    """{detector: [changes to firing]} but for infos of the rows of a table."""
    assert watch.close(20) == 0
    assert daemon.stop() == 0
    found = {}
    for change in daemon.alerts_file(run):
        if change["state"] == "firing" and not change["detector"].startswith("rows_"):
            found.setdefault(change["detector"], []).append(change)
    return found
