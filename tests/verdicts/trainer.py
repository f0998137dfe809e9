"""One training beside embmond, and its record."""
import os

import keras
import numpy as np

import verdicts.faults as faults
import verdicts.models as models
import verdicts.record as record
from embmon.keras import EmbmonCallback
from own_record import StopAfter


def _schedule(model):
    rate, steps = model.rate, model.steps
    schedules = keras.optimizers.schedules
    return {
        None: lambda: rate,
        "cosine": lambda: schedules.CosineDecay(rate, steps),
        "restarts": lambda: schedules.CosineDecayRestarts(rate, steps // 4, t_mul=1.0),
        "exponential": lambda: schedules.ExponentialDecay(rate, steps // 4, 0.5),
        "staircase": lambda: schedules.PiecewiseConstantDecay([steps // 3, 2 * steps // 3],
                                                              [rate, rate / 10, rate / 100]),
        "warmup": lambda: schedules.CosineDecay(rate / 100, steps, warmup_target=rate,
                                                warmup_steps=steps // 8),
    }[model.options.get("schedule")]()


def _optimizer(model):
    kinds = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam,
             "adamw": keras.optimizers.AdamW, "adagrad": keras.optimizers.Adagrad,
             "rmsprop": keras.optimizers.RMSprop,
             "momentum": lambda rate, **named: keras.optimizers.SGD(rate, 0.9, **named)}
    return kinds[model.optimizer](_schedule(model), **model.options.get("clip", {}))


def _embeddings(model):
    """{path: layer}, also those that lie in a layer of the model's own."""
    found = {}
    for path, layer in record.leaves(model).items():
        inner = [x for x in layer._flatten_layers() if isinstance(x, keras.layers.Embedding)]
        for table in inner:
            found[path if table is layer else f"{path}/{table.name}"] = table
    return found


def _one_or_all(x):
    """As a model with one input or several is given them."""
    return x if len(x) > 1 else x[0]


class Buckets(keras.utils.PyDataset):
    """Batches of texts of about one length, as long as their longest."""

    def __init__(self, ids, y, batch, seed):
        super().__init__()
        self.ids, self.y = ids, y
        by_length = np.argsort((ids > 0).sum(1), kind="stable")
        batches = np.array_split(by_length, len(by_length) // batch)
        order = np.random.default_rng(seed).permutation(len(batches) - 2) + 1
        # Keras takes from the first two which dimensions vary: the shortest and the longest.
        self.batches = [batches[n] for n in (0, len(batches) - 1, *order)]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, n):
        ids = self.ids[self.batches[n]]
        return ids[:, :max(1, (ids > 0).sum(1).max())], self.y[self.batches[n]]


class Training:
    """Of a scenario. run() trains, and raises when embmond did not see it whole; record() is what the
    trainer wrote down."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.fault = faults.FAULTS.get(scenario.fault)
        model = scenario.model
        keras.utils.clear_session()  # layers are named as in a fresh process
        keras.utils.set_random_seed(scenario.seed)
        policy = "bfloat16" if scenario.fault == "bf16_step" else model.options.get("policy", "float32")
        keras.config.set_dtype_policy(policy)
        self.job = models.FAMILIES[model.family](models.Kit(model, scenario.seed, scenario.fault))
        self.model = self._model()
        optimizer = faults.optimizer(scenario.fault, model, _optimizer(model))
        self.model.compile(optimizer, loss=self.job.loss)
        needs = self.fault.needs if self.fault else ()
        self.model.ratios = "ratios" in needs
        self.keeper = record.Keeper(record.note_outputs(self.model) if "outputs" in needs else {})
        self.raised = ""
        self._split()
        self._make_fault()

    def _model(self):
        if self.job.subclass:
            return self.job.subclass(record.RecordedClass)
        return record.RecordedModel(self.job.inputs, self.job.outputs, name="model")

    # ---- data

    def _split(self):
        """Training and what is kept from it for validation and inference."""
        n, batch = len(self.job.y), self.scenario.model.batch
        self.kept_batches = 12 if self.fault and self.fault.phase != "training" else 2
        kept = min(n // 5, self.kept_batches * batch)
        self.kept = [x[:kept].copy() for x in self.job.x], self.job.y[:kept].copy()
        self.job.x = [x[kept:].copy() for x in self.job.x]
        self.job.y = self.job.y[kept:].copy()

    def _make_fault(self):
        name, batch = self.scenario.fault, self.scenario.model.batch
        random = np.random.default_rng(self.scenario.seed)
        if name in faults.SPOILS:
            first = self.fault.since * batch
            assert first + batch <= len(self.job.y), f"{self.scenario.name}: no step {self.fault.since}"
            faults.SPOILS[name](self.job, slice(first, first + batch), random)
        self.sides = {"validation": self.kept, "inference": self.kept}
        if name in faults.SIDES:
            x, y = self.kept
            self.sides[self.fault.phase] = [faults.SIDES[name](x[0]), *x[1:]], y
        tables = _embeddings(self.model)
        if name == "left_out":
            table = list(tables.values())[-1]
            self.model.left_out = frozenset(id(v) for v in table.trainable_variables)
        if name in ("masked_loss", "table_first"):
            factor = 0.0 if name == "masked_loss" else 1e4
            mine = {id(v) for table in tables.values() for v in table.trainable_variables}
            variables = self.model.trainable_variables
            self.model.spoil = lambda gradients: [
                g * factor if id(v) in mine and not hasattr(g, "values") else
                type(g)(g.values * factor, g.indices, g.dense_shape) if id(v) in mine else g
                for g, v in zip(gradients, variables)]

    # ---- training

    def run(self):
        model = self.scenario.model
        steps = min(model.steps, self.fault.steps) if self.fault else model.steps
        # VERDICTS_EVERY=auto: as often as the callback itself decides.
        every = os.environ.get("VERDICTS_EVERY") or model.options.get("every", 1)
        monitor = EmbmonCallback(run=self.scenario.name, every=every)  # <- as a user would
        try:
            if model.options.get("unfreeze"):
                self._fit(steps // 2, monitor)
                for layer in _embeddings(self.model).values():
                    layer.trainable = True
                self.model.compile(_optimizer(model), loss=self.job.loss)
                self._fit(steps // 2, monitor)
            else:
                self._fit(steps, monitor)
            self.model.predict(self._side("inference")[0], batch_size=model.batch, verbose=0,
                               callbacks=[monitor])
        except Exception as error:
            if not self.fault or type(error).__name__ not in self.fault.raises.split("|"):
                raise
            self.raised = type(error).__name__
        whole = "ended early" not in monitor.summary()  # before close(), which ends it too
        undelivered = monitor.close(20)
        self.named = monitor.run
        if undelivered or not whole or not self.named or " posts lost" in monitor.summary():
            raise RuntimeError(f"embmond did not see it whole: {undelivered} posts were not delivered: "
                               f"{monitor.summary()}")
        return self

    def _fit(self, steps, monitor):
        batch = self.scenario.model.batch
        given = {"x": _one_or_all(self.job.x), "y": self.job.y, "batch_size": batch, "validation_batch_size": batch}
        if self.job.bucketed:
            given = {"x": Buckets(self.job.x[0], self.job.y, batch, self.scenario.seed)}
        self.model.fit(**given, epochs=2 + steps * batch // max(1, len(self.job.y)), shuffle=False,
                       validation_data=self._side("validation"), verbose=0,
                       callbacks=[monitor, self.keeper, StopAfter(steps)])

    def _side(self, phase):
        x, y = self.sides[phase]
        return _one_or_all(x), y

    def record(self):
        tables = _embeddings(self.model)
        return self.keeper.record() | {
            "name": self.scenario.name, "run": self.named, "raised": self.raised,
            "tables": list(tables), "every": self.scenario.model.options.get("every", 1),
            "out_of_range": self._out_of_range(), "warm_until": self._warm_until()}

    def _warm_until(self):
        """The first step at which the rate no longer rises from next to nothing."""
        return self.scenario.model.steps // 8 if \
            self.scenario.model.options.get("schedule") == "warmup" else 0

    def _out_of_range(self):
        """The first training step with an id its table has no row for, by the data alone; or null."""
        rows = [n - (self.scenario.fault == "id_from_1") for n in self.job.rows]
        first = [int(np.flatnonzero(((x < 0) | (x >= n)).any(1))[0]) for x, n in zip(self.job.x, rows)
                 if n and ((x < 0) | (x >= n)).any()]
        return min(first) // self.scenario.model.batch if first else None
